"""Win rates: preferences of a judge, with ties and weights, against one half or against another model's."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import (
    Array,
    check_resamples,
    differences_of,
    finite,
    is_binary,
    labels,
    normal_quantile,
    same_items,
    sums_of_groups,
    t_quantile,
)
from evalkit.statistics.clusters import Clustered, against, sandwich
from evalkit.statistics.permutation import sign_flip_p
from evalkit.statistics.proportions import wilson, wilson_limits
from evalkit.statistics.records import Interval, PairedDifference, WinRate


def win_rate(
    preferences: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> WinRate:
    """Return the mean preference with its interval and its test against one half.

    Wins and losses alone: Wilson's interval and the exact binomial test. Ties, graded preferences, weights or
    clusters: t interval and test by the sandwich variance of the weighted mean, each preference a cluster of its own
    unless clusters are named (G - 1 degrees of freedom; unweighted and unclustered: Student's). A win rate of 0 or 1
    has Wilson's interval, each cluster one preference.

    Source: the sandwich as in `evalkit.statistics.clusters.sandwich`.

    Args:
        preferences: 1 a win, 0.5 a tie, 0 a loss, or a judge's probability between, (n,).
        weights: of each preference, > 0, (n,).
        clusters: what was judged several times, such as the instruction in both orders, (n,).
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no preferences, one outside [0, 1], a weight that is not positive, or other lengths.
    """
    values, weighted = _preferences(preferences), _weights(weights, preferences)
    independent = clusters is None or len(set(clusters)) == len(values) == len(clusters)
    if is_binary(values) and weighted is None and independent:
        return _binomial(values, level)
    found = sandwich(values, range(len(values)) if clusters is None else clusters, weights=weighted)
    p_value, test = against(found, 0.5)
    units = f"{found.clusters} {'preferences' if clusters is None else 'clusters'}"
    return WinRate(
        win_rate=found.mean,
        n=len(values),
        **_counts(values),
        interval=_limits(found, level),
        level=level,
        interval_method=f"Wilson at the effective size, {units}",
        p_value=p_value,
        test=test.replace("clusters", "clusters" if clusters is not None else "preferences"),
        assumptions=_assumptions(found, clustered=clusters is not None),
    )


def _limits(found: Clustered, level: float) -> Interval | None:
    """Return Wilson's limits at the effective size; None where preferences do not vary and are neither 0 nor 1."""
    share = min(1.0, max(0.0, found.mean))
    if share in (0.0, 1.0):
        return wilson_limits(share, found.clusters, level)
    if not found.error or not found.degrees:
        return None
    effective = share * (1 - share) / found.error**2
    return wilson_limits(share, effective * (normal_quantile(level) / t_quantile(level, found.degrees)) ** 2, level)


def _assumptions(found: Clustered, *, clustered: bool) -> str:
    if clustered:
        return found.assumptions
    return "preferences are of independent instructions; enough of them for their mean to be about normal"


def _binomial(values: Array, level: float) -> WinRate:
    from scipy.stats import binomtest

    wins, n = int(values.sum()), len(values)
    found = wilson(wins, n, level=level)
    return WinRate(
        win_rate=found.score,
        n=n,
        **_counts(values),
        interval=found.interval,
        level=level,
        interval_method=found.method,
        p_value=float(binomtest(wins, n, 0.5).pvalue),
        test="exact binomial",
        assumptions="preferences are of independent instructions",
    )


def win_rate_permutation(
    preferences: ArrayLike,
    *,
    rng: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
) -> WinRate:
    """Return the win rate as `win_rate` does, its test by flipping signs of preference - 1/2, cluster by cluster.

    All sign patterns where at most 16 clusters are not tied, else (1 + as extreme) / (1 + resamples).

    Args:
        preferences: 1 a win, 0.5 a tie, 0 a loss, or a judge's probability between, (n,).
        rng: the source of signs.
        clusters: what was judged several times, (n,).
        resamples: number of sign patterns where not all are tried, >= 100.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no preferences, one outside [0, 1], other lengths, or too few resamples.
    """
    check_resamples(resamples)
    values = _preferences(preferences)
    gaps = values - 0.5
    if clusters is not None:
        gaps = sums_of_groups(gaps, labels(clusters, len(values), "cluster"))
    p_value, test = sign_flip_p(gaps, rng, resamples)
    found = win_rate(values, clusters=clusters, level=level)
    return replace(
        found,
        p_value=p_value,
        test=test,
        assumptions=f"{found.assumptions}; at one half, a preference and its opposite are equally likely",
    )


def win_rate_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Return the difference of two win rates on the same instructions, with a t interval and test.

    The (weighted) mean of paired differences with its sandwich variance, as in `win_rate`; both models are judged
    against the same baseline.

    Args:
        first: preferences for the first model, (n,).
        second: for the second, on the same instructions in the same order, (n,).
        weights: of each instruction, > 0, (n,).
        clusters: what was judged several times, (n,).
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no preferences, one outside [0, 1], a weight that is not positive, or other lengths.
    """
    a, b = same_items(_preferences(first), _preferences(second))
    differences = differences_of(a, b)
    found = sandwich(differences, range(len(a)) if clusters is None else clusters, weights=_weights(weights, first))
    p_value, test = against(found, 0.0)
    units = "clusters" if clusters is not None else "instructions"
    return PairedDifference(
        difference=found.mean,
        n=len(a),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        interval=found.limits(level),
        level=level,
        interval_method=f"t, {found.clusters} {units}",
        p_value=p_value,
        test=test.replace("clusters", units),
        assumptions=_assumptions(found, clustered=clusters is not None),
    )


def _preferences(values: ArrayLike) -> Array:
    preferences = finite(values, "preference")
    if preferences.min() < 0 or preferences.max() > 1:
        raise EvalkitError("a preference must lie in [0, 1]: 1 a win, 0.5 a tie, 0 a loss; AlpacaEval's is less 1")
    return preferences


def _weights(weights: ArrayLike | None, values: ArrayLike) -> Array | None:
    if weights is None:
        return None
    found = finite(weights, "weight")
    if len(found) != np.size(values):
        raise EvalkitError(f"need one weight per preference; got {len(found)} for {np.size(values)}")
    if found.min() <= 0:
        raise EvalkitError(f"a weight must be above 0; got {found.min()}")
    return found


def _counts(values: Array) -> dict[str, int]:
    return {
        "wins": int((values > 0.5).sum()),
        "ties": int((values == 0.5).sum()),
        "losses": int((values < 0.5).sum()),
    }
