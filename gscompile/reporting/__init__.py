"""What a compilation did: data first, then text, pages and pictures."""
