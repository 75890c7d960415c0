"""Hyperparameters as words of a command line."""

from collections.abc import Sequence

from halotheory.errors import HaloTheoryError


def parse_settings(words: Sequence[str]) -> dict[str, float]:
    """Return {'beta': 0.5} for ['beta=0.5'].

    Raises:
        HaloTheoryError: a word that is not `name=number`, or a name that is given twice.
    """
    settings: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        name, value = name.strip(), _number(text)
        if not name or value is None:
            raise HaloTheoryError(f"--set {word}: expected name=number, for example --set beta=0.5")
        if name in settings:
            raise HaloTheoryError(f"--set {word}: {name} is set to {settings[name]:g} too; keep one of the two")
        settings[name] = value
    return settings


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
