"""Comparing finished runs on the same items."""
