"""Theorem 4's half on KTO for two outputs, against the loss computed with floats."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.special import expit, logit
from sympy import Expr, Rational

from halotheory.findings import Status
from halotheory.theorems import theorem4_kto as theorem
from halotheory.theorems.claims import Claim

STATEMENT = theorem.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
BOUNDARIES = {boundary.name: boundary for boundary in STATEMENT.boundaries}
PROVED, REFUTED = Status.PROVED, Status.REFUTED

_log_odds = st.floats(-8, 8)
_betas = st.floats(0.02, 4)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("the_loss", PROVED),
        ("optimum_with_a_constant", PROVED),
        ("optimum_with_a_fixed_distribution", PROVED),
        ("gradient_with_a_constant", PROVED),
        ("optimum_with_kl", REFUTED),
        ("what_the_optimum_needs", PROVED),
        ("optimum_with_kl_and_large_beta", PROVED),
        ("local_minimum_with_kl", PROVED),
        ("where_the_optimum_holds", PROVED),
        ("where_the_optimum_fails", PROVED),
        ("dynamics_with_kl_held_fixed", PROVED),
        ("reported_loss_falls", REFUTED),
        ("when_the_loss_falls", PROVED),
        ("enough_for_the_fall", PROVED),
        ("dynamics_through_kl", REFUTED),
        ("starts_near_the_indicator_through_kl", PROVED),
        ("no_start_through_kl_and_large_beta", PROVED),
        ("starts_below_the_reference_through_kl", PROVED),
    ],
)
def test_what_is_decided(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status


def test_every_claim_is_listed_here() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 18


def arguments(s: np.ndarray, log_odds: float, beta: float, z0: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """u_a and u_b at the logits s; z0 is KL where None."""
    rho_a = -np.logaddexp(0, -s) + np.logaddexp(0, -log_odds)
    rho_b = -np.logaddexp(0, s) + np.logaddexp(0, log_odds)
    point = expit(s) * rho_a + expit(-s) * rho_b if z0 is None else z0
    return beta * (rho_a - point), beta * (rho_b - point)


def moving(s: np.ndarray, log_odds: float, beta: float, z0: float | None = None) -> np.ndarray:
    u_a, u_b = arguments(s, log_odds, beta, z0)
    return expit(u_b) - expit(u_a)


@given(_log_odds, _betas, st.floats(-2, 4))
def test_with_a_constant_the_loss_only_falls(log_odds: float, beta: float, z0: float) -> None:
    assert np.diff(moving(np.linspace(-30, 30, 2001), log_odds, beta, z0)).max() <= 1e-15


@pytest.mark.parametrize("name", ["optimum_with_kl", "reported_loss_falls", "dynamics_through_kl"])
def test_the_witness_beats_the_indicator(name: str) -> None:
    witness = CLAIMS[name].witness
    assert witness is not None
    p, q, t, beta = (float(Rational(witness[key])) for key in ("p", "pi_ref(y_a)", "pi(y_a)", "beta"))
    assert p ** (1 / beta) * q < (1 - p) ** (1 / beta) * (1 - q)
    assert moving(np.array(logit(t)), logit(q), beta) == pytest.approx(-0.6)
    assert moving(np.array(700.0), logit(q), beta) == pytest.approx(-0.5)
    assert moving(np.array(logit(q)), logit(q), beta) == pytest.approx(0)


def test_the_witness_has_the_losses_that_are_claimed() -> None:
    witness = CLAIMS["optimum_with_kl"].witness
    assert witness is not None
    p, best, indicator = (Rational(witness[key]) for key in ("p", "loss", "loss of the indicator"))
    assert (best, indicator) == (1 + (2 * p - 1) * Rational(-3, 5), 1 - (2 * p - 1) / 2)
    assert best < indicator


def product(log_odds: float, beta: float, delta: float) -> mpmath.mpf:
    """(exp(u_a) - 1)(exp(-u_b) - 1) at logit t = logit q + delta, also where t is next to 1."""
    rest = 1 / (1 + mpmath.exp(delta + log_odds))
    return mpmath.expm1(beta * rest * delta) * mpmath.expm1(beta * (1 - rest) * delta)


@given(st.floats(-3, 3), st.floats(1, 3))
def test_for_large_beta_the_policy_that_is_named_beats_the_indicator(log_odds: float, beta: float) -> None:
    k = np.exp(-log_odds)
    assert product(log_odds, beta, 16 * (k + 1 / k)) > 4


@given(_log_odds, st.floats(0.02, 0.95), st.floats(0, 20))
def test_below_one_the_indicator_is_a_local_minimum(log_odds: float, beta: float, further: float) -> None:
    assert product(log_odds, beta, beta * np.exp(-log_odds) / (2 * (1 - beta) ** 2) + further) < 4


@given(_log_odds)
def test_the_closed_conditions_agree_with_the_loss(log_odds: float) -> None:
    s, log_k = np.linspace(-30, 30, 20001), -log_odds
    k = np.exp(log_k)
    enough = [4 * np.e / (4 * np.e + k)]
    if k >= 1:
        enough.append(min(2 / 3, 2 * np.log(3) / (log_k + np.log(4.5 * np.log(3)))))
    assert all(moving(s, log_odds, beta).min() >= -0.5 - 1e-13 for beta in enough)
    if k > 1.01:
        assert moving(np.array(0.0), log_odds, 2.0001 * np.log(3) / log_k) < -0.5


@given(_log_odds, _betas, st.floats(-8, 8))
def test_where_the_loss_falls(log_odds: float, beta: float, s: float) -> None:
    delta, t = s - log_odds, expit(s)
    assume(delta > 0.01)
    u_a, u_b = arguments(np.array(s), log_odds, beta)
    left, right = expit(u_b) * expit(-u_b) * (delta + 1 / (1 - t)), expit(u_a) * expit(-u_a) * (delta - 1 / t)
    step = 1e-4
    rise = moving(np.array(s + step), log_odds, beta) - moving(np.array(s - step), log_odds, beta)
    assert rise / (2 * step) == pytest.approx(-beta * t * (1 - t) * (left - right), abs=1e-6)


@given(_log_odds, _betas, _log_odds)
def test_a_step_with_kl_held_fixed_goes_towards_the_majority(log_odds: float, beta: float, s: float) -> None:
    z0 = expit(s) * (np.logaddexp(0, -log_odds) - np.logaddexp(0, -s))
    z0 += expit(-s) * (np.logaddexp(0, log_odds) - np.logaddexp(0, s))
    around = moving(np.array([s - 1e-3, s + 1e-3]), log_odds, beta, z0)
    assert around[1] < around[0]


@given(_log_odds)
def test_the_loss_falls_all_the_way_where_that_is_enough(log_odds: float) -> None:
    k, betas = np.exp(-log_odds), np.linspace(0.01, 0.99, 50)
    for beta in betas[(1 - betas) * np.exp(1 - betas) >= k / (4 * np.e)]:
        assert np.diff(moving(np.linspace(log_odds, 30, 2001), log_odds, beta)).max() <= 1e-13


def test_gradient_flow_through_kl_stops_short_of_the_majority() -> None:
    beta, log_odds, step = 0.5, -np.log(256), 1e-5

    def flow(_: float, s: np.ndarray) -> np.ndarray:
        return (moving(s - step, log_odds, beta) - moving(s + step, log_odds, beta)) / (2 * step)

    end = solve_ivp(flow, (0, 5000), [log_odds], rtol=1e-9).y[0, -1]
    points = BOUNDARIES["interior_minimisers"].points
    (found,) = [point["t"] for point in points if (point["beta"], point["pi_ref(y_a)"]) == ("1/2", "1/257")]
    low, high = (float(end) for end in found.strip("[]").split(", "))
    assert low < expit(end) < high


@pytest.mark.parametrize(("name", "key"), [("value_boundary", "beta*"), ("fall_boundary", "beta")])
def test_the_boundaries_are_enclosed_to_a_thousandth(name: str, key: str) -> None:
    points = BOUNDARIES[name].points
    assert len(points) == 14
    for point in points:
        low, high = (float(end) for end in point[key].strip("[]").split(", "))
        assert 0 < low < high < 1
        assert high - low < 1e-3


def _forward(u: Expr) -> Expr:
    return -theorem.exp(-u)


@pytest.mark.parametrize("claim", [theorem.gradient_with_a_constant, theorem.dynamics_with_kl_held_fixed])
def test_a_slope_of_the_wrong_sign_is_not_proved(monkeypatch: pytest.MonkeyPatch, claim: Callable[[], Claim]) -> None:
    monkeypatch.setattr(theorem, "slope", _forward)
    assert claim().status is Status.UNDECIDED


def test_a_ratio_that_rises_with_beta_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    right = theorem._tilt
    monkeypatch.setattr(theorem, "_tilt", lambda u: -right(u))
    assert theorem.when_the_loss_falls().status is Status.UNDECIDED


def test_a_premise_the_other_way_round_does_not_refute(monkeypatch: pytest.MonkeyPatch) -> None:
    right = theorem._premise
    monkeypatch.setattr(theorem, "_premise", lambda numbers: right(numbers)[::-1])
    assert theorem.optimum_with_kl().status is Status.UNDECIDED


@given(_log_odds, _log_odds, _betas, st.floats(0, 1), st.floats(0.01, 1))
def test_a_fixed_distribution_over_two_outputs_lets_the_loss_fall(
    start: float, log_odds: float, beta: float, share: float, step: float
) -> None:
    def f(s: float) -> float:
        u_a, u_b = arguments(np.array(s), log_odds, beta, 0.0)
        mean = share * u_a + (1 - share) * u_b
        return float(expit(u_b - mean) - expit(u_a - mean))

    assert f(start + step) <= f(start)
