"""Outputs of a watch: files that are appended to, each line exactly once."""
