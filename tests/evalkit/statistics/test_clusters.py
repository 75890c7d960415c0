"""Clusters: laws of the sandwich, plain and bias-reduced, and what few or equal clusters give."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.statistics import (
    Interval,
    bias_reduced,
    bias_reduced_difference,
    clustered,
    clustered_bootstrap,
    clustered_difference,
    estimate,
    intraclass_correlation,
    paired_difference,
    wild_bootstrap,
    wilson,
)

items = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 5)), min_size=3, max_size=60)


def ends(interval: Interval | None) -> Interval:
    assert interval is not None
    return interval


@given(items, st.randoms(use_true_random=False))
def test_the_order_of_items_and_the_names_of_clusters_change_nothing(drawn: list[tuple[int, int]], random: Any) -> None:
    renamed = [(score, f"cluster {7 * cluster % 6}") for score, cluster in random.sample(drawn, len(drawn))]
    for method in (clustered, bias_reduced):
        ours = method([x / 10 for x, _ in drawn], [c for _, c in drawn])
        theirs = method([x / 10 for x, _ in renamed], [c for _, c in renamed])
        assert ours.score == pytest.approx(theirs.score)
        assert (ours.interval is None) == (theirs.interval is None)
        if ours.interval is not None:
            assert ours.interval == pytest.approx(theirs.interval, abs=1e-9)


def test_the_order_of_items_and_clusters_changes_no_bootstrap() -> None:
    random = np.random.default_rng(0)
    a, b, groups = random.random(90), random.random(90), np.repeat(np.arange(18), 5)
    order = random.permutation(90)
    found = []
    for shuffled in (np.arange(90), order):
        x, y, of = a[shuffled], b[shuffled], groups[shuffled].tolist()
        found.append(
            (
                clustered_bootstrap(x - y, of, rng=np.random.default_rng(1), resamples=500),
                wild_bootstrap(x, y, of, rng=np.random.default_rng(1), resamples=500),
            )
        )
    (resampled, flipped), (again, flipped_again) = found
    assert again.interval == pytest.approx(resampled.interval)
    assert (again.p_value, flipped_again.p_value) == (resampled.p_value, flipped.p_value)


@given(st.integers(2, 12), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_clusters_of_one_size_have_the_plain_sandwich(groups: int, size: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=groups * size)
    clusters = [i // size for i in range(groups * size)]
    plain, reduced = clustered(values, clusters), bias_reduced(values, clusters)
    assert reduced.interval == pytest.approx(plain.interval)


def test_bias_reduction_is_that_of_matrices() -> None:
    random = np.random.default_rng(3)
    sizes = np.array([2, 3, 5, 40, 7, 7, 11])
    codes = np.repeat(np.arange(7), sizes)
    x = random.normal(size=len(codes)) + random.normal(size=7)[codes]
    icc, n = intraclass_correlation(x, codes.tolist()), len(codes)
    residual_maker = np.eye(n) - 1 / n
    covariance = (1 - icc) * np.eye(n) + icc * (codes[:, None] == codes)
    weights = np.zeros((7, n))
    variance = 0.0
    for g in range(7):
        inside = codes == g
        adjusted = 1 / np.sqrt(1 - sizes[g] / n)  # (I - H_gg)^(-1/2) applied to a vector of ones
        weights[g] = adjusted * (inside @ residual_maker) / n
        variance += (weights[g] @ x) ** 2
    spread = weights @ covariance @ weights.T
    degrees = np.trace(spread) ** 2 / np.square(spread).sum()
    from scipy.stats import t

    half = t.ppf(0.975, degrees) * np.sqrt(variance)
    assert bias_reduced(x, codes.tolist()).interval == pytest.approx((x.mean() - half, x.mean() + half))


def test_one_large_cluster_widens_the_interval() -> None:
    random = np.random.default_rng(5)
    clusters = np.repeat(np.arange(20), [10] * 18 + [200, 300])
    x = random.normal(size=len(clusters)) + random.normal(size=20)[clusters]
    plain, reduced = ends(clustered(x, clusters.tolist()).interval), ends(bias_reduced(x, clusters.tolist()).interval)
    assert reduced[1] - reduced[0] > 1.5 * (plain[1] - plain[0])


def test_clusters_within_fixed_subsets_lose_the_spread_between_subsets() -> None:
    random = np.random.default_rng(1)
    subsets = np.repeat([0, 1, 2], 40)
    clusters = np.arange(120) // 4
    x = random.normal(size=120) + 5 * subsets
    free, fixed = (clustered(x, clusters.tolist(), strata=strata) for strata in (None, subsets.tolist()))
    assert ends(fixed.interval)[1] - ends(fixed.interval)[0] < 0.3 * (ends(free.interval)[1] - ends(free.interval)[0])
    assert estimate(x, clusters=clusters.tolist(), strata=subsets.tolist()) == fixed


def test_clusters_all_alike() -> None:
    right = clustered([1] * 12, [i // 3 for i in range(12)])
    assert right.interval == wilson(4, 4).interval
    assert right.method == "Wilson over 4 clusters, all alike"
    assert clustered([0.3] * 12, [i // 3 for i in range(12)]).interval is None
    assert clustered([0.2, 0.4, 0.9], ["only"] * 3).interval is None
    tied = clustered_difference([0.3] * 6, [0.3] * 6, [0, 0, 1, 1, 2, 2])
    assert (tied.interval, tied.p_value) == (None, 1.0)
    better = clustered_difference([0.5] * 6, [0.25] * 6, [0, 0, 1, 1, 2, 2])
    assert (better.interval, better.p_value, better.test) == (None, 0.25, "sign-flip over clusters")
    assert clustered_bootstrap([0.25] * 6, [0, 0, 1, 1, 2, 2], rng=np.random.default_rng(0)).p_value == 0.25


def test_binary_limits_stay_within_reach() -> None:
    low, high = ends(clustered([1] * 19 + [0], [i // 2 for i in range(20)]).interval)
    assert high == 1.0
    assert 0 < low < 0.95


def test_few_clusters_are_said_to_be_few() -> None:
    found = clustered([1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 2, 2])
    assert "3 clusters are few" in found.assumptions


def test_the_wild_bootstrap_tries_all_patterns_of_few_clusters() -> None:
    a = np.array([0.9, 0.8, 0.7, 0.9, 0.6, 0.8, 0.9, 0.5])
    found = wild_bootstrap(
        a, a - [0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.2, 0.1], [0, 0, 1, 1, 2, 2, 3, 3], rng=np.random.default_rng(0)
    )
    assert found.p_value == 2 / 16  # all four clusters gain: only the two patterns without a turn are as extreme


def test_defaults_are_clustered_only_where_a_cluster_has_several_items() -> None:
    a, b = [1, 0, 1, 1], [0, 0, 1, 0]
    assert paired_difference(a, b, clusters="abcd") == paired_difference(a, b)
    assert paired_difference(a, b, clusters="aabb") == bias_reduced_difference(a, b, "aabb")
    assert estimate(a, clusters="abcd") == estimate(a)
    assert estimate(a, clusters="aabb") == bias_reduced(a, "aabb")


@pytest.mark.parametrize("clusters", [57, 14_042])
@pytest.mark.parametrize("method", ["bootstrap", "wild"])
def test_ten_thousand_resamples_of_14042_items_take_less_than_two_seconds(clusters: int, method: str) -> None:
    random = np.random.default_rng(0)
    differences = random.integers(-1, 2, 14_042).astype(float)
    groups = random.integers(0, clusters, 14_042).tolist()
    started = time.process_time()
    if method == "bootstrap":
        found = clustered_bootstrap(differences, groups, rng=random, resamples=10_000)
    else:
        found = wild_bootstrap(differences, np.zeros(14_042), groups, rng=random, resamples=10_000)
    assert time.process_time() - started < 2
    assert found.interval == pytest.approx(
        clustered_difference(differences, np.zeros(14_042), groups).interval, abs=2e-3
    )
