"""Problems of sensors, logs and the watch itself, and how they are told."""
