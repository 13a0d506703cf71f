"""What a site's own logs say about thresholds and usual values, without labels."""
