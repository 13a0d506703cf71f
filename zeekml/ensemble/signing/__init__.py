"""Signatures of bundles, and the keys that make and verify them."""
