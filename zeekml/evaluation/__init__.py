"""`zeekml evaluate`: what the recipe, or a finished bundle, is worth on networks held out."""
