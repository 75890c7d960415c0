"""Intervals of one score: against statsmodels and Newcombe 1998, and over subsets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from evalkit.statistics import (
    Interval,
    exact,
    macro_average,
    macro_wilson,
    stratified_wilson,
    wilson,
)


def check_interval(interval: Interval | None, inside: float) -> Interval:
    assert interval is not None
    low, high = interval
    assert low <= inside <= high
    assert low < high
    return interval


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 10), (81, 263), (15, 148), (0, 20), (1, 29), (269, 512)])
def test_wilson_is_that_of_statsmodels_and_of_newcombe_1998(k: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    found = wilson(k, n)
    assert found.interval == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)
    newcombe = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    if (k, n) in newcombe:
        assert found.interval == pytest.approx(newcombe[k, n], abs=5e-5)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=10))
def test_subsets_never_widen_the_interval_and_keep_the_pooled_score(counts: list[tuple[int, int]]) -> None:
    successes, sizes = [k for k, _ in counts], [k + rest + 1 for k, rest in counts]
    pooled, stratified = wilson(sum(successes), sum(sizes)), stratified_wilson(successes, sizes)
    assert stratified.score == pytest.approx(pooled.score)
    low, high = check_interval(stratified.interval, stratified.score)
    assert pooled.interval is not None
    assert pooled.interval[0] - 1e-12 <= low
    assert high <= pooled.interval[1] + 1e-12


def test_one_subset_alone_or_equal_subsets_have_wilsons_interval() -> None:
    assert stratified_wilson([7, 7], [10, 10]).interval == pytest.approx(wilson(14, 20).interval)
    assert stratified_wilson([50], [100]).interval == pytest.approx(wilson(50, 100).interval)


@pytest.mark.parametrize("per_subset", [20, 250])
def test_the_stratified_interval_covers_the_truth_as_often_as_it_says(per_subset: int) -> None:
    random = np.random.default_rng(3)
    truths = np.linspace(0.05, 0.98, 27)
    draws = random.binomial(per_subset, truths, size=(2000, 27))
    limits = np.array([stratified_wilson(draw.tolist(), [per_subset] * 27).interval for draw in draws])
    covered = np.mean([low <= truths.mean() <= high for low, high in limits])
    assert 0.94 <= covered <= 0.965
    low, high = np.mean(limits, axis=0)
    whole = wilson(round(truths.mean() * 27 * per_subset), 27 * per_subset).interval
    assert whole is not None
    assert high - low < 0.86 * (whole[1] - whole[0])


@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.9, 0.95])
)
def test_each_end_of_the_exact_interval_leaves_half_of_the_rest(counts: tuple[int, int], level: float) -> None:
    k, n = counts
    low, high = check_interval(exact(k, n, level=level).interval, k / n)
    tail = (1 - level) / 2
    assert k == 0 or binom.sf(k - 1, n, low) == pytest.approx(tail)
    assert k == n or binom.cdf(k, n, high) == pytest.approx(tail)


def test_a_macro_average_counts_each_subset_once() -> None:
    scores, strata = [1, 1, 1, 1, 1, 1, 0, 0], list("aaaaaabb")
    found = macro_average(scores, strata)
    assert found.score == 0.5
    pooled = wilson(6, 8).interval
    low, high = check_interval(found.interval, 0.5)
    assert pooled is not None
    assert high - low > pooled[1] - pooled[0]  # two items carry half of the weight
    check_interval(macro_average([1] * 10, list("aabbbbbbbb")).interval, 1.0)
    assert macro_average([0.2, 0.4, 0.3], list("aab")).interval is None  # one graded item says nothing of its spread


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8))
def test_equal_subsets_have_one_average(successes: list[int]) -> None:
    macro, micro = macro_wilson(successes, [20] * len(successes)), stratified_wilson(successes, [20] * len(successes))
    assert macro.score == pytest.approx(micro.score)
    if 0 < sum(successes) < 20 * len(successes):
        assert macro.interval == pytest.approx(micro.interval, abs=0.02)
