"""Models that Keras saved, read without Keras, as members of a bundle."""
