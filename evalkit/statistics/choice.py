"""The method that suits the data: for one model's scores, and for two models on the same items."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from evalkit.statistics.checks import differences_of, finite, is_binary, labels, same_items, sums_of_groups
from evalkit.statistics.clusters import bias_reduced, bias_reduced_difference, clustered
from evalkit.statistics.means import t_interval
from evalkit.statistics.paired import (
    INDEPENDENT_PAIRS,
    mcnemar_counts,
    mcnemar_mid_p,
    paired_t,
    tango,
)
from evalkit.statistics.proportions import stratified_wilson, wilson
from evalkit.statistics.records import Estimate, PairedDifference


def estimate(
    scores: ArrayLike,
    *,
    strata: Sequence[Hashable] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the mean of per-item scores with the interval that suits them.

    Items in clusters of more than one: t over clusters, within the strata where there are several, else bias-reduced
    (which is the plain sandwich where clusters are of one size). Else scores of 0 and 1: Wilson's interval, over strata
    where there are several. Else: Student's t interval.

    Args:
        scores: one number per item, (n,), finite.
        strata: the subset of each item, (n,), when the benchmark is a fixed list of subsets and its score the
            mean over all items.
        clusters: the group of each item, (n,), such as the question where each is asked several times.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, a score that is not finite, or no subset or cluster for each.
    """
    values = finite(scores)
    several = strata if strata is not None and len(set(strata)) > 1 else None
    if clusters is not None and len(set(clusters)) < len(values):
        if several is None:
            return bias_reduced(values, clusters, level=level)
        return clustered(values, clusters, strata=several, level=level)
    if not is_binary(values):
        return t_interval(values, level=level)
    if several is None:
        return wilson(int(values.sum()), len(values), level=level)
    codes = labels(several, len(values), "subset")
    successes = sums_of_groups(values, codes).astype(int)
    return stratified_wilson(successes.tolist(), np.bincount(codes).tolist(), level=level)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Return the paired difference of two models' scores on the same items, with the test that suits them.

    Items in clusters of more than one: t over clusters, bias-reduced (which is the plain sandwich where clusters are
    of one size). Else scores of 0 and 1: Tango's interval and the mid-p McNemar test. Else: Student's paired t.

    Args:
        first: one score per item, (n,).
        second: the scores of the other model on the same items in the same order, (n,).
        clusters: the group of each item, (n,), such as the question where each is asked several times.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, different lengths, a score that is not finite, or no cluster for each.
    """
    a, b = same_items(first, second)
    if clusters is not None and len(set(clusters)) < len(a):
        return bias_reduced_difference(a, b, clusters, level=level)
    if not (is_binary(a) and is_binary(b)):
        return paired_t(differences_of(a, b), level=level)
    _, wins, losses, _ = mcnemar_counts(a, b)
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
        assumptions=INDEPENDENT_PAIRS,
    )
