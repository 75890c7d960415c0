"""Scoring a model on benchmarks through lm-eval."""
