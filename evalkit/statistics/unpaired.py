"""Two models on different items: only where the same items cannot be had."""

import math

from numpy.typing import ArrayLike

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import check_counts, finite, is_binary, no_spread, t_p_value, t_quantile
from evalkit.statistics.proportions import wilson_limits
from evalkit.statistics.records import Interval, UnpairedDifference

INDEPENDENT_SAMPLES = "the two samples of items are independent of each other, and their items of one another"
FEWEST_EXPECTED = 5


def unpaired_difference(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> UnpairedDifference:
    """Return the difference of two models' mean scores on different items.

    Scores of 0 and 1: `two_proportions`. Graded scores: Welch's t interval and test. On the same items this wastes
    what they share; use `paired_difference` there.

    Source: Welch 1947, Biometrika 34:28.

    Raises:
        EvalkitError: no scores, one that is not finite, or one graded score only.
    """
    a, b = finite(first), finite(second)
    if is_binary(a) and is_binary(b):
        return two_proportions(int(a.sum()), len(a), int(b.sum()), len(b), level=level)
    difference = float(a.mean() - b.mean())
    interval: Interval | None = None
    if no_spread(a) and no_spread(b):  # of all ways to deal the scores out, one, or two if as many, are as extreme
        ways = math.comb(len(a) + len(b), len(a))
        p_value, test = min(1.0, (1 + (len(a) == len(b))) / ways) if difference else 1.0, "permutation, exact"
    else:
        if min(len(a), len(b)) < 2:
            raise EvalkitError(f"graded scores of different items need two of each model; got {len(a)} and {len(b)}")
        parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
        error = math.sqrt(sum(parts))
        degrees = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
        half = t_quantile(level, degrees) * error
        interval, p_value = (difference - half, difference + half), t_p_value(difference / error, degrees)
        test = "Welch's t"
    return UnpairedDifference(
        difference=difference,
        sizes=(len(a), len(b)),
        interval=interval,
        level=level,
        interval_method="Welch's t",
        p_value=p_value,
        test=test,
        assumptions=f"{INDEPENDENT_SAMPLES}; both means are about normal",
    )


def two_proportions(k1: int, n1: int, k2: int, n2: int, *, level: float = 0.95) -> UnpairedDifference:
    """Return the difference of two independent shares, k1/n1 - k2/n2, with Newcombe's hybrid score interval.

    The interval is d - sqrt((p1 - l1)^2 + (u2 - p2)^2), d + sqrt((u1 - p1)^2 + (p2 - l2)^2) with Wilson's limits.
    The test is the score test, z = d / sqrt(p (1 - p) (1/n1 + 1/n2)) with the pooled share p (the square of z is
    Pearson's chi-squared), which gives the KTO paper's p = 0.018 for 156 and 133 of 214; Fisher's exact test where
    an expected count is below 5.

    Source: Newcombe 1998, Stat. Med. 17:873, method 10.

    Args:
        k1: right answers of the first.
        n1: its items, > 0.
        k2: right answers of the second.
        n2: its items, > 0.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no items, or counts that do not fit.
    """
    from scipy.special import ndtr
    from scipy.stats import fisher_exact

    check_counts(k1, n1)
    check_counts(k2, n2)
    first, second = k1 / n1, k2 / n2
    (low1, high1), (low2, high2) = wilson_limits(first, n1, level), wilson_limits(second, n2, level)
    difference, pooled = first - second, (k1 + k2) / (n1 + n2)
    if min(pooled, 1 - pooled) * min(n1, n2) < FEWEST_EXPECTED:
        p_value = float(fisher_exact([[k1, n1 - k1], [k2, n2 - k2]])[1])
        test = "Fisher's exact"
    else:
        z = difference / math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
        p_value, test = float(2 * ndtr(-abs(z))), "two proportions, score (pooled z)"
    return UnpairedDifference(
        difference=difference,
        sizes=(n1, n2),
        interval=(
            difference - math.hypot(first - low1, high2 - second),
            difference + math.hypot(high1 - first, second - low2),
        ),
        level=level,
        interval_method="Newcombe hybrid score, unpaired",
        p_value=p_value,
        test=test,
        assumptions=INDEPENDENT_SAMPLES,
    )
