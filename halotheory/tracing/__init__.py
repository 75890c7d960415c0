"""Runs a loss's real code on symbols, and checks that the exact expression agrees with it."""
