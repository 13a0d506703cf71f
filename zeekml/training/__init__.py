"""From labelled flows to a bundle: training rows, members, held-out scores, thresholds, card."""
