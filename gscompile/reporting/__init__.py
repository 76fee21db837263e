"""The report of a compilation: data first, then text, pages and pictures."""
