"""The one error that a user of halotheory can cause."""


class HaloTheoryError(Exception):
    """Bad input: a loss file, an argument or a setting that cannot be used; the message says what to do."""
