"""State of a watch: checkpoints, write-ahead journal, snapshots, recovery; labels."""
