"""Tail: from log files to events, through rotations and restarts; each complete line exactly once."""
