"""Live watch: follows a sensor's logs while it writes them; the loop, its start, one stream."""
