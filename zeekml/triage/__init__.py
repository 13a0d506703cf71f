"""Triage: incidents read back from notices, listed, correlated, explained, and as a report page."""
