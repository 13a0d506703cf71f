"""The formats of records, one module or two each, all with the same columns as result."""
