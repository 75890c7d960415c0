"""Benchmarks, and an honest answer to "is it better?"."""

__version__ = "0.1.0"
