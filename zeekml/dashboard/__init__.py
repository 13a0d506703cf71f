"""The dashboard: incidents at a terminal, of a running watch or of a finished run's outputs."""
