"""Win rates: laws, ties, weights, orders, and what no spread leaves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from evalkit.statistics import wilson, win_rate, win_rate_difference, win_rate_permutation

preferences = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=50)


@given(preferences)
def test_the_other_sides_win_rate_is_the_rest(values: list[float]) -> None:
    ours, theirs = win_rate(values), win_rate([1 - value for value in values])
    assert ours.win_rate == pytest.approx(1 - theirs.win_rate)
    assert (ours.wins, ours.ties, ours.losses) == (theirs.losses, theirs.ties, theirs.wins)
    assert ours.p_value == pytest.approx(theirs.p_value)
    assert ours.wins + ours.ties + ours.losses == ours.n
    assert (ours.interval is None) == (theirs.interval is None)
    if ours.interval is not None and theirs.interval is not None:
        assert ours.interval == pytest.approx((1 - theirs.interval[1], 1 - theirs.interval[0]), abs=1e-9)
        assert -1e-9 <= ours.interval[0] <= ours.win_rate + 1e-9
        assert ours.win_rate - 1e-9 <= ours.interval[1] <= 1 + 1e-9


@given(preferences, st.floats(0.1, 10))
def test_equal_weights_change_nothing(values: list[float], weight: float) -> None:
    plain, weighted = win_rate([*values, 0.5]), win_rate([*values, 0.5], weights=[weight] * (len(values) + 1))
    assert weighted.win_rate == pytest.approx(plain.win_rate)
    assert weighted.p_value == pytest.approx(plain.p_value, abs=1e-9)


def test_a_preference_asked_twice_counts_once() -> None:
    values = np.random.default_rng(0).choice([0, 0.5, 1], 60).tolist()
    once, twice = win_rate(values), win_rate(values * 2, clusters=list(range(60)) * 2)
    assert twice.win_rate == once.win_rate
    assert twice.interval == pytest.approx(once.interval)
    assert twice.p_value == pytest.approx(once.p_value)
    assert "60 clusters" in twice.interval_method


def test_near_one_half_the_interval_is_nearly_students_t() -> None:
    values = np.random.default_rng(1).choice([0, 0.5, 1], 400)
    found, t = win_rate(values), ttest_1samp(values, 0.5).confidence_interval()
    assert found.interval == pytest.approx((t.low, t.high), abs=1e-3)


def test_extremes_have_wilsons_interval_and_ties_none() -> None:
    assert win_rate([1, 1, 1, 1], weights=[1, 2, 3, 4]).interval == pytest.approx(wilson(4, 4).interval)
    assert win_rate([0] * 6, clusters=[0, 0, 1, 1, 2, 2]).interval == pytest.approx(wilson(0, 3).interval)
    tied = win_rate([0.5] * 10)
    assert (tied.win_rate, tied.interval, tied.p_value, tied.ties) == (0.5, None, 1.0, 10)
    assert win_rate([1] * 5).p_value == 2 * 0.5**5


def test_flipped_signs_agree_with_the_t_test_where_there_are_many() -> None:
    values = np.random.default_rng(2).choice([0, 0.5, 1], 300, p=[0.42, 0.1, 0.48])
    found = win_rate_permutation(values, rng=np.random.default_rng(3), resamples=20_000)
    assert found.p_value == pytest.approx(win_rate(values).p_value, abs=0.02)
    assert found.interval == win_rate(values).interval
    clustered = win_rate_permutation(
        np.repeat(values, 2), rng=np.random.default_rng(3), clusters=[i // 2 for i in range(600)], resamples=20_000
    )
    assert clustered.p_value == pytest.approx(found.p_value, abs=1e-12)


def test_a_difference_of_win_rates_is_paired_by_instruction() -> None:
    random = np.random.default_rng(4)
    hard = random.random(200)
    first, second = ((random.random(200) < hard * share).astype(float) for share in (0.9, 0.7))
    found = win_rate_difference(first, second)
    assert found.difference == pytest.approx(win_rate(first).win_rate - win_rate(second).win_rate)
    assert found.p_value == pytest.approx(float(ttest_1samp(first - second, 0).pvalue))
    back = win_rate_difference(second, first)
    assert back.difference == -found.difference
