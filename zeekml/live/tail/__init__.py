"""Tail: from log files to events, through rotations and restarts; every line exactly once."""
