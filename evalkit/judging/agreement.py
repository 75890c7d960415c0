"""How far two raters of the same items agree: the share, and Cohen's kappa."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.errors import EvalkitError

ROUNDING = 1e-7
"""What rounding leaves of a variance of 0 is no width: such tables determine no interval."""

FLEISS = "Cohen's kappa, normal with the variance of Fleiss, Cohen and Everitt"


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


def cohen_kappa(
    first: Sequence[str],
    second: Sequence[str],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Kappa:
    """Return Cohen's kappa of two raters with its normal interval, cut at -1 and 1.

    With p_ij the shares of the confusion table, p_i. and p_.j its margins, o = sum p_ii, e = sum p_i. p_.i:
    kappa = (o - e) / (1 - e), and n (1 - e)^2 times its variance is
    sum_i p_ii (1 - (p_i. + p_.i)(1 - kappa))^2 + (1 - kappa)^2 sum_{i != j} p_ij (p_.i + p_j.)^2
    - (kappa - e (1 - kappa))^2. Where items come in clusters of more than one: Student's t interval by the jackknife
    over clusters, G - 1 degrees of freedom.

    Source: Cohen 1960, Educ. Psychol. Meas. 20:37; variance: Fleiss, Cohen, Everitt 1969, Psychol. Bull. 72:323,
    eq. 13; statsmodels' `cohens_kappa` has the same.

    Args:
        first: category of each item, (n,).
        second: the other rater's, on the same items, (n,).
        clusters: the group of each item, (n,), such as its prompt.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no items, or not as many of each.
    """
    if len(first) != len(second) or not first:
        raise EvalkitError(f"agreement needs the same items of both raters; got {len(first)} and {len(second)}")
    categories = sorted({*first, *second})
    at = {name: index for index, name in enumerate(categories)}
    places = np.array([at[name] for name in first]), np.array([at[name] for name in second])
    counts = _table(places, len(categories))
    kappa, observed, expected = _kappa(counts)
    if clusters is None or len(set(clusters)) == len(first):
        half, method = _normal_half(counts / len(first), kappa, expected, level) / math.sqrt(len(first)), FLEISS
    else:
        half, method = _jackknife_half(places, len(categories), clusters, level)
    return Kappa(
        kappa=kappa,
        observed=observed,
        expected=expected,
        n=len(first),
        interval=(max(-1.0, kappa - half), min(1.0, kappa + half)) if kappa is not None and half > ROUNDING else None,
        level=level,
        method=method,
        confusion={name: {other: int(counts[at[name], at[other]]) for other in categories} for name in categories},
    )


def _table(places: tuple[np.ndarray, np.ndarray], categories: int) -> np.ndarray:
    counts = np.zeros((categories, categories))
    np.add.at(counts, places, 1)
    return counts


def _kappa(counts: np.ndarray) -> tuple[float | None, float, float]:
    """Return kappa, the observed and the expected agreement; no kappa where only one category is in use."""
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    in_use = int(((rows + columns) > 0).sum())
    return ((observed - expected) / (1 - expected) if in_use > 1 and expected < 1 else None), observed, expected


def _normal_half(p: np.ndarray, kappa: float | None, expected: float, level: float) -> float:
    """Return half the width of the normal interval, times the root of n."""
    from scipy.special import ndtri

    return 0.0 if kappa is None else float(ndtri((1 + level) / 2)) * math.sqrt(_variance(p, kappa, expected))


def _jackknife_half(
    places: tuple[np.ndarray, np.ndarray], categories: int, clusters: Sequence[Hashable], level: float
) -> tuple[float, str]:
    """Return half the width of the t interval by the jackknife over clusters; 0 where it is not determined."""
    from scipy.special import stdtrit

    codes = np.unique([str(name) for name in clusters], return_inverse=True)[1]
    groups = int(codes.max()) + 1
    whole = _table(places, categories)
    without = []
    for group in range(groups):
        inside = codes == group
        rest = whole - _table((places[0][inside], places[1][inside]), categories)
        without.append(_kappa(rest)[0] if rest.any() else None)
    kappas = np.array([kappa for kappa in without if kappa is not None])
    method = f"Cohen's kappa, t by the jackknife over {groups} clusters"
    if groups < 2 or len(kappas) < groups:
        return 0.0, method
    error = math.sqrt((groups - 1) / groups * float(((kappas - kappas.mean()) ** 2).sum()))
    return float(stdtrit(groups - 1, (1 + level) / 2)) * error, method


def _variance(p: np.ndarray, kappa: float, expected: float) -> float:
    """Return n times the variance of kappa."""
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    off = p * (columns[:, None] + rows[None, :]) ** 2
    diagonal = float((np.diag(p) * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    rest = float(off.sum() - np.trace(off)) * (1 - kappa) ** 2
    return max(0.0, diagonal + rest - (kappa - expected * (1 - kappa)) ** 2) / (1 - expected) ** 2
