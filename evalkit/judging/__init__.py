"""Pairwise judging by a model behind an OpenAI-compatible endpoint."""
