"""Power of a paired comparison: of so many items, so large a difference, found so often."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import Array, checked_level, t_quantile

MOST_ENUMERATED = 1_000_000
"""Items up to which the mid-p McNemar test's power is summed over every outcome that matters."""
APPROXIMATION_ERROR = 0.0005
"""Of the normal approximation beyond, measured at 1,000,000 items with 2 % to 100 % discordant."""
MOST_ITEMS = 1_000_000_000
_TAIL = 1e-13


@dataclass(frozen=True, kw_only=True)
class PairedDesign:
    """What is known, or supposed, of two models on the same items before they are compared.

    Exactly one of three descriptions of the noise: `discordant`; `baseline_score` with `correlation`; `deviation`.

    Attributes:
        discordant: share of items that only one of the two has right, in (0, 1]; scores of 0 and 1.
        baseline_score: the lower of the two scores, in (0, 1); scores of 0 and 1. The discordant share follows:
            p1 (1 - p2) + p2 (1 - p1) - 2 r sqrt(p1 (1 - p1) p2 (1 - p2)), within what p1 and p2 allow.
        correlation: r, of the two models' scores over items, in [-1, 1).
        deviation: standard deviation of the paired differences, > 0; graded scores.
        clusters: number of clusters that the items come in, of equal size, >= 2; None where items are independent.
        icc: intraclass correlation of the paired differences within a cluster, in [0, 1].
        level: coverage of the intervals; 1 - level is the significance level.
        comparisons: size of the family: each test is made at (1 - level) / comparisons, Holm's first step.
    """

    discordant: float | None = None
    baseline_score: float | None = None
    correlation: float | None = None
    deviation: float | None = None
    clusters: int | None = None
    icc: float = 0.0
    level: float = 0.95
    comparisons: int = 1

    def __post_init__(self) -> None:
        checked_level(self.level)
        _check_noise(self)
        if self.comparisons < 1:
            raise EvalkitError(f"comparisons must be at least 1; got {self.comparisons}")
        if self.clusters is not None and self.clusters < 2:
            raise EvalkitError(f"clusters must be at least 2; got {self.clusters}")
        if not 0 <= self.icc <= 1:
            raise EvalkitError(f"the intraclass correlation (icc) must lie in [0, 1]; got {self.icc}")
        if self.icc and self.clusters is None:
            raise EvalkitError("an intraclass correlation (icc) needs the number of clusters")

    @property
    def alpha(self) -> float:
        """The significance level of each test."""
        return round(1 - self.level, 12) / self.comparisons

    @property
    def largest_difference(self) -> float:
        """The largest difference that the design allows; infinite for graded scores."""
        if self.deviation is not None:
            return math.inf
        if self.discordant is not None:
            return self.discordant
        assert self.baseline_score is not None
        return 1 - self.baseline_score

    def discordant_at(self, difference: float) -> float:
        """Return the share of discordant items where the scores differ so much."""
        if self.discordant is not None:
            return self.discordant
        assert self.baseline_score is not None
        assert self.correlation is not None
        return discordant_share(self.baseline_score, difference, self.correlation)

    def design_effect(self, n: int) -> float:
        """Return 1 + (n / clusters - 1) icc: by how much clusters multiply the variance, Kish 1965."""
        return 1.0 if self.clusters is None else 1 + (max(n / self.clusters, 1.0) - 1) * self.icc


def _check_noise(design: PairedDesign) -> None:
    given = [design.discordant, design.baseline_score, design.deviation]
    if sum(value is not None for value in given) != 1 or (design.baseline_score is None) != (
        design.correlation is None
    ):
        raise EvalkitError(
            "describe the noise in one way: the discordant share, the baseline's score with the correlation, or the "
            "deviation of graded differences"
        )
    if design.discordant is not None and not 0 < design.discordant <= 1:
        raise EvalkitError(f"the discordant share must lie in (0, 1]; got {design.discordant}")
    if design.baseline_score is not None and not 0 < design.baseline_score < 1:
        raise EvalkitError(f"the baseline's score must lie between 0 and 1, such as 0.55; got {design.baseline_score}")
    if design.correlation is not None and not -1 <= design.correlation < 1:
        raise EvalkitError(f"the correlation must lie in [-1, 1); got {design.correlation}")
    if design.deviation is not None and not 0 < design.deviation < math.inf:
        raise EvalkitError(f"the deviation must be above 0; got {design.deviation}")


@dataclass(frozen=True, kw_only=True)
class PowerAnalysis:
    """Items, difference and power that belong together.

    Attributes:
        solved_for: which of the three was computed: "power", "items" or "difference".
        n: items.
        difference: of the two scores, > 0.
        power: the probability that the test rejects.
        alpha: the significance level of the test.
        discordant: share of discordant items; None for graded scores.
        deviation: of the paired differences, standard.
        design_effect: by which clusters multiply the variance.
        method: how the power was computed.
        assumptions: what must hold; one sentence to print.
    """

    solved_for: str
    n: int
    difference: float
    power: float
    alpha: float
    discordant: float | None
    deviation: float
    design_effect: float
    method: str
    assumptions: str


def discordant_share(baseline_score: float, difference: float, correlation: float) -> float:
    """Return the share of items that only one of two models has right, from their scores and correlation.

    p1 (1 - p2) + p2 (1 - p1) - 2 r sqrt(p1 (1 - p1) p2 (1 - p2)), p2 = p1 + difference; no less than |difference|
    and no more than min(p1 + p2, 2 - p1 - p2), for scores allow no other.
    """
    first, second = baseline_score, baseline_score + difference
    product = max(0.0, first * (1 - first) * second * (1 - second))
    share = first * (1 - second) + second * (1 - first) - 2 * correlation * math.sqrt(product)
    return max(abs(difference), min(share, first + second, 2 - first - second))


def power(design: PairedDesign, *, n: int, difference: float) -> PowerAnalysis:
    """Return how often a two-sided test at the design's level finds a difference of two scores.

    Scores of 0 and 1, independent items: the mid-p McNemar test, summed over all outcomes up to 1,000,000 items
    (`mcnemar_power`), by the normal approximation beyond. Graded or clustered: the t test, by the noncentral t
    distribution with ncp = difference / sqrt(deviation^2 design_effect / n) and n - 1 or clusters - 1 degrees of
    freedom.

    Source: Connett, Smith, McHugh 1987, Stat. Med. 6:733 (McNemar); Miller 2024, arXiv 2411.00640, section 5.

    Args:
        design: what is known of the two models.
        n: items, >= 2.
        difference: of the two scores, not 0; its sign does not matter.

    Raises:
        EvalkitError: a difference that the design does not allow, or too few items.
    """
    size = _checked_difference(design, difference)
    if not 2 <= n <= MOST_ITEMS:
        raise EvalkitError(f"items must be 2 to {MOST_ITEMS}; got {n}")
    return _analysis(design, n, size, "power")


def sample_size(design: PairedDesign, *, difference: float, power: float = 0.8) -> PowerAnalysis:
    """Return the number of items with which a difference is found with the power asked for.

    The smallest by bisection; the power of a discrete test is not quite monotone, and a few items fewer may do.

    Args:
        design: what is known of the two models; its clusters stay as many, and grow.
        difference: of the two scores, not 0.
        power: the probability of finding it, in (0, 1).

    Raises:
        EvalkitError: a difference that the design does not allow, or that no number of items finds: with few clusters,
            more items per cluster stop helping.
    """
    size, target = _checked_difference(design, difference), _checked_power(design, power)
    at_least = 2 if design.clusters is None else design.clusters
    high = at_least
    while _power(design, high, size) < target:
        if high >= MOST_ITEMS:
            within = f" in {design.clusters} clusters" if design.clusters else ""
            raise EvalkitError(
                f"no number of items{within} up to {MOST_ITEMS} finds a difference of {size:g} with power {target:g}"
            )
        high = min(2 * high, MOST_ITEMS)
    low = max(at_least - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(design, middle, size) >= target else (middle, high)
    return _analysis(design, high, size, "items")


def detectable_difference(design: PairedDesign, *, n: int, power: float = 0.8) -> PowerAnalysis:
    """Return the smallest difference that so many items find with the power asked for.

    Args:
        design: what is known of the two models.
        n: items, >= 2.
        power: the probability of finding it, in (0, 1).

    Raises:
        EvalkitError: too few items for any difference that the design allows.
    """
    from scipy.optimize import brentq

    if not 2 <= n <= MOST_ITEMS:
        raise EvalkitError(f"items must be 2 to {MOST_ITEMS}; got {n}")
    target, most = _checked_power(design, power), design.largest_difference

    def lack(difference: float) -> float:
        return _power(design, n, difference) - target

    high = min(most, 3 * _deviation(design, 0.0) * math.sqrt(design.design_effect(n) / n))
    while lack(high) < 0:
        if high == most:
            raise EvalkitError(
                f"{n} items find no difference that is possible here (at most {most:.4g}) with power {target:g}; "
                "ask more items"
            )
        high = min(1.3 * high, most)
    low = high / 1.3
    while lack(low) > 0:
        low /= 1.3
    found = float(brentq(lack, low, high, xtol=1e-10 * high))
    return _analysis(design, n, found, "difference")


def mcnemar_power(n: int, *, wins: float, losses: float, alpha: float = 0.05) -> float:
    """Return the exact power of the two-sided mid-p McNemar test.

    The number of discordant items m is binomial(n, wins + losses), wins among them binomial(m, wins / (wins + losses));
    the test rejects where P(X <= k) + P(X <= k - 1) <= alpha for k the smaller count, X ~ B(m, 1/2). The power is the
    sum over m, less outcomes whose probability is below 1e-13 together.

    Source: Fagerland, Lydersen, Laake 2013, BMC Med. Res. Methodol. 13:91 (the test).

    Args:
        n: items.
        wins: probability that only the first is right on an item.
        losses: that only the second is; wins + losses in (0, 1].
        alpha: significance level.
    """
    from scipy.special import bdtr, bdtrc
    from scipy.stats import binom

    discordant = wins + losses
    if min(wins, losses) < 0 or not 0 < discordant <= 1 + 1e-12:
        raise EvalkitError(f"the shares of wins and losses must lie within (0, 1] together; got {wins} and {losses}")
    discordant = min(discordant, 1.0)
    first, last = (int(binom.ppf(_TAIL, n, discordant)), int(binom.isf(_TAIL, n, discordant)))
    m = np.arange(max(first, 1), max(last, 1) + 1)
    weight = binom.pmf(m, n, discordant)
    critical = _critical_counts(m, alpha)
    share = wins / discordant
    possible = critical >= 0
    m, weight, critical = m[possible], weight[possible], critical[possible]
    rejected = bdtr(critical, m, share) + bdtrc(m - critical - 1, m, share)
    return float(np.clip((weight * rejected).sum(), 0.0, 1.0))


def _critical_counts(m: NDArray[np.int64], alpha: float) -> Array:
    """Return the largest smaller count at which the mid-p test of m discordant items rejects; -1 where none does."""
    from scipy.special import bdtr, ndtri

    def mid_p(k: Array) -> Array:
        at, below = bdtr(np.maximum(k, 0), m, 0.5), bdtr(np.maximum(k - 1, 0), m, 0.5)
        return np.where(k < 0, 0.0, at + np.where(k < 1, 0.0, below))

    k = np.maximum(np.floor(m / 2 + float(ndtri(alpha / 2)) * np.sqrt(m) / 2), -1.0)
    while (too_many := mid_p(k) > alpha).any():
        k = k - too_many
    while (more := (mid_p(k + 1) <= alpha) & (k + 1 < m / 2)).any():
        k = k + more
    return k


def _analysis(design: PairedDesign, n: int, difference: float, solved_for: str) -> PowerAnalysis:
    found, method = _method(design, n)
    graded = design.deviation is not None
    return PowerAnalysis(
        solved_for=solved_for,
        n=n,
        difference=difference,
        power=found(difference),
        alpha=design.alpha,
        discordant=None if graded else design.discordant_at(difference),
        deviation=_deviation(design, difference),
        design_effect=design.design_effect(n),
        method=method,
        assumptions=_assumptions(design),
    )


def _power(design: PairedDesign, n: int, difference: float) -> float:
    return _method(design, n)[0](difference)


def _method(design: PairedDesign, n: int) -> tuple[Callable[[float], float], str]:
    """Return the power as a function of the difference, and how it is computed."""
    if design.deviation is not None or design.clusters is not None:
        name = "t test" if design.clusters is None else f"t test over {design.clusters} clusters"
        return lambda difference: _t_power(design, n, difference), f"{name}, noncentral t"
    if n <= MOST_ENUMERATED:
        return lambda difference: _enumerated(design, n, difference), "McNemar mid-p, exact"
    name = f"McNemar, normal approximation (error below {APPROXIMATION_ERROR:g})"
    return lambda difference: normal_power(n, difference, design.discordant_at(difference), design.alpha), name


def _enumerated(design: PairedDesign, n: int, difference: float) -> float:
    discordant = design.discordant_at(difference)
    wins, losses = (discordant + difference) / 2, max(0.0, (discordant - difference) / 2)
    return mcnemar_power(n, wins=wins, losses=losses, alpha=design.alpha)


def normal_power(n: int, difference: float, discordant: float, alpha: float) -> float:
    """Return the power of McNemar's test by the normal approximation.

    Phi((|d| sqrt(n) - z sqrt(q)) / sqrt(q - d^2)) and the same of -|d|, with q the discordant share.

    Source: Connett, Smith, McHugh 1987, Stat. Med. 6:733, eq. 2.
    """
    from scipy.special import ndtr, ndtri

    z, spread = -float(ndtri(alpha / 2)), math.sqrt(max(discordant - difference**2, 1e-300))
    reach, bound = abs(difference) * math.sqrt(n), z * math.sqrt(discordant)
    return float(ndtr((reach - bound) / spread) + ndtr((-reach - bound) / spread))


def _t_power(design: PairedDesign, n: int, difference: float) -> float:
    from scipy.special import nctdtr, ndtr

    degrees = (n if design.clusters is None else min(design.clusters, n)) - 1
    error = _deviation(design, difference) * math.sqrt(design.design_effect(n) / n)
    quantile, centre = t_quantile(1 - design.alpha, degrees), difference / error if error else math.inf
    if centre > quantile + 30:
        return 1.0
    if degrees > 100_000:  # the noncentral t is a normal then, and scipy's series does not end
        return float(ndtr(centre - quantile) + ndtr(-quantile - centre))
    other_side = float(np.nan_to_num(nctdtr(degrees, centre, -quantile)))  # NaN where it is next to nothing
    return min(1.0, max(0.0, 1 - float(nctdtr(degrees, centre, quantile)) + other_side))


def _deviation(design: PairedDesign, difference: float) -> float:
    """Return the standard deviation of a paired difference: for scores of 0 and 1, sqrt(discordant - d^2)."""
    if design.deviation is not None:
        return design.deviation
    return math.sqrt(max(design.discordant_at(difference) - difference**2, 0.0))


def _assumptions(design: PairedDesign) -> str:
    if design.deviation is not None:
        noise = f"paired differences have a standard deviation of {design.deviation:.4g}"
    elif design.discordant is not None:
        noise = f"only one of the two is right on {design.discordant:.2%} of the items"
    else:
        noise = f"the baseline scores {design.baseline_score:g}, and the two models' scores correlate by "
        noise += f"{design.correlation:g}"
    if design.clusters is not None:
        noise += f"; {design.clusters} clusters of equal size, differences within one correlate by {design.icc:g}"
    else:
        noise += "; items are independent"
    if design.comparisons > 1:
        noise += f"; the smallest of {design.comparisons} p-values must pass (Holm's first step)"
    return noise


def _checked_difference(design: PairedDesign, difference: float) -> float:
    size = abs(difference)
    if not 0 < size <= design.largest_difference:
        limit = f" and at most {design.largest_difference:.4g}" if design.deviation is None else ""
        raise EvalkitError(f"the difference must not be 0{limit} here; got {difference}")
    return size


def _checked_power(design: PairedDesign, power: float) -> float:
    if not design.alpha < power < 1:
        raise EvalkitError(f"the power must lie between {design.alpha:.4g} and 1, such as 0.8; got {power}")
    return power
