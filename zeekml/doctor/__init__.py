"""Looking for what is usually wrong with a sensor, its logs and the service beside it."""
