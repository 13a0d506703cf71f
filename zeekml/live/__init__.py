"""Following the logs of a sensor while it writes them."""
