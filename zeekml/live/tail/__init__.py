"""Following one log through rotations and restarts: every complete line exactly once."""
