"""Models of photos: load the one that a user names, and check what it returns."""
