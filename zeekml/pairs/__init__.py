"""The slow stage: pairs of hosts over days, for what no hour of flows shows."""
