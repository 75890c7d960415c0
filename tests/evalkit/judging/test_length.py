"""The win rate at equal lengths, against statsmodels and where the answer is known."""

import numpy as np
import pytest
import statsmodels.api as sm

from evalkit.errors import EvalkitError
from evalkit.judging.length import length_adjusted


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("repeats", [1, 3])
def test_it_is_the_quasi_binomial_regression_with_clustered_errors(graded: bool, repeats: int) -> None:
    rng = np.random.default_rng(0)
    prompts = np.repeat(np.arange(120), repeats)
    d = rng.normal(30, 200, len(prompts))
    p = 1 / (1 + np.exp(-(0.3 + 0.8 * np.tanh(d / d.std()) + rng.normal(0, 0.5, 120)[prompts])))
    y = np.clip(p + rng.normal(0, 0.1, len(p)), 0, 1) if graded else (rng.random(len(p)) < p).astype(float)
    found = length_adjusted(y, d, clusters=prompts.tolist())
    design = sm.add_constant(np.tanh(d / d.std()))
    fit = sm.GLM(y, design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": prompts, "use_correction": False}, tol=1e-12
    )
    error = np.sqrt(120 / 119) * fit.bse
    assert found.slope == pytest.approx(fit.params[1], abs=1e-8)
    assert found.win_rate == pytest.approx(1 / (1 + np.exp(-fit.params[0])), abs=1e-8)
    low = fit.params - 1.959963984540054 * error
    assert found.interval[0] == pytest.approx(1 / (1 + np.exp(-low[0])), abs=1e-6)
    assert found.slope_interval[0] == pytest.approx(low[1], abs=1e-6)


def test_a_judge_that_likes_length_alone_prefers_neither_at_equal_lengths() -> None:
    rng = np.random.default_rng(1)
    d = rng.normal(150, 200, 20_000)  # the judged model writes more
    y = rng.random(len(d)) < 1 / (1 + np.exp(-2 * np.tanh(d / d.std())))
    found = length_adjusted(y.astype(float), d)
    assert y.mean() > 0.6
    assert found.win_rate == pytest.approx(0.5, abs=0.02)
    assert found.slope == pytest.approx(2.0, abs=0.1)


def test_swapping_the_answers_turns_the_win_rate_round() -> None:
    rng = np.random.default_rng(2)
    d, y = rng.normal(10, 50, 100), rng.random(100)
    one, other = length_adjusted(y, d), length_adjusted(1 - y, -d)
    assert other.win_rate == pytest.approx(1 - one.win_rate)
    assert other.slope == pytest.approx(one.slope)


@pytest.mark.parametrize(
    ("y", "d", "message"),
    [
        ([1, 0, 1], [5, 5, 5], "do not vary"),
        ([1, 1, 0, 0], [9, 8, -1, -2], "no finite fit"),
        ([1, 1, 1], [1, 2, 3], "no finite fit"),
        ([0, 0, 0], [1, -2, 3], "no finite fit"),
    ],
)
def test_without_a_finite_fit_it_says_so(y: list[float], d: list[float], message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        length_adjusted(y, d)


def test_preferences_that_follow_the_lengths_exactly_leave_no_spread() -> None:
    with pytest.raises(EvalkitError, match="follow the lengths exactly"):
        length_adjusted([0.75, 0.75, 0.5, 0.5, 0.5], [10, 10, 0, 0, 0])
