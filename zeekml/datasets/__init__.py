"""Labelled networks: what training and evaluation read."""
