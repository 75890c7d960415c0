"""Tests by flipping signs: where two models are alike, they may trade places on any item."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from evalkit.statistics.checks import (
    Array,
    check_resamples,
    checked_level,
    differences_of,
    labels,
    same_items,
    sums_of_groups,
)
from evalkit.statistics.clusters import INDEPENDENT_CLUSTERS, bias_reduced_sandwich
from evalkit.statistics.means import t_limits
from evalkit.statistics.paired import INDEPENDENT_PAIRS
from evalkit.statistics.records import PairedDifference
from evalkit.statistics.resampling import all_signs, flipped_sums, random_signs

MOST_ENUMERATED = 16
"""2^16 sign patterns are all tried; more items are sampled."""

_ROUNDING = 1e-10
"""Sums that differ by less, relatively, are taken as equal."""


def sign_flip_p(values: Array, rng: np.random.Generator, resamples: int) -> tuple[float, str]:
    """Return the two-sided p-value of the sign-flip test that values are symmetric about 0, and its name.

    All sign patterns of the values that are not 0 where there are at most 16 such values; else
    (1 + as extreme) / (1 + resamples).
    """
    moved = values[values != 0]
    # relative to the sizes, not to their sum: what rounding leaves of a sum of 0 must not exceed 0
    observed = abs(float(moved.sum())) - _ROUNDING * float(np.abs(moved).sum())
    if not len(moved):
        return 1.0, "sign-flip, exact"
    if len(moved) <= MOST_ENUMERATED:
        return float((np.abs(all_signs(len(moved)) @ moved) >= observed).mean()), "sign-flip, exact"
    extreme = int((np.abs(flipped_sums(moved, rng, resamples)) >= observed).sum())
    return (1 + extreme) / (1 + resamples), f"sign-flip, {resamples} resamples"


def paired_permutation(
    first: ArrayLike,
    second: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> PairedDifference:
    """Return the mean paired difference with the permutation test: each item's two scores may trade places.

    The p-value is the share of the 2^n sign patterns whose |sum| is at least the observed one; all are tried where at
    most 16 items differ, else (1 + as extreme) / (1 + resamples). The interval is Student's t.

    Source: Fisher 1935, The Design of Experiments, 21; the +1 is Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol.
    9:39.

    Args:
        first: one score per item, (n,).
        second: the scores of the other model on the same items in the same order, (n,).
        rng: the source of signs.
        resamples: number of sign patterns where not all are tried, >= 100.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, different lengths, a score that is not finite, or too few resamples.
    """
    check_resamples(resamples)
    a, b = same_items(first, second)
    differences = differences_of(a, b)
    p_value, test = sign_flip_p(differences, rng, resamples)
    return PairedDifference(
        difference=float(differences.mean()),
        n=len(a),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        interval=t_limits(differences, level),
        level=level,
        interval_method="Student's t",
        p_value=p_value,
        test=f"paired permutation ({test})",
        assumptions=f"{INDEPENDENT_PAIRS}; where they are alike, the two may trade places on any item",
    )


def wild_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> PairedDifference:
    """Return the mean paired difference of clustered items with the wild cluster bootstrap's test: for few clusters.

    Every cluster's sum of differences gets a random sign, and the t statistic of `clustered_difference` is computed
    anew: p is the share with a |t| at least as large, over all 2^G patterns where G is at most 16, else
    (1 + as extreme) / (1 + resamples). The interval is that of `bias_reduced_difference`.

    Source: Cameron, Gelbach, Miller 2008, Rev. Econ. Stat. 90:414, section III (Rademacher weights, null imposed).

    Args:
        first: one score per item, (n,).
        second: the scores of the other model on the same items in the same order, (n,).
        clusters: the group of each item, (n,).
        rng: the source of signs.
        resamples: number of sign patterns where not all are tried, >= 100.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, different lengths, a score that is not finite, no cluster for each, or too few
            resamples.
    """
    check_resamples(resamples)
    checked_level(level)
    a, b = same_items(first, second)
    codes = labels(clusters, len(a), "cluster")
    differences = differences_of(a, b)
    found = bias_reduced_sandwich(differences, clusters)
    sums, sizes = sums_of_groups(differences, codes), np.bincount(codes).astype(float)
    order = np.lexsort((sizes, sums))  # whatever the order of the clusters
    sums, sizes = sums[order], sizes[order]
    exact = len(sums) <= MOST_ENUMERATED
    observed = _t_of_flipped(np.ones((1, len(sums))), sums, sizes)[0] * (1 - _ROUNDING) - _ROUNDING
    patterns = [all_signs(len(sums))] if exact else random_signs(rng, resamples, len(sums))
    extreme = sum(int((_t_of_flipped(signs, sums, sizes) >= observed).sum()) for signs in patterns)
    p_value = extreme / 2 ** len(sums) if exact else (1 + extreme) / (1 + resamples)
    return PairedDifference(
        difference=found.mean,
        n=len(a),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        interval=found.limits(level),
        level=level,
        interval_method=found.name,
        p_value=p_value,
        test=f"wild cluster bootstrap, {'all' if exact else resamples} sign patterns of {len(sums)} clusters",
        assumptions=f"{INDEPENDENT_CLUSTERS}; where the models are alike, a cluster's difference may have either sign",
    )


def _t_of_flipped(signs: Array, sums: Array, sizes: Array) -> Array:
    """Return |t| over clusters for each row of signs; infinite where the clusters do not vary.

    With y = sign * sum, m = sum y / N: the residual sum of cluster g is y_g - m n_g; squared and summed over g it is
    sum y^2 - 2 m sum y n + m^2 sum n^2.
    """
    means = signs @ sums / sizes.sum()
    squares = np.square(sums).sum() - 2 * means * (signs @ (sums * sizes)) + np.square(means) * np.square(sizes).sum()
    clusters = len(sums)
    errors = np.sqrt(np.maximum(squares, 0) * clusters / max(clusters - 1, 1)) / sizes.sum()
    floor = 1e-12 * np.abs(sums).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.abs(means) / np.where(errors > floor, errors, 0.0)
    return np.where(np.isnan(statistics), 0.0, statistics)
