"""Scoring of archives: streams and slices of them, in one process or several; imports outputs."""
