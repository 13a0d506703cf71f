"""The doctor (`zeekml check`): what is usually wrong with a sensor, its logs and the service."""
