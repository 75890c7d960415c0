"""How far two raters of the same items agree: the share, and Cohen's kappa."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.errors import EvalkitError


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """Agreement beyond what the raters' habits bring about by chance.

    Attributes:
        kappa: (observed - expected) / (1 - expected); None where both raters use one category only.
        observed: share of items on which they agree.
        expected: the share if they rated independently.
        n: number of items.
        interval: the confidence interval; None where there is none.
        level: its nominal coverage.
        method: how it was computed.
        confusion: by category of the first rater, then of the second, the number of items.
    """

    kappa: float | None
    observed: float
    expected: float
    n: int
    interval: tuple[float, float] | None
    level: float
    method: str
    confusion: dict[str, dict[str, int]]


def cohen_kappa(first: Sequence[str], second: Sequence[str], *, level: float = 0.95) -> Kappa:
    """Return Cohen's kappa of two raters with its normal interval, cut at -1 and 1.

    With p_ij the shares of the confusion table, p_i. and p_.j its margins, o = sum p_ii, e = sum p_i. p_.i:
    kappa = (o - e) / (1 - e), and n (1 - e)^2 times its variance is
    sum_i p_ii (1 - (p_i. + p_.i)(1 - kappa))^2 + (1 - kappa)^2 sum_{i != j} p_ij (p_.i + p_j.)^2
    - (kappa - e (1 - kappa))^2.

    Source: Cohen 1960, Educ. Psychol. Meas. 20:37; variance: Fleiss, Cohen, Everitt 1969, Psychol. Bull. 72:323,
    eq. 13; statsmodels' `cohens_kappa` has the same.

    Args:
        first: category of each item, (n,).
        second: the other rater's, on the same items, (n,).
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no items, or not as many of each.
    """
    from scipy.special import ndtri

    if len(first) != len(second) or not first:
        raise EvalkitError(f"agreement needs the same items of both raters; got {len(first)} and {len(second)}")
    categories = sorted({*first, *second})
    at = {name: index for index, name in enumerate(categories)}
    counts = np.zeros((len(categories), len(categories)))
    np.add.at(counts, ([at[name] for name in first], [at[name] for name in second]), 1)
    confusion = {name: {other: int(counts[at[name], at[other]]) for other in categories} for name in categories}
    n, p = len(first), counts / len(first)
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    kappa, interval = None, None
    if len(categories) > 1 and expected < 1:
        kappa = (observed - expected) / (1 - expected)
        half = float(ndtri((1 + level) / 2)) * math.sqrt(_variance(p, kappa, expected) / n)
        interval = (max(-1.0, kappa - half), min(1.0, kappa + half)) if half else None
    return Kappa(
        kappa=kappa,
        observed=observed,
        expected=expected,
        n=n,
        interval=interval,
        level=level,
        method="Cohen's kappa, normal with the variance of Fleiss, Cohen and Everitt",
        confusion=confusion,
    )


def _variance(p: np.ndarray, kappa: float, expected: float) -> float:
    """Return n times the variance of kappa."""
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    off = p * (columns[:, None] + rows[None, :]) ** 2
    diagonal = float((np.diag(p) * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    rest = float(off.sum() - np.trace(off)) * (1 - kappa) ** 2
    return max(0.0, diagonal + rest - (kappa - expected * (1 - kappa)) ** 2) / (1 - expected) ** 2
