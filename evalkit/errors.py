"""The one error that a user of evalkit can cause."""


class EvalkitError(Exception):
    """Bad input: a model, a benchmark, a file or a run that cannot be used; the message says what to do."""
