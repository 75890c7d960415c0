"""Feedback as people have it, made into the rows that training reads: `trainer data`."""

from trainer.converting.run import convert

__all__ = ["convert"]
