"""Two models on the same items, each item by itself: intervals and tests of their difference."""

import math
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import check_counts, check_discordant, finite, normal_quantile
from evalkit.statistics.means import t_limits
from evalkit.statistics.proportions import wilson_limits
from evalkit.statistics.records import Interval, PairedDifference

INDEPENDENT_PAIRS = "items are independent draws from what the benchmark stands for; both models answered each of them"


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

    check_discordant(wins, losses, n)
    z = normal_quantile(level)
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


def newcombe(both: int, wins: int, losses: int, neither: int, *, level: float = 0.95) -> Interval:
    """Return Newcombe's hybrid score interval for a paired difference of proportions (his method 10).

    With Wilson's limits (l1, u1) of p1 = (both + wins) / n and (l2, u2) of p2 = (both + losses) / n, and phi the
    correlation of the two answers, the limits are
    d - sqrt((p1 - l1)^2 - 2 phi (p1 - l1)(u2 - p2) + (u2 - p2)^2) and
    d + sqrt((u1 - p1)^2 - 2 phi (u1 - p1)(p2 - l2) + (p2 - l2)^2). phi has a continuity correction: where
    both * neither > wins * losses its numerator is max(both * neither - wins * losses - n / 2, 0); it is 0 where a
    margin is.

    Source: Newcombe 1998, Stat. Med. 17:2635, method 10.

    Args:
        both: items that both have right.
        wins: items that only the first has right.
        losses: items that only the second has right.
        neither: items that neither has right.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no items, or a negative count.
    """
    if min(both, wins, losses, neither) < 0:
        raise EvalkitError(f"counts cannot be negative; got {both}, {wins}, {losses}, {neither}")
    n = both + wins + losses + neither
    check_counts(0, n)
    first, second = (both + wins) / n, (both + losses) / n
    (low1, high1), (low2, high2) = wilson_limits(first, n, level), wilson_limits(second, n, level)
    phi = _phi(both, wins, losses, neither)

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    difference = (wins - losses) / n
    return difference - reach(first - low1, high2 - second), difference + reach(high1 - first, second - low2)


def _phi(both: int, wins: int, losses: int, neither: int) -> float:
    """Return the correlation of two models' answers, corrected for continuity towards 0 where it is positive."""
    margins = (both + wins) * (losses + neither) * (both + losses) * (wins + neither)
    if not margins:
        return 0.0
    numerator: float = both * neither - wins * losses
    if numerator > 0:
        numerator = max(numerator - (both + wins + losses + neither) / 2, 0.0)
    return numerator / math.sqrt(margins)


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

    check_discordant(wins, losses)
    smaller, discordant = min(wins, losses), wins + losses
    p = 2 * binom.cdf(smaller - 1, discordant, 0.5) + binom.pmf(smaller, discordant, 0.5)
    return min(1.0, float(p))


def mcnemar_exact(wins: int, losses: int) -> float:
    """Return the two-sided p-value of McNemar's exact conditional test: min(1, 2 P(X <= min(w, l))), X ~ B(w + l, 1/2).

    It keeps its level for every sample size and is therefore conservative; `mcnemar_mid_p` is the default.

    Source: McNemar 1947, Psychometrika 12:153, with the binomial distribution itself.

    Raises:
        EvalkitError: a negative count.
    """
    from scipy.stats import binom

    check_discordant(wins, losses)
    return min(1.0, 2 * float(binom.cdf(min(wins, losses), wins + losses, 0.5)))


def paired_t(differences: ArrayLike, *, level: float = 0.95) -> PairedDifference:
    """Return the mean of paired differences of graded scores, with Student's t interval and test.

    Where all differences are equal the t statistic does not exist: there is no interval, and the p-value is that
    of the exact sign-flip test, 2^(1-n), or 1 where they are all 0.

    Raises:
        EvalkitError: no differences, or one that is not finite.
    """
    from scipy.stats import ttest_1samp

    values = finite(differences, "difference")
    interval = t_limits(values, level)
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
        assumptions=f"{INDEPENDENT_PAIRS}; the mean difference is about normal",
    )


def mcnemar_counts(first: ArrayLike, second: ArrayLike) -> tuple[int, int, int, int]:
    """Return the items that both, only the first, only the second, and neither has right.

    Args:
        first: scores of 0 and 1, (n,).
        second: of the other model, (n,).
    """
    a, b = np.asarray(first, dtype=float) > 0.5, np.asarray(second, dtype=float) > 0.5
    return int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum())
