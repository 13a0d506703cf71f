"""From candidates to incidents: which flows belong together, and when that is worth a line."""
