"""Theorem 4's half on DPO, against minimisation of the loss and witnesses in floats."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, logit, softmax
from sympy import Expr, Rational

from halotheory.findings import Status
from halotheory.theorems import theorem4_dpo as theorem

STATEMENT = theorem.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
PROVED, REFUTED = Status.PROVED, Status.REFUTED

_fractions = st.floats(0.51, 0.99)
_references = st.floats(0.01, 0.99)
_betas = st.floats(0.05, 5)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("one_optimum", PROVED),
        ("closed_form", PROVED),
        ("prefers_the_minority", PROVED),
        ("implied_reward_favours_the_minority", REFUTED),
        ("implied_reward_favours_the_majority", PROVED),
        ("rises_from_the_reference", PROVED),
        ("no_contradiction", PROVED),
        ("third_output_is_free", PROVED),
        ("minoritys_output_is_the_most_probable", REFUTED),
        ("gradients_lead_to_the_minority", REFUTED),
    ],
)
def test_what_is_decided(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status


def test_every_claim_is_listed_here() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 10


def dpo(u: np.ndarray, p: float) -> np.ndarray:
    return -p * log_expit(u) - (1 - p) * log_expit(-u)


@given(_fractions, _references, _betas)
def test_the_closed_form_is_what_minimisation_finds(p: float, q: float, beta: float) -> None:
    found = minimize_scalar(lambda s: dpo(beta * (s - logit(q)), p), bracket=(logit(q) - 1, logit(q) + 1), tol=1e-12)
    closed = logit(q) + logit(p) / beta
    assert beta * found.x == pytest.approx(beta * closed, abs=1e-5)  # the loss is flat near its minimum
    assert dpo(beta * (closed - logit(q)), p) <= found.fun + 1e-14


@given(_fractions, _references, _betas)
def test_the_minority_wins_where_the_condition_holds(p: float, q: float, beta: float) -> None:
    optimum = expit(logit(q) + logit(p) / beta)
    left, right = np.log(p) / beta + np.log(q), np.log(1 - p) / beta + np.log(1 - q)
    if abs(left - right) > 1e-9:
        assert (optimum < 0.5) == (left < right)
    assert optimum >= q


def test_the_trial_compares_thousands_of_worlds_to_eight_digits() -> None:
    (trial,) = CLAIMS["closed_form"].trials
    assert trial.count >= 1000
    assert trial.largest_error <= 1e-8


def numbers(name: str) -> dict[str, float]:
    witness = CLAIMS[name].witness
    assert witness is not None
    return {key: float(Rational(value)) for key, value in witness.items() if "log" not in value}


def test_the_witness_against_the_papers_sign() -> None:
    found = numbers("implied_reward_favours_the_minority")
    p, q, t, beta = found["p"], found["pi_ref(y_a)"], found["pi(y_a)"], found["beta"]
    assert p ** (1 / beta) * q < (1 - p) ** (1 / beta) * (1 - q)
    assert expit(logit(q) + logit(p) / beta) == pytest.approx(t)
    assert t < 1 - t
    assert np.log(t / q) > np.log((1 - t) / (1 - q))


@pytest.mark.parametrize("name", ["minoritys_output_is_the_most_probable", "gradients_lead_to_the_minority"])
def test_the_witnesses_with_a_third_output_are_optima(name: str) -> None:
    found = numbers(name)
    policy = np.array([found[f"pi(y_{y})"] for y in "abc"])
    reference = np.array([found[f"pi_ref(y_{y})"] for y in "abc"])
    p, beta = found["p"], found["beta"]
    assert policy.sum() == pytest.approx(1)
    assert reference.sum() == pytest.approx(1)
    assert p ** (1 / beta) * reference[0] < (1 - p) ** (1 / beta) * reference[1]
    gap = np.log(policy / reference)
    assert expit(beta * (gap[0] - gap[1])) == pytest.approx(p)
    assert policy[2] > policy[1] > policy[0]


def test_gradient_flow_ends_where_the_witness_says() -> None:
    found = numbers("gradients_lead_to_the_minority")
    reference = np.array([found[f"pi_ref(y_{y})"] for y in "abc"])
    p, beta = found["p"], found["beta"]

    def flow(_: float, s: np.ndarray) -> np.ndarray:
        u = beta * (s[0] - s[1] - np.log(reference[0] / reference[1]))
        return beta * (p - expit(u)) * np.array([1.0, -1.0, 0.0])

    end = solve_ivp(flow, (0, 500), np.log(reference), rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(softmax(end), [found[f"pi(y_{y})"] for y in "abc"], atol=1e-6)


def test_the_boundary_has_even_odds() -> None:
    (boundary,) = STATEMENT.boundaries
    for point in boundary.points:
        low, high = (float(end) for end in point["pi_ref(y_a)"].strip("[]").split(", "))
        p, beta = float(Rational(point["p"])), float(Rational(point["beta"]))
        assert high - low < 1e-5
        assert expit(logit(low) + logit(p) / beta) < 0.5 < expit(logit(high) + logit(p) / beta)


def test_a_loss_with_the_labels_flipped_has_another_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    right = theorem._loss()
    monkeypatch.setattr(theorem, "_loss", lambda: right.subs(theorem.u, -theorem.u))
    assert theorem.one_optimum().status is Status.UNDECIDED


@pytest.mark.parametrize("claim", [theorem.closed_form, theorem.rises_from_the_reference])
def test_an_optimum_with_the_odds_inverted_is_not_proved(
    monkeypatch: pytest.MonkeyPatch, claim: Callable[[], theorem.Claim]
) -> None:
    right = theorem._optimum

    def inverted(weight: Expr) -> Expr:
        return right(1 / weight)

    monkeypatch.setattr(theorem, "_optimum", inverted)
    assert claim().status is Status.UNDECIDED
