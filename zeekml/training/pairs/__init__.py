"""Training of the ensemble for pairs of hosts over days."""
