"""Hyperparameters as words of a command line."""

from collections.abc import Sequence

from halotheory.errors import HaloTheoryError


def parse_settings(words: Sequence[str]) -> dict[str, float]:
    """Return {'beta': 0.5} for ['beta=0.5'].

    Raises:
        HaloTheoryError: a word that is not `name=number`.
    """
    settings: dict[str, float] = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            settings[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise HaloTheoryError(f"--set {word}: expected name=number, for example --set beta=0.5")
    return settings
