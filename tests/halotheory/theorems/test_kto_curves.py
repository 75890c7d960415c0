"""The curves of Theorem 4 for KTO, against minimisation with scipy."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from sympy import Rational, sqrt

from halotheory.theorems import kto_curves
from halotheory.theorems.kto_curves import FALL, VALUE, Curve, Enclosed, enclosed, minimiser

REFERENCES = [Rational(1, 10**6), Rational(1, 1000), Rational(1, 20), Rational(1, 4), Rational(1, 2), Rational(9, 10)]


def loss(s: np.ndarray, q: float, beta: float) -> np.ndarray:
    """sigmoid(u_b) - sigmoid(u_a) with z0 = KL at the logits s, from the definition."""
    t, e = expit(s), expit(-s)
    rho_a, rho_b = np.log(t / q), np.log(e / (1 - q))
    kl = t * rho_a + e * rho_b
    return expit(beta * (rho_b - kl)) - expit(beta * (rho_a - kl))


def least(q: float, beta: float) -> tuple[float, float]:
    """The logit and the loss of the best policy among those that differ from the indicator."""
    grid = np.linspace(logit(q), 25, 4001)
    best = int(np.argmin(loss(grid, q, beta)))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(lambda s: loss(s, q, beta), bounds=around, method="bounded", options={"xatol": 1e-12})
    return found.x, found.fun


@pytest.mark.parametrize("reference", REFERENCES[:4])
def test_the_value_curve_is_where_the_best_policy_equals_the_indicator(reference: Rational) -> None:
    found, _ = VALUE.largest_beta(reference)
    q = float(reference)
    independent = brentq(lambda beta: least(q, beta)[1] + 0.5 + 1e-13, 0.05, 0.999)
    assert float(found.high - found.low) <= 1e-3
    assert float(found.low) - 1e-6 < independent < float(found.high) + 1e-6


@pytest.mark.parametrize("reference", REFERENCES[:4])
def test_the_fall_curve_is_where_the_loss_begins_to_rise_somewhere(reference: Rational) -> None:
    found, _ = FALL.largest_beta(reference)
    s = np.linspace(logit(float(reference)), 25, 20001)
    for beta, rises in ((float(found.low), False), (float(found.high) + 2e-4, True)):
        assert (np.diff(loss(s, float(reference), beta)).max() > 1e-14) == rises


@pytest.mark.parametrize("reference", REFERENCES)
def test_the_loss_falls_throughout_only_where_it_ends_lowest(reference: Rational) -> None:
    value, fall = VALUE.largest_beta(reference)[0], FALL.largest_beta(reference)[0]
    assert fall.low < value.high <= 1


@pytest.mark.parametrize("curve", [VALUE, FALL])
def test_the_curves_rise_with_the_reference(curve: Curve) -> None:
    found = [curve.largest_beta(reference)[0] for reference in REFERENCES]
    assert all(one.high < other.low for one, other in pairwise(found))


@pytest.mark.parametrize("reference", [Rational(99, 100), Rational(999, 1000)])
def test_near_one_the_curves_are_told_apart_from_one(reference: Rational) -> None:
    for curve in (VALUE, FALL):
        found, _ = curve.largest_beta(reference)
        k = float((1 - reference) / reference)
        assert found.high < 1
        assert (1 - found.middle) / (k / (4 * np.e)) == pytest.approx(1, abs=0.01)


def test_the_curves_asymptotes_as_the_reference_vanishes() -> None:
    for log_k in (700.0, 5000.0):
        value, _ = VALUE._first_failure(log_k)
        fall, _ = FALL._first_failure(log_k)
        assert value * log_k / (2 * np.log(3)) == pytest.approx(1, abs=1e-4)
        assert fall * log_k**1.5 / np.sqrt(24 * np.sqrt(3)) == pytest.approx(1, abs=0.005)


@given(st.floats(-9, 4), st.floats(0.05, 3))
@settings(max_examples=60)
def test_the_curve_tells_whether_another_policy_beats_the_indicator(log_odds: float, beta: float) -> None:
    q = expit(log_odds)
    border, _ = VALUE._first_failure(-log_odds)
    assume(abs(beta - border) > 0.01)
    lowest = least(q, beta)[1]
    if beta < border:
        assert lowest >= -0.5 - 1e-12
    elif border < 0.93:  # else the other policy differs from the indicator by less than can be seen here
        assert lowest < -0.5


@pytest.mark.parametrize(
    ("beta", "reference"), [("1/2", "1/257"), ("1", "1/17"), ("1", "1/2"), ("2", "1/2"), ("1/10", "1/1000000000000")]
)
def test_the_interior_minimiser_is_what_minimisation_finds(beta: str, reference: str) -> None:
    place, value = minimiser(Rational(beta), Rational(reference))
    s, lowest = least(float(Rational(reference)), float(Rational(beta)))
    assert float(place.high - place.low) < 2e-3
    assert float(place.low) < expit(s) < float(place.high)
    assert lowest == pytest.approx(value.middle, abs=1e-8)


def test_there_is_no_interior_minimiser_below_the_curve() -> None:
    with pytest.raises(ArithmeticError, match="no policy beats the indicator at beta = 1/2"):
        minimiser(Rational(1, 2), Rational(1, 4))


def test_what_fails_at_one_delta_is_not_said_to_hold() -> None:
    for curve in (VALUE, FALL):
        found, _ = curve.largest_beta(Rational(1, 10))
        assert curve.holds(found.low, Rational(9))
        assert not curve.holds(found.high, Rational(9))


def test_a_mutant_of_the_margin_gives_no_enclosure() -> None:
    flipped = Curve(
        margin=lambda beta, k: -kto_curves._value_margin(beta, k),
        excess=VALUE.excess,
        enough=VALUE.enough,
        tail=VALUE.tail,
        start=VALUE.start,
    )
    with pytest.raises(ArithmeticError, match="no enclosure"):
        flipped.largest_beta(Rational(1, 100))


def test_a_number_is_enclosed_in_decimals() -> None:
    found = enclosed(sqrt(2))
    assert str(found) == "[1.4142126, 1.4142146]"
    assert str(Enclosed(low=Rational(-1, 2), high=Rational(3))) == "[-0.5, 3]"
