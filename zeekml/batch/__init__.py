"""Ways to run the pipeline over archives."""
