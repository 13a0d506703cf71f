"""Live watch: follows the logs of a sensor while it writes them; the loop, its start, one stream."""
