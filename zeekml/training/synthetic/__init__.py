"""Synthetic traffic for training: attacks, and benign traffic that resembles them."""
