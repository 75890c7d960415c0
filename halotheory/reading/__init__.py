"""Reads an exact expression as a human-aware loss, a * v(z) + C, or shows that it is none."""
