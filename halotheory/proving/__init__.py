"""Decides signs and shapes of functions of one variable for every value of their parameters."""
