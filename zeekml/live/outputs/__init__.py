"""Files that a watcher appends to, each line once."""
