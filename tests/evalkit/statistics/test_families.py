"""Families: adjusted p-values and Cochran's Q, against statsmodels, by hand, and their laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.statistics import (
    benjamini_hochberg,
    cochran_q,
    cochran_q_permutation,
    holm,
    simultaneous_level,
    t_interval,
)


@settings(max_examples=15)  # statsmodels takes a tenth of a second
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_p_values_are_larger_and_keep_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert (adjusted >= np.array(p_values) - 1e-15).all()
    assert (adjusted <= 1).all()
    order = np.argsort(p_values)
    assert (np.diff(adjusted[order]) >= 0).all()


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_benjamini_and_hochberg_reject_what_holm_does(p_values: list[float]) -> None:
    assert (benjamini_hochberg(p_values) <= holm(p_values) + 1e-12).all()
    assert (benjamini_hochberg(p_values) >= np.array(p_values) - 1e-12).all()


def test_simultaneous_intervals_hold_together() -> None:
    random = np.random.default_rng(0)
    level = simultaneous_level(0.95, 6)
    held = 0
    for _ in range(2000):
        intervals = [t_interval(random.normal(size=40), level=level).interval for _ in range(6)]
        held += all(low <= 0 <= high for low, high in intervals)  # type: ignore[misc]
    assert 0.94 <= held / 2000 <= 0.965


def test_shuffling_models_within_items_agrees_with_all_shuffles() -> None:
    table = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 0, 1]], dtype=float)
    observed = cochran_q(table).statistic
    orders = [np.array(list(itertools.permutations(row))) for row in table[[0, 1, 2, 5]]]
    statistics = [cochran_q(np.array(rows)).statistic for rows in itertools.product(*orders)]
    share = np.mean(np.array(statistics) >= observed - 1e-9)
    found = cochran_q_permutation(table, rng=np.random.default_rng(0), resamples=20_000)
    assert found.p_value == pytest.approx(share, abs=0.01)
    assert found.statistic == observed


def test_models_that_no_item_tells_apart_are_alike() -> None:
    table = np.repeat([[1.0], [0.0], [1.0]], 3, axis=1)
    assert (cochran_q(table).statistic, cochran_q(table).p_value) == (0.0, 1.0)
    assert cochran_q_permutation(table, rng=np.random.default_rng(0)).p_value == 1.0
