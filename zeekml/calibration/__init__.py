"""Calibration for a site: thresholds for a budget of notices, from logs without labels."""
