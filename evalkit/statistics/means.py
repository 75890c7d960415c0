"""Intervals for a mean of graded scores."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from evalkit.statistics.checks import (
    Array,
    checked_level,
    finite,
    is_binary,
    labels,
    no_spread,
    sums_of_groups,
    t_quantile,
)
from evalkit.statistics.proportions import WITHIN_SUBSETS, macro_wilson
from evalkit.statistics.records import Estimate, Interval

INDEPENDENT_GRADES = "items are independent draws; so many, or so evenly spread, that their mean is about normal"


def t_interval(scores: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the mean of graded scores with Student's t interval; no interval where they do not vary.

    Raises:
        EvalkitError: no scores, or a score that is not finite.
    """
    values = finite(scores)
    return Estimate(
        score=float(values.mean()),
        n=len(values),
        interval=t_limits(values, level),
        level=level,
        method="Student's t",
        assumptions=INDEPENDENT_GRADES,
    )


def t_limits(values: Array, level: float) -> Interval | None:
    """Return Student's t limits for the mean, or None where the values do not vary."""
    checked_level(level)
    if no_spread(values):
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    half = t_quantile(level, len(values) - 1) * error
    return mean - half, mean + half


def macro_average(scores: ArrayLike, strata: Sequence[Hashable], *, level: float = 0.95) -> Estimate:
    """Return the mean of the subsets' means, each subset counted once, with an interval.

    The subsets are the benchmark, not a sample of subsets. Scores of 0 and 1 get Wilson's interval at its effective
    size (`macro_wilson`). Graded scores get a t interval: the variance is sum s_s^2 / n_s / S^2 over the S subsets,
    with the degrees of freedom of Welch and Satterthwaite, (sum v_s)^2 / sum v_s^2 / (n_s - 1), v_s = s_s^2 / n_s.
    A graded subset of one item has no variance to estimate: there is no interval then.

    Source: Satterthwaite 1946, Biometrics Bull. 2:110.

    Args:
        scores: one number per item, (n,).
        strata: the subset of each item, (n,).
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, one that is not finite, or no subset for each.
    """
    values = finite(scores)
    codes = labels(strata, len(values), "subset")
    sizes = np.bincount(codes)
    if is_binary(values):
        successes = sums_of_groups(values, codes).astype(int)
        return macro_wilson(successes.tolist(), sizes.tolist(), level=level)
    groups = [values[codes == code] for code in range(len(sizes))]
    mean = float(np.mean([group.mean() for group in groups]))
    return Estimate(
        score=mean,
        n=len(values),
        interval=_satterthwaite(mean, groups, level),
        level=level,
        method=f"t (Satterthwaite), macro average of {len(groups)} subsets",
        assumptions=WITHIN_SUBSETS,
    )


def _satterthwaite(mean: float, groups: Sequence[Array], level: float) -> Interval | None:
    checked_level(level)
    if any(len(group) < 2 for group in groups):
        return None
    variances = np.array([group.var(ddof=1) / len(group) for group in groups])
    if not variances.any():
        return None
    degrees = variances.sum() ** 2 / sum(v**2 / (len(g) - 1) for v, g in zip(variances, groups, strict=True))
    half = t_quantile(level, float(degrees)) * math.sqrt(variances.sum()) / len(groups)
    return mean - half, mean + half
