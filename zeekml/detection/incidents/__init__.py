"""Open incidents of one stream: a compiled store, its snapshot, and the notices made from it."""
