"""What a command shows of a run: how far it is, and what came of it."""
