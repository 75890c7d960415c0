"""The regression: the optimum satisfies its conditions, for many weightings at once as for each alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.alpaca.glm import choose_strength, fit_exactly, fit_liblinear, logistic


def problem(seed: int, rows: int = 80, fits: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a design (features, fits, rows), targets (rows,) and weights (fits, rows)."""
    rng = np.random.default_rng(seed)
    design = np.stack([np.tanh(rng.normal(0, 1, (fits, rows))), *np.repeat(rng.normal(0, 1, (1, 1, rows)), fits, 1)])
    design = np.concatenate([design, np.ones((1, fits, rows))])
    return design, rng.uniform(0, 1, rows), rng.integers(0, 4, (fits, rows)).astype(float)


@given(seed=st.integers(0, 10_000), exponent=st.floats(-3, 4))
def test_the_optimum_satisfies_the_conditions_of_the_penalty(seed: int, exponent: float) -> None:
    design, targets, weights = problem(seed)
    strength = 10.0**exponent
    found = fit_exactly(design, targets, weights, strength, np.zeros(3))
    for fit, coefficients in enumerate(found):
        chance = logistic(coefficients @ design[:, fit])
        slope = strength * design[:, fit] @ (weights[fit] * (chance - targets))
        for gradient, coefficient in zip(slope, coefficients, strict=True):
            if coefficient:
                assert gradient == pytest.approx(-np.sign(coefficient), abs=1e-4 * max(1.0, strength))
            else:
                assert abs(gradient) <= 1 + 1e-6


def test_fits_together_are_the_fits_alone() -> None:
    design, targets, weights = problem(1)
    together = fit_exactly(design, targets, weights, 2.0, np.zeros(3))
    for fit in range(len(weights)):
        alone = fit_exactly(design[:, fit : fit + 1], targets, weights[fit : fit + 1], 2.0, np.zeros(3))
        assert together[fit] == pytest.approx(alone[0], abs=1e-7)


def test_a_row_counted_twice_is_the_row_written_twice() -> None:
    design, targets, weights = problem(2, fits=1)
    counted = fit_exactly(design, targets, weights, 2.0, np.zeros(3))
    rows = np.repeat(np.arange(len(targets)), weights[0].astype(int))
    written = fit_exactly(design[:, :, rows], targets[rows], np.ones((1, len(rows))), 2.0, np.zeros(3))
    assert counted == pytest.approx(written, abs=1e-7)


def test_scikit_learn_finds_the_same_optimum_when_told_to_go_on() -> None:
    from sklearn.linear_model import LogisticRegression

    design, targets, weights = problem(3, rows=300, fits=1)
    rows = design[:, 0].T
    model = LogisticRegression(
        C=3.0, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-12, max_iter=100_000, random_state=0
    )
    both = np.concatenate([weights[0] * targets, weights[0] * (1 - targets)])
    model.fit(np.concatenate([rows, rows]), np.repeat([1, 0], len(rows)), sample_weight=both)
    ours = fit_exactly(design, targets, weights, 3.0, np.zeros(3))
    assert ours[0] == pytest.approx(model.coef_[0], abs=1e-5)
    assert fit_liblinear(rows, targets, weights[0], 3.0) == pytest.approx(ours[0], abs=0.02)


def test_certain_preferences_stay_finite() -> None:
    design, _, _ = problem(4, fits=1)
    found = fit_exactly(design, np.ones(80), np.ones((1, 80)), 1e4, np.zeros(3))
    assert np.isfinite(found).all()
    assert logistic(found[0] @ design[:, 0]).min() > 0.99


def test_the_penalty_is_the_best_of_the_grid_on_held_out_rows() -> None:
    design, *_ = problem(5, rows=200, fits=1)
    noise = np.full(200, 0.5)
    assert choose_strength(design[:, 0].T, noise, np.ones(200)) == pytest.approx(1e-4)
    strong = logistic(4 * design[0, 0])
    assert choose_strength(design[:, 0].T, strong, np.ones(200)) > 1
