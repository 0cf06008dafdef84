"""The page's scripts and styles."""
