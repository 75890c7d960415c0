"""Intervals for means, paired differences, and Holm's adjustment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from flint import arb
from numpy.typing import NDArray

from halotheory.errors import HaloTheoryError

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
_HALVINGS = 80

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean of independent values, with Student's t interval of 95 %.

    Attributes:
        mean: of the values.
        low: lower end of the interval.
        high: upper end.
        count: how many values.
    """

    mean: float
    low: float
    high: float
    count: int


def estimate(values: Array) -> Estimate:
    """Return the mean of independent values, (n,), n >= 2, with its interval.

    Raises:
        HaloTheoryError: fewer than two values, or one that is not finite.
    """
    count = len(values)
    if count < 2 or not np.isfinite(values).all():
        raise HaloTheoryError(f"an interval needs two or more finite values; there are {np.isfinite(values).sum()}")
    mean = float(values.mean())
    half = t_quantile((1 + CONFIDENCE) / 2, count - 1) * float(values.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean=mean, low=mean - half, high=mean + half, count=count)


def t_test(differences: Array) -> float:
    """Return the two-sided p-value of Student's t test of mean 0.

    Where all differences are equal and not 0, it is that of the sign test, 2^(1 - n); where all are 0, it is 1.

    Args:
        differences: independent ones, (n,), n >= 2.
    """
    found = estimate(differences)
    if not differences.any():
        return 1.0
    spread = float(differences.std(ddof=1)) / math.sqrt(found.count)
    if spread <= abs(found.mean) * 1e-12:  # rounding apart, they are all equal
        return 2.0 ** (1 - found.count)
    return _outside(found.mean / spread, found.count - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values: rejecting those <= alpha keeps the family-wise error below alpha.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.

    Args:
        p_values: of one family, each in [0, 1].
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


@lru_cache
def t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t distribution, by bisection of its distribution function.

    Args:
        probability: in (1/2, 1).
        degrees: of freedom, >= 1.
    """
    tail = 2 * (1 - probability)
    low, high = 0.0, 1.0
    while _outside(high, degrees) > tail:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _outside(middle, degrees) > tail else (low, middle)
    return (low + high) / 2


def _outside(t: float, degrees: int) -> float:
    """Return P(|T| > |t|) = I_x(degrees/2, 1/2), x = degrees/(degrees + t^2), the regularised incomplete beta."""
    x = arb(degrees) / (degrees + arb(t) ** 2)
    return float(x.beta_lower(arb(degrees) / 2, arb(1) / 2, regularized=True).mid())
