"""The loss of one example as its log-ratio moves, observed by running the code."""

import math

import torch
from torch import Tensor

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.reporting.figures import Observed

REACH = 10.0
"""Nats to either side that are observed."""

_STEPS = 101
_BASE = -20.0  # nats: where all other log-probabilities stand, so that none is above 0
_LENGTH = 10.0  # tokens


def observe(loss: Loss) -> Observed:
    """Return the loss of one example by its log-ratio, everything else equal; empty where it cannot be run so.

    In a pair the chosen output moves; with labels, one curve for each; at token level, a single token with the
    advantage +1 or -1.
    """
    cases = {
        "paired": [("chosen output", True)],
        "unpaired": [("desirable", True), ("undesirable", False)] if loss.needs_labels else [("example", True)],
        "token": [("advantage +1", True), ("advantage -1", False)],
    }[loss.kind]
    try:
        return {name: [(rho, _at(loss, rho, good)) for rho in _places()] for name, good in cases}
    except HaloTheoryError:
        return {}


def _places() -> list[float]:
    return [REACH * (2 * step / (_STEPS - 1) - 1) for step in range(_STEPS)]


def _at(loss: Loss, rho: float, good: bool) -> float:
    shape = (1, 1) if loss.kind == "token" else (1,)
    tensors = {name: _still(name, shape, good) for name in loss.arguments}
    moved = next(name for name in loss.arguments if name.startswith("policy_"))
    tensors[moved] = tensors[moved] + rho
    with torch.no_grad():
        value = float(loss(**tensors).sum())
    return value if math.isfinite(value) else math.nan


def _still(name: str, shape: tuple[int, ...], good: bool) -> Tensor:
    """Return an argument of an example of which nothing has moved."""
    if name == "desirable":
        return torch.tensor([good])
    if name == "mask":
        return torch.ones(shape, dtype=torch.bool)
    value = {"kl": 0.0, "advantages": 1.0 if good else -1.0}.get(name, _LENGTH if "lengths" in name else _BASE)
    return torch.full(shape, value, dtype=torch.float64)
