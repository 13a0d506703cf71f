"""Training, evaluation and export of the ensemble's members."""
