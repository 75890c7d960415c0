"""Differences resampled: a bootstrap over items, and one over clusters."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from evalkit.statistics.checks import (
    Array,
    check_resamples,
    checked_level,
    differences_of,
    finite,
    labels,
    no_spread,
    same_items,
    sums_of_groups,
)
from evalkit.statistics.clusters import FEW_CLUSTERS, INDEPENDENT_CLUSTERS, against, sandwich
from evalkit.statistics.paired import INDEPENDENT_PAIRS
from evalkit.statistics.records import Interval, PairedDifference
from evalkit.statistics.resampling import resampled_sums


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> PairedDifference:
    """Return the mean paired difference with a bootstrap over items: BCa interval, and a test by the shifted bootstrap.

    The interval is that of `scipy.stats.bootstrap(paired=True, method="BCa")`, whose acceleration for a mean is
    sum e^3 / (6 (sum e^2)^1.5), e the deviations from the mean; drawn a hundred times as fast. Where BCa's correction
    does not exist (every resample on one side of the mean) it is the percentile interval, and says so. p is
    (1 + resamples with |d* - d| >= |d|) / (1 + resamples).

    Source: Efron 1987, JASA 82:171, eqs. 2.3, 6.6; Davison and Hinkley 1997, section 4.4, for the test.

    Args:
        first: one score per item, (n,).
        second: the scores of the other model on the same items in the same order, (n,).
        rng: the source of resamples.
        resamples: how many, >= 100.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, different lengths, a score that is not finite, or too few resamples.
    """
    check_resamples(resamples)
    a, b = same_items(first, second)
    differences = differences_of(a, b)
    mean = float(differences.mean())
    if no_spread(differences):
        interval, name = None, "none: the differences do not vary"
        p_value = 1.0 if not mean else 2.0 ** (1 - len(a))
    else:
        means = resampled_sums(differences[:, None], rng, resamples)[:, 0] / len(a)
        interval, name = bca_limits(mean, means, differences - mean, level)
        p_value = _shifted_p(mean, means, float(np.abs(differences).max()))
    return PairedDifference(
        difference=mean,
        n=len(a),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        interval=interval,
        level=checked_level(level),
        interval_method=f"bootstrap over items ({name}, {resamples} resamples)",
        p_value=p_value,
        test=f"bootstrap over items, shifted ({resamples} resamples)",
        assumptions=f"{INDEPENDENT_PAIRS}; enough of them for the sample to stand for all",
    )


def _shifted_p(mean: float, means: Array, largest: float) -> float:
    extreme = int((np.abs(means - mean) >= abs(mean) - 1e-12 * largest).sum())
    return (1 + extreme) / (1 + len(means))


def bca_limits(observed: float, replicates: Array, influences: Array, level: float) -> tuple[Interval, str]:
    """Return the bias-corrected and accelerated bootstrap interval, and its name: "BCa", or "percentile" without.

    The limits are the quantiles of the replicates at Phi(z0 + (z0 +- z) / (1 - a (z0 +- z))), with z0 the normal
    quantile of the share of replicates below the observed value (those equal count half) and
    a = sum u^3 / (6 (sum u^2)^1.5).

    Source: Efron 1987, JASA 82:171, eqs. 2.3, 6.6.

    Args:
        observed: the statistic of the data.
        replicates: of the resamples, (resamples,).
        influences: of each unit on the statistic, up to a constant factor, such as its deviation from a mean, (n,).
        level: nominal coverage, in (0, 1).
    """
    from scipy.special import ndtr, ndtri

    tails = np.array([(1 - checked_level(level)) / 2, (1 + level) / 2])
    share = float(((replicates < observed).mean() + (replicates <= observed).mean()) / 2)
    if not 0 < share < 1:
        return _quantiles(replicates, tails), "percentile"
    bias, cubes = ndtri(share), float(np.power(influences, 3).sum())
    acceleration = cubes / (6 * float(np.square(influences).sum()) ** 1.5)
    shifted = bias + ndtri(tails)
    corrected = ndtr(bias + shifted / (1 - acceleration * shifted))
    if np.ptp(shifted * acceleration) >= 1 or not np.isfinite(corrected).all():
        return _quantiles(replicates, tails), "percentile"
    return _quantiles(replicates, corrected), "BCa"


def _quantiles(replicates: Array, at: Array) -> Interval:
    low, high = np.quantile(replicates, at)
    # the means of right and wrong answers lie on a grid, and so do the limits: rounding must not exclude one
    margin = 1e-12 * float(np.abs(replicates).max())
    return max(float(low) - margin, float(replicates.min())), min(float(high) + margin, float(replicates.max()))


def clustered_bootstrap(
    differences: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> PairedDifference:
    """Return the mean of clustered paired differences with a bootstrap over clusters: studentized interval and test.

    Clusters are drawn with replacement, whole; each resample's mean m* and sandwich error s* give t* = (m* - m) / s*.
    The interval is [m - q_high s, m - q_low s] with the quantiles q of t*; p is
    (1 + resamples with |t*| >= |m / s|) / (1 + resamples). Unlike a percentile interval it is wide enough for a few
    dozen clusters. Resamples whose clusters do not vary have no t* and count as infinite; if the quantiles are, the
    interval is `clustered_difference`'s t, and says so.

    Source: Efron 1982, section 10.10 (bootstrap t); Cameron, Gelbach, Miller 2008, Rev. Econ. Stat. 90:414, section II,
    for clusters.

    Args:
        differences: score of the first less that of the second, per item, (n,).
        clusters: the group of each item, (n,).
        rng: the source of resamples.
        resamples: how many, >= 100.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no differences, one that is not finite, no cluster for each, or too few resamples.
    """
    check_resamples(resamples)
    checked_level(level)
    values = finite(differences, "difference")
    found = sandwich(values, clusters)
    interval, name = None, "none: the clusters do not vary"
    p_value, test = against(found, 0.0)
    if found.error:
        statistics = _t_of_resamples(values, clusters, found.mean, rng, resamples)
        low, high = np.quantile(statistics, [(1 + level) / 2, (1 - level) / 2], method="higher")
        interval, name = (found.mean - float(low) * found.error, found.mean - float(high) * found.error), "studentized"
        if not np.isfinite(interval).all():
            interval, name = found.limits(level), "t: too few clusters to resample"
        extreme = int((np.abs(statistics) >= abs(found.mean / found.error) * (1 - 1e-10) - 1e-10).sum())
        p_value, test = (1 + extreme) / (1 + resamples), f"bootstrap over {found.clusters} clusters, studentized"
    few = f"; {found.clusters} clusters are few: take it with care" if found.clusters < FEW_CLUSTERS else ""
    return PairedDifference(
        difference=found.mean,
        n=len(values),
        wins=int((values > 0).sum()),
        losses=int((values < 0).sum()),
        interval=interval,
        level=level,
        interval_method=f"bootstrap over {found.clusters} clusters ({name}, {resamples} resamples)",
        p_value=p_value,
        test=test,
        assumptions=f"{INDEPENDENT_CLUSTERS}; enough clusters for the sample to stand for all{few}",
    )


def _t_of_resamples(
    values: Array, clusters: Sequence[Hashable], mean: float, rng: np.random.Generator, resamples: int
) -> Array:
    """Return t* = (m* - m) / s* of each resample of the clusters, (resamples,).

    With s_g the sum and n_g the size of cluster g, sum (s - m* n)^2 is that of s^2 - 2 m* s n + m*^2 n^2:
    five sums over the drawn clusters are enough. s_g is taken less m n_g, so that nothing cancels.
    """
    codes = labels(clusters, len(values), "cluster")
    sizes = np.bincount(codes).astype(float)
    sums = sums_of_groups(values - mean, codes)
    rows = np.stack([sums, sizes, sums**2, sums * sizes, sizes**2], axis=1)
    total, items, squares, products, size_squares = resampled_sums(rows, rng, resamples).T
    shift = total / items
    residual = np.maximum(squares - 2 * shift * products + shift**2 * size_squares, 0.0)
    count = len(sizes)
    errors = np.sqrt(residual * count / (count - 1)) / items
    flat = residual <= 1e-20 * np.square(sums).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = shift / np.where(flat, 0.0, errors)
    return np.where(np.isnan(statistics), 0.0, statistics)
