"""Intervals, tests and Holm's adjustment, against scipy, statsmodels and worked values."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from halotheory.errors import HaloTheoryError
from halotheory.experiments.statistics import estimate, holm, t_quantile, t_test


@pytest.mark.parametrize("degrees", [1, 2, 5, 30, 199, 5000])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9999])
def test_quantiles_are_those_of_scipy(probability: float, degrees: int) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 20, 200])
def test_intervals_and_p_values_are_those_of_scipy(count: int) -> None:
    values = np.random.default_rng(count).normal(0.3, 1.0, count)
    found = estimate(values)
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-9)
    assert found.count == count
    assert t_test(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)


def test_a_tiny_p_value_is_not_zero() -> None:
    values = 10 + np.random.default_rng(0).normal(size=100)
    assert 0 < t_test(values) < 1e-80


def test_equal_differences_are_judged_by_their_sign() -> None:
    assert t_test(np.full(5, 0.1)) == 1 / 16
    assert t_test(np.zeros(5)) == 1


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")], [1.0, float("inf"), 2.0]])
def test_too_little_is_an_error(values: list[float]) -> None:
    with pytest.raises(HaloTheoryError, match="two or more finite values"):
        estimate(np.array(values))


def test_holm_is_that_of_statsmodels() -> None:
    p_values = np.random.default_rng(1).uniform(0, 0.1, 12).tolist()
    p_values[3] = p_values[7]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_intervals_cover_in_95_of_100_cases() -> None:
    generator = np.random.default_rng(2)
    covered = [found.low <= 1 <= found.high for found in (estimate(generator.normal(1, 2, 8)) for _ in range(2000))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
