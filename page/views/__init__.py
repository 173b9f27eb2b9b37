"""One view a file: what it gathers, and how it draws it."""
