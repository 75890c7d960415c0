"""Intervals for a share of right answers."""

import math
from collections.abc import Sequence

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import Array, check_counts, checked_level, normal_quantile
from evalkit.statistics.records import Estimate, Interval

INDEPENDENT = "items are independent draws from what the benchmark stands for, each right with the same chance"
WITHIN_SUBSETS = "the subsets are the benchmark itself, not a sample of subsets; items within each are independent"


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return k/n with Wilson's score interval.

    Source: Wilson 1927, JASA 22:209; computed by scipy.

    Raises:
        EvalkitError: n is 0, or the counts do not fit.
    """
    return _scipys(successes, n, "wilson", "Wilson", level)


def exact(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return k/n with the exact interval of Clopper and Pearson.

    It covers at least as often as it says, and therefore usually more often. Half its width at 90 % is the "90 %
    binomial interval" of the KTO paper's Table 3 (n = 512).

    Source: Clopper and Pearson 1934, Biometrika 26:404; computed by scipy.

    Raises:
        EvalkitError: n is 0, or the counts do not fit.
    """
    return _scipys(successes, n, "exact", "exact (Clopper-Pearson)", level)


def _scipys(successes: int, n: int, method: str, name: str, level: float) -> Estimate:
    from scipy.stats import binomtest

    check_counts(successes, n)
    interval = binomtest(successes, n).proportion_ci(checked_level(level), method=method)
    return Estimate(
        score=successes / n,
        n=n,
        interval=(float(interval.low), float(interval.high)),
        level=level,
        method=name,
        assumptions=INDEPENDENT,
    )


def wilson_limits(share: float, n: float, level: float) -> Interval:
    """Return Wilson's limits for a share of n items, where n need not be a whole number.

    The limits are (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n).
    """
    z = normal_quantile(level)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (0.0 if share <= 0 else centre - half, 1.0 if share >= 1 else centre + half)


def stratified_wilson(successes: Sequence[int], sizes: Sequence[int], *, level: float = 0.95) -> Estimate:
    """Return the mean over all items of a fixed list of subsets, with Wilson's interval at its effective size.

    The subsets are the benchmark, not a sample of subsets, so only the spread of items within them counts.
    With N = sum of n_s and p = k/N, the variance of the mean is sum n_s p_s (1 - p_s) / N^2; a simple random
    sample of n' = N p (1 - p) / (sum n_s p_s (1 - p_s) / N) items has the same, and Wilson's formula is used with
    n' in place of N. p_s is taken as (k_s + 1) / (n_s + 2), so that a subset of two right answers does not claim
    to be without variance, and n' as at least N: subsets in proportion to their weight never lose precision.

    Source: the effective sample size of Kish 1965 in Wilson's interval (Korn and Graubard 1998 do so with
    Clopper-Pearson's; Franco et al. 2019, J. Surv. Stat. Methodol. 7:334, compare these).

    Args:
        successes: right answers per subset, (number of subsets,).
        sizes: items per subset, (number of subsets,), each > 0.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no subsets, an empty one, or counts that do not fit.
    """
    k, n = _counts(successes, sizes)
    total = n.sum()
    p = float(k.sum() / total)
    effective = max(float(total), _effective_size(p, k, n, n / total))
    return Estimate(
        score=p,
        n=int(total),
        interval=wilson_limits(p, effective, level),
        level=level,
        method=f"Wilson, stratified by {len(n)} subsets",
        assumptions=WITHIN_SUBSETS,
    )


def macro_wilson(successes: Sequence[int], sizes: Sequence[int], *, level: float = 0.95) -> Estimate:
    """Return the mean of the subsets' shares, each subset counted once, with Wilson's interval at its effective size.

    As `stratified_wilson` with the weight 1/S for each of S subsets in place of n_s/N: the variance of the mean
    is sum p_s (1 - p_s) / n_s / S^2. The effective size may be smaller than N here, so p (1 - p) is of shrunk shares,
    too: it would be 0 where every answer is right.

    Args:
        successes: right answers per subset, (number of subsets,).
        sizes: items per subset, (number of subsets,), each > 0.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no subsets, an empty one, or counts that do not fit.
    """
    k, n = _counts(successes, sizes)
    p = float((k / n).mean())
    weights = np.full(len(n), 1 / len(n))
    effective = _effective_size(float(((k + 1) / (n + 2)).mean()), k, n, weights)
    return Estimate(
        score=p,
        n=int(n.sum()),
        interval=wilson_limits(p, effective, level),
        level=level,
        method=f"Wilson, macro average of {len(n)} subsets",
        assumptions=WITHIN_SUBSETS,
    )


def _counts(successes: Sequence[int], sizes: Sequence[int]) -> tuple[Array, Array]:
    if len(successes) != len(sizes) or not len(sizes):
        raise EvalkitError(f"need a count and a size per subset; got {len(successes)} and {len(sizes)}")
    for count, size in zip(successes, sizes, strict=True):
        check_counts(count, size)
    return np.asarray(successes, dtype=float), np.asarray(sizes, dtype=float)


def _effective_size(share: float, successes: Array, sizes: Array, weights: Array) -> float:
    """Return how many independent items would give the variance that subsets with these weights give."""
    shrunk = (successes + 1) / (sizes + 2)
    return float(share * (1 - share) / (weights**2 * shrunk * (1 - shrunk) / sizes).sum())
