"""What goes on, for people at a terminal: read from a watch's state or a finished run's outputs."""
