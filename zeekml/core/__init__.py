"""What every room may use: bytes on disk, compiled code, tables, text."""
