"""Adaptation to a site from labels: candidates learned from them, and the gate that may say no."""
