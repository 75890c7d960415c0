"""Evaluations of other tools, each read into the rows of a samples.jsonl."""
