"""Says what was found: text, JSON, proofs in HTML and LaTeX, figures."""
