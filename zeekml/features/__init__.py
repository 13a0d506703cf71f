"""Flows in, one float32 row per flow out: its own figures and what its hosts did of late."""
