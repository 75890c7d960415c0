"""A comparison as one page that opens from disk."""
