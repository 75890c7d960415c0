"""The one error that a user of the trainer can cause."""

from halotheory.errors import HaloTheoryError


class TrainerError(HaloTheoryError):
    """Bad input: data, a model, a setting or an output folder that cannot be used; the message says what to do.

    A HaloTheoryError, so that one `except` catches a bad data file and a bad loss file.
    """
