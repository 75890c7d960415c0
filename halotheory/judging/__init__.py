"""Decides what all readings of a loss together say: a HALO, none, or open; and for which hyperparameters."""
