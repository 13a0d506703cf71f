"""Synthetic traffic to train on: episodes of attacks and hard negatives, drawn at random."""
