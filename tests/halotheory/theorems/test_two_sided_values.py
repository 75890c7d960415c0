"""Theorem 3 with KTO's own value function, against values computed with floats."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from sympy import Rational, sympify

from halotheory.findings import Status
from halotheory.theorems import two_sided_values

CLAIMS = {claim.name: claim for claim in two_sided_values.two_sided()}

Point = Callable[[np.ndarray], np.ndarray]
POINTS: dict[str, Point] = {
    "per_input": lambda r: r.mean(axis=1, keepdims=True),
    "per_input_clamped": lambda r: r.mean(axis=1, keepdims=True).clip(0),
    "shared": lambda r: np.full((2, 1), r.mean()),
    "shared_clamped": lambda r: np.full((2, 1), r.mean().clip(0)),
}
SIGNS = np.array([1, -1, 1, -1])

_numbers = st.integers(-6, 6).map(lambda k: k / 2)
_worlds = arrays(float, (2, 4), elements=_numbers)


def log_odds(r: np.ndarray, point: Point) -> np.ndarray:
    """The log-odds of the values over beta; outputs are desirable and undesirable in turn."""
    return SIGNS * (r - point(r))


def spread(r: np.ndarray, point: Point) -> float:
    return float((log_odds(r, point) ** 2).mean())


@given(_worlds, arrays(float, 2, elements=_numbers))
def test_a_mean_per_input_absorbs_every_h(r: np.ndarray, h: np.ndarray) -> None:
    point = POINTS["per_input"]
    assert log_odds(r + h[:, None], point) == pytest.approx(log_odds(r, point), abs=1e-12)


@pytest.mark.parametrize("reading", ["per_input_clamped", "shared_clamped"])
@given(_worlds)
def test_a_constant_far_down_changes_the_distribution(reading: str, r: np.ndarray) -> None:
    point = POINTS[reading]
    h = -1 - spread(r, point) - 2 * abs(r.mean()) - abs(r).max()
    assert spread(r + h, point) > spread(r, point) + 1e-9


@given(_worlds, st.sampled_from([(1.0, 0.0), (-1.0, 2.0)]))
def test_a_shared_mean_lets_a_large_varying_h_through(r: np.ndarray, k: tuple[float, float]) -> None:
    point, way = POINTS["shared"], np.array(k)[:, None]
    way = way - way.mean()
    t = 1 + max(0, -2 * ((r - r.mean()) * way).mean() / (way**2).mean())
    assert spread(r + t * way, point) > spread(r, point) + 1e-9


@pytest.mark.parametrize("name", ["fixed_two_sided_constant_h", "shared_clamped_two_sided_constant_h_exactly"])
def test_the_exchange_keeps_the_distribution_and_changes_values(name: str) -> None:
    witness = CLAIMS[name].witness or {}
    r, h = np.array(sympify(witness["r_a"]), dtype=float), float(Rational(witness["h"]))
    if name.startswith("shared"):
        assert r.mean() < r.mean() + h < 0
    before, after = (expit(0.5 * np.array([each[0], -each[1]])) for each in (r, r + h))
    assert np.sort(after) == pytest.approx(np.sort(before), abs=1e-15)
    assert after[0] > before[0]


def test_a_clamp_that_is_idle_absorbs_a_constant() -> None:
    witness = CLAIMS["shared_clamped_two_sided_constant_h"].witness or {}
    r, h = np.array(sympify(witness["r_a"]), dtype=float), float(Rational(witness["h"]))
    assert r.mean() == float(witness["z0 of r_a"]) > 0
    assert r + h - (r + h).mean() == pytest.approx(r - r.mean())


def test_mutants_are_not_proved() -> None:
    bad = two_sided_values.Integer(-3)
    steps = two_sided_values._exchange(two_sided_values.Integer(1), bad, two_sided_values.Integer(1))
    assert any(step.status is Status.UNDECIDED for step in steps)
