"""What a flow's hosts did in the last minute, ten minutes and hour."""
