"""What a watcher remembers from one run to the next."""
