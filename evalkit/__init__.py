"""Benchmarks, and an honest answer to "is it better?"."""
