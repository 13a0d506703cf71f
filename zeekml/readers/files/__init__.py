"""Which files are logs, whose, in which order, and how their bytes are cut into lines."""
