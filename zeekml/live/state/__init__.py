"""State of a watch: checkpoints, write-ahead journal, snapshots, recovery after a restart; labels."""
