"""Resampled sums: the fast ways to draw them give the distributions of the slow ones."""

import itertools
import time
from typing import Any

import numpy as np
import pytest

from evalkit.statistics import clustered_bootstrap, paired_bootstrap, paired_permutation, wild_bootstrap
from evalkit.statistics.resampling import all_signs, flipped_sums, resampled_sums


@pytest.mark.parametrize("distinct", [3, 400])
@pytest.mark.parametrize("columns", [1, 3])
def test_resampled_sums_have_the_mean_and_covariance_of_resamples(distinct: int, columns: int) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, distinct, (600, columns)).astype(float)
    sums = resampled_sums(rows, random, 20_000)
    assert sums.shape == (20_000, columns)
    spread = np.cov(rows.T, bias=True).reshape(columns, columns) * len(rows)
    errors = np.sqrt(np.diag(spread) / 20_000)
    assert (np.abs(sums.mean(axis=0) - rows.sum(axis=0)) < 5 * errors).all()
    assert np.cov(sums.T).reshape(columns, columns) == pytest.approx(spread, abs=0.05 * np.diag(spread).max())


@pytest.mark.parametrize("values", [[1.0] * 40 + [-1.0] * 20, np.linspace(-1, 2, 50).tolist()])
def test_flipped_sums_are_symmetric_with_the_variance_of_the_values(values: list[float]) -> None:
    sums = flipped_sums(np.array(values), np.random.default_rng(1), 40_000)
    variance = float(np.square(values).sum())
    assert abs(sums.mean()) < 5 * np.sqrt(variance / 40_000)
    assert sums.var() == pytest.approx(variance, rel=0.03)


def test_all_signs_are_all_of_them() -> None:
    signs = all_signs(5)
    assert {tuple(row) for row in signs.tolist()} == set(itertools.product([-1.0, 1.0], repeat=5))


@pytest.mark.parametrize("draw", [resampled_sums, lambda rows, rng, count: flipped_sums(rows[:, 0], rng, count)])
@pytest.mark.parametrize("distinct", [2, 500])
def test_the_order_of_units_changes_nothing(draw: Any, distinct: int) -> None:
    random = np.random.default_rng(2)
    rows = random.integers(0, distinct, (300, 1)).astype(float)
    ours = draw(rows, np.random.default_rng(3), 200)
    theirs = draw(rows[random.permutation(300)], np.random.default_rng(3), 200)
    assert (ours == theirs).all()


@pytest.mark.parametrize("graded", [False, True])
def test_ten_thousand_resamples_of_14042_items_are_quick(graded: bool) -> None:
    random = np.random.default_rng(4)
    a, b = random.random((2, 14_042)) if graded else random.integers(0, 2, (2, 14_042)).astype(float)
    started = time.process_time()
    paired_bootstrap(a, b, rng=random)
    paired_permutation(a, b, rng=random)
    assert time.process_time() - started < 3


def test_a_bootstrap_of_few_items_falls_back_on_percentiles_and_says_so() -> None:
    from evalkit.statistics.bootstrap import bca_limits

    interval, name = bca_limits(0.0, np.arange(1.0, 101.0), np.array([-1.0, 1.0]), 0.9)
    assert name == "percentile"
    assert interval == pytest.approx(np.quantile(np.arange(1.0, 101.0), [0.05, 0.95]))
    flat = paired_bootstrap([0.5] * 4, [0.25] * 4, rng=np.random.default_rng(0))
    assert (flat.interval, flat.p_value) == (None, 0.125)
    assert "do not vary" in flat.interval_method


def test_a_sum_that_is_zero_but_for_rounding_is_as_extreme_as_any() -> None:
    thirds = np.arange(4) / 3
    first, second = thirds[[2, 0, 0, 3, 1, 1]], thirds[[0, 1, 1, 1, 2, 2]]
    assert 0 < abs((first - second).sum()) < 1e-15
    assert paired_permutation(first, second, rng=np.random.default_rng(0)).p_value == 1
    assert paired_bootstrap(first, second, rng=np.random.default_rng(0)).p_value == 1
    names = ["a", "a", "b", "b", "c", "d"]
    assert wild_bootstrap(first, second, names, rng=np.random.default_rng(0)).p_value == 1
    assert clustered_bootstrap(first - second, names, rng=np.random.default_rng(0)).p_value == 1
