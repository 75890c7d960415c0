"""Statistics of scores: an estimate with its interval, a paired difference with its test, a family of tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.errors import EvalkitError

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean score.

    Attributes:
        score: the mean over all items, each item counted once.
        n: number of items.
        interval: the confidence interval; None where the scores do not determine one.
        level: its nominal coverage, such as 0.95.
        method: how it was computed.
    """

    score: float
    n: int
    interval: Interval | None
    level: float
    method: str


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The difference of two mean scores on the same items.

    Attributes:
        difference: mean score of the first minus that of the second.
        n: number of items scored by both.
        wins: items on which the first scores higher; `losses`: lower; the others are ties.
        interval: the confidence interval; None where the scores do not determine one.
        level: its nominal coverage.
        interval_method: how it was computed.
        p_value: two-sided, of the hypothesis of no difference.
        test: how the p-value was computed.
    """

    difference: float
    n: int
    wins: int
    losses: int
    interval: Interval | None
    level: float
    interval_method: str
    p_value: float
    test: str


def estimate(scores: ArrayLike, *, strata: Sequence[str] | None = None, level: float = 0.95) -> Estimate:
    """Return the mean of per-item scores with the interval that suits them.

    Scores of 0 and 1 get Wilson's interval, over strata where there are several; others Student's t interval.

    Args:
        scores: one number per item, (n,), finite.
        strata: the subset of each item, (n,), when the benchmark is a fixed list of subsets and its score the
            mean over all items.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, or a score that is not finite.
    """
    values = _finite(scores)
    if not is_binary(values):
        return t_interval(values, level=level)
    if strata is None or len(set(strata)) < 2:
        return wilson(int(values.sum()), len(values), level=level)
    names = np.asarray(strata)
    groups = [values[names == name] for name in sorted(set(strata))]
    successes = [int(group.sum()) for group in groups]
    return stratified_wilson(successes, [len(group) for group in groups], level=level)


def paired_difference(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> PairedDifference:
    """Return the paired difference of two models' scores on the same items, with the test that suits them.

    Scores of 0 and 1 get Tango's interval and the mid-p McNemar test; others Student's paired t.

    Args:
        first: one score per item, (n,).
        second: the scores of the other model on the same items in the same order, (n,).
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, different lengths, or a score that is not finite.
    """
    a, b = _finite(first), _finite(second)
    if len(a) != len(b):
        raise EvalkitError(f"paired scores must be of the same items; got {len(a)} and {len(b)}")
    if not (is_binary(a) and is_binary(b)):
        return paired_t(a - b, level=level)
    wins, losses = int((a > b).sum()), int((a < b).sum())
    return PairedDifference(
        difference=(wins - losses) / len(a),
        n=len(a),
        wins=wins,
        losses=losses,
        interval=tango(wins, losses, len(a), level=level),
        level=level,
        interval_method="Tango score",
        p_value=mcnemar_mid_p(wins, losses),
        test="McNemar mid-p",
    )


def is_binary(scores: ArrayLike) -> bool:
    """Return whether every score is 0 or 1."""
    return bool(np.isin(np.asarray(scores, dtype=float), (0.0, 1.0)).all())


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return k/n with Wilson's score interval.

    Source: Wilson 1927, JASA 22:209; computed by scipy.

    Raises:
        EvalkitError: n is 0, or the counts do not fit.
    """
    from scipy.stats import binomtest

    _check_counts(successes, n)
    interval = binomtest(successes, n).proportion_ci(_checked(level), method="wilson")
    return Estimate(
        score=successes / n,
        n=n,
        interval=(float(interval.low), float(interval.high)),
        level=level,
        method="Wilson",
    )


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
    k, n = np.asarray(successes, dtype=float), np.asarray(sizes, dtype=float)
    if len(k) != len(n) or not len(n):
        raise EvalkitError(f"need a count and a size per subset; got {len(k)} and {len(n)}")
    for count, size in zip(successes, sizes, strict=True):
        _check_counts(count, size)
    total = n.sum()
    p = k.sum() / total
    shrunk = (k + 1) / (n + 2)
    within = (n * shrunk * (1 - shrunk)).sum() / total
    effective = float(total * max(1.0, p * (1 - p) / within))
    z = _normal_quantile(level)
    centre = (p + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * math.sqrt(p * (1 - p) / effective + z**2 / (4 * effective**2))
    interval = (0.0 if p == 0 else float(centre - half), 1.0 if p == 1 else float(centre + half))
    return Estimate(
        score=float(p),
        n=int(total),
        interval=interval,
        level=level,
        method=f"Wilson, stratified by {len(n)} subsets",
    )


def t_interval(scores: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the mean of graded scores with Student's t interval; no interval where they do not vary.

    Raises:
        EvalkitError: no scores, or a score that is not finite.
    """
    values = _finite(scores)
    return Estimate(
        score=float(values.mean()),
        n=len(values),
        interval=_t_interval(values, _checked(level)),
        level=level,
        method="Student's t",
    )


def tango(wins: int, losses: int, n: int, *, level: float = 0.95) -> Interval:
    """Return Tango's score interval for a paired difference of proportions, (wins - losses) / n.

    The limits are the differences d at which |wins - losses - n d| / sqrt(n (2 q + d (1 - d))) equals the normal
    quantile, where q is the maximum-likelihood probability of a loss given d. At d = 0 this is McNemar's
    statistic, so the interval and the test agree but for the mid-p's correction of small counts.

    Source: Tango 1998, Stat. Med. 17:891, eqs. 8 to 10; recommended by Fagerland et al. 2014, Stat. Med. 33:2850.

    Args:
        wins: items that only the first has right.
        losses: items that only the second has right.
        n: all items, > 0.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: n is 0, or the counts do not fit.
    """
    from scipy.optimize import brentq

    _check_counts(wins + losses, n)
    if min(wins, losses) < 0:
        raise EvalkitError(f"counts cannot be negative; got {wins} wins and {losses} losses")
    z = _normal_quantile(level)
    observed = (wins - losses) / n

    def excess(difference: float) -> float:
        """Positive below the interval, negative above, when shifted by -z or +z."""
        loss_probability = _restricted_loss_probability(difference, wins, losses, n)
        variance = n * (2 * loss_probability + difference * (1 - difference))
        gap = wins - losses - n * difference
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    def root(shift: float, end: float) -> float:
        # at the ends +-1 the variance is 0: stop a hair before, and take the end if the limit lies beyond
        near = end * (1 - 1e-12)
        if (excess(near) - shift) * (excess(observed) - shift) >= 0:
            return end
        low, high = sorted((near, observed))
        return cast("float", brentq(lambda d: excess(d) - shift, low, high, xtol=1e-13))

    return root(z, -1.0) if observed > -1 else -1.0, root(-z, 1.0) if observed < 1 else 1.0


def _restricted_loss_probability(difference: float, wins: int, losses: int, n: int) -> float:
    """Return the maximum-likelihood probability of a loss when the difference is given (Tango's q21)."""
    a = 2 * n
    b = -wins - losses + (2 * n - wins + losses) * difference
    c = -losses * difference * (1 - difference)
    return (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)


def mcnemar_mid_p(wins: int, losses: int) -> float:
    """Return the two-sided mid-p value of McNemar's test.

    Given w + l discordant items, wins are binomial(w + l, 1/2) if neither model is better. The exact conditional
    p-value is 2 P(X <= min(w, l)); the mid-p takes away P(X = min(w, l)), which corrects its conservatism. It is 1
    where wins equal losses.

    Source: Fagerland, Lydersen, Laake 2013, BMC Med. Res. Methodol. 13:91.

    Raises:
        EvalkitError: a negative count.
    """
    from scipy.stats import binom

    if min(wins, losses) < 0:
        raise EvalkitError(f"counts cannot be negative; got {wins} wins and {losses} losses")
    smaller, discordant = min(wins, losses), wins + losses
    p = 2 * binom.cdf(smaller - 1, discordant, 0.5) + binom.pmf(smaller, discordant, 0.5)
    return min(1.0, float(p))


def paired_t(differences: ArrayLike, *, level: float = 0.95) -> PairedDifference:
    """Return the mean of paired differences of graded scores, with Student's t interval and test.

    Where all differences are equal the t statistic does not exist: there is no interval, and the p-value is that
    of the exact sign-flip test, 2^(1-n), or 1 where they are all 0.

    Raises:
        EvalkitError: no differences, or one that is not finite.
    """
    from scipy.stats import ttest_1samp

    values = _finite(differences)
    interval = _t_interval(values, _checked(level))
    if interval is not None:
        outcome: Any = ttest_1samp(values, 0.0)
        p_value, test = float(outcome.pvalue), "paired t"
    else:
        p_value, test = (2.0 ** (1 - len(values)) if values[0] else 1.0), "sign-flip"
    return PairedDifference(
        difference=float(values.mean()),
        n=len(values),
        wins=int((values > 0).sum()),
        losses=int((values < 0).sum()),
        interval=interval,
        level=level,
        interval_method="Student's t",
        p_value=p_value,
        test=test,
    )


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the p-values adjusted for a family of tests, in the order given, (k,).

    The i-th smallest of k is multiplied by k - i + 1, made non-decreasing in rank, and cut at 1: rejecting where
    the result is at most alpha keeps the probability of any false rejection within alpha, whatever the dependence.

    Source: Holm 1979, Scand. J. Stat. 6:65.

    Raises:
        EvalkitError: no p-values, or one outside [0, 1].
    """
    p = _finite(p_values)
    if p.min() < 0 or p.max() > 1:
        raise EvalkitError("p-values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def _t_interval(values: NDArray[np.float64], level: float) -> Interval | None:
    from scipy.stats import sem, t

    # what is left of equal differences after rounding is no spread, and neither is one too small to square
    if len(values) < 2 or np.ptp(values) <= 1e-12 * np.abs(values).max() or not sem(values):
        return None
    low, high = t.interval(level, len(values) - 1, loc=values.mean(), scale=sem(values))
    return float(low), float(high)


def _normal_quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + _checked(level)) / 2))


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise EvalkitError(f"the level must lie between 0 and 1, such as 0.95; got {level}")
    return level


def _check_counts(successes: int, n: int) -> None:
    if n <= 0:
        raise EvalkitError("no items; a score needs at least one")
    if not 0 <= successes <= n:
        raise EvalkitError(f"counts must lie between 0 and the number of items; got {successes} of {n}")


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array):
        raise EvalkitError("no scores; a statistic needs at least one")
    if not np.isfinite(array).all():
        raise EvalkitError(f"score {int(np.flatnonzero(~np.isfinite(array))[0]) + 1} is not a finite number")
    return array
