"""The averaged ensemble: bundles on disk, LiteRT members, calibration, scores, explanations."""
