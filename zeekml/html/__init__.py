"""Report pages: sections that render to one self-contained HTML file and to JSON."""
