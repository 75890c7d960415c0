"""Alignment of language models with feedback, with any loss of the contract."""
