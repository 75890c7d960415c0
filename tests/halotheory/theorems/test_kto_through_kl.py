"""Gradient flow through KL with two outputs, against the loss computed with floats."""

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sympy import Rational

from halotheory.findings import Status
from halotheory.theorems import kto_through_kl

BOUNDARY = kto_through_kl.rest_points()

_log_odds = st.floats(-6, 6)


def f(s: float | np.ndarray, log_odds: float, beta: float) -> np.ndarray:
    """The part of the loss that moves, with z0 = KL, at the logits s."""
    delta = np.asarray(s) - log_odds
    return expit(-beta * expit(s) * delta) - expit(beta * expit(-np.asarray(s)) * delta)


def slope(s: float, log_odds: float, beta: float) -> float:
    return float(f(s + 1e-5, log_odds, beta) - f(s - 1e-5, log_odds, beta)) / 2e-5


def end_of_flow(start: float, log_odds: float, beta: float) -> float:
    """Where small steps downhill lead, each of one length."""
    s, step = start, 1e-3
    way = -np.sign(slope(s, log_odds, beta))
    while abs(s) < 14 and -np.sign(slope(s, log_odds, beta)) == way:
        s += way * step
    return float(expit(s))


def interval(text: str) -> tuple[float, float]:
    low, high = (float(end) for end in text.strip("[]").split(", "))
    return low, high


@pytest.mark.parametrize("point", BOUNDARY.points, ids=lambda point: f"{point['beta']} {point['pi_ref(y_a)']}")
def test_the_loss_turns_where_the_boundary_says(point: dict[str, str]) -> None:
    beta, odds = mpmath.mpf(Rational(point["beta"])), 1 / mpmath.mpf(Rational(point["pi_ref(y_a)"])) - 1

    def criterion(t: mpmath.mpf) -> mpmath.mpf:
        delta = mpmath.log(t / (1 - t)) + mpmath.log(odds)
        x, y = beta * (1 - t) * delta, beta * t * delta
        left = (delta + 1 / (1 - t)) * (2 + mpmath.exp(x) + mpmath.exp(-x))
        return left - (delta - 1 / t) * (2 + mpmath.exp(y) + mpmath.exp(-y))

    with mpmath.workdps(40):
        low, high = map(mpmath.mpf, point["stops at t"].strip("[]").split(", "))
        assert criterion(low) > 0 > criterion(high)
        assert (point["t = 1 from"] == "none") == (beta >= 1)
        if beta < 1:
            low, high = map(mpmath.mpf, point["t = 1 from"].strip("[]").split(", "))
            assert criterion(low) < 0 < criterion(high)


@pytest.mark.parametrize(("beta", "reference"), [("1/2", "1/100"), ("1", "1/4"), ("2", "1/2")])
def test_gradient_flow_ends_where_the_boundary_says(beta: str, reference: str) -> None:
    (point,) = [each for each in BOUNDARY.points if (each["beta"], each["pi_ref(y_a)"]) == (beta, reference)]
    low, high = interval(point["stops at t"])
    start, strength = logit(float(Rational(reference))), float(Rational(beta))
    assert low - 1e-3 < end_of_flow(start, start, strength) < high + 1e-3
    if point["t = 1 from"] != "none":
        below, above = interval(point["t = 1 from"])
        assert low - 1e-3 < end_of_flow(logit(below) - 0.5, start, strength) < high + 1e-3
        assert end_of_flow(logit(above) + 0.5, start, strength) > above


@given(st.floats(0.05, 0.8), st.floats(-3, 6), st.floats(0.01, 5))
def test_near_the_indicator_the_loss_falls_for_small_beta(beta: float, log_odds: float, further: float) -> None:
    delta = max(1.0, np.exp(-log_odds) / (2 * (1 - beta) ** 2)) + further
    assume(delta + log_odds < 15)
    assert slope(log_odds + delta, log_odds, beta) < 1e-11


@given(st.floats(1, 3), st.floats(-1, 1))
def test_near_the_indicator_the_loss_rises_for_large_beta(beta: float, log_odds: float) -> None:
    with mpmath.workdps(60):
        k = mpmath.exp(-log_odds)
        for delta in (16 * (k + 1 / k), 20 * (k + 1 / k)):
            rest = 1 / (1 + mpmath.exp(delta) / k)
            x, y = beta * rest * delta, beta * (1 - rest) * delta
            left = (delta + 1 / rest) * (2 + mpmath.exp(x) + mpmath.exp(-x))
            assert left < (delta - 1 / (1 - rest)) * (2 + mpmath.exp(y) + mpmath.exp(-y))


@given(_log_odds, _log_odds, st.floats(0.05, 3))
def test_below_the_reference_is_the_mirror_of_above(s: float, log_odds: float, beta: float) -> None:
    assert f(s, log_odds, beta) == pytest.approx(-f(-s, -log_odds, beta), abs=1e-14)


def test_where_the_loss_falls_all_the_way_there_is_no_rest_point() -> None:
    with pytest.raises(ArithmeticError, match="0 rest points near beta = 1/10"):
        kto_through_kl.rests(Rational(1, 10), Rational(1, 2))


def test_a_margin_of_another_function_encloses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kto_through_kl, "_positive", lambda *piece: False)
    with pytest.raises(ArithmeticError, match="no rest point enclosed at beta = 1/2"):
        kto_through_kl.rests(Rational(1, 2), Rational(1, 100))


def test_mutants_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kto_through_kl, "sigmoid", lambda u: u)
    monkeypatch.setattr(kto_through_kl, "exp", lambda u: 1 + u)
    assert kto_through_kl.no_start_for_large_beta().status is Status.UNDECIDED
    assert kto_through_kl.starts_near_the_indicator().status is Status.UNDECIDED
