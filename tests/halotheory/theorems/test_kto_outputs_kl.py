"""Three or more outputs with z0 = KL in KTO's loss, against the loss computed with floats."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import solve_ivp
from scipy.optimize import minimize
from scipy.special import expit, lambertw, log_softmax, softmax
from sympy import Rational, sympify

from halotheory.findings import Status
from halotheory.theorems import kto_outputs_kl
from halotheory.theorems.kto_loss import weights

BOUNDARY = kto_outputs_kl.minimisers()

_logits = arrays(float, 4, elements=st.floats(-3, 3))
_weights = st.floats(0.1, 2)


def relative(policy: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """log pi/pi_ref - KL; -inf where an output has no probability."""
    with np.errstate(divide="ignore"):
        ratios = np.log(policy / reference)
    return ratios - np.where(policy > 0, policy * np.where(policy > 0, ratios, 0), 0).sum()


def loss(policy: np.ndarray, reference: np.ndarray, beta: float, first: float = 1, second: float = 1) -> float:
    """The part of the loss that moves, with z0 = KL."""
    z = relative(policy, reference)
    return second * float(expit(beta * z[1])) - first * float(expit(beta * z[0]))


def best(reference: np.ndarray) -> np.ndarray:
    """The policy that is said to be the minimiser, from Lambert's function."""
    gain = lambertw((1 - reference[0] - reference[1]) / (np.e * reference[0])).real
    policy = reference / reference[2:].sum() * gain / (1 + gain)
    policy[:2] = 1 / (1 + gain), 0
    return policy


@given(_logits, _logits)
def test_the_bound_on_the_arguments_holds_for_every_policy(s: np.ndarray, reference: np.ndarray) -> None:
    q = softmax(reference)
    z = relative(softmax(s), q)
    assert (q[:2] * z[:2] * np.exp(z[:2])).sum() <= q[2:].sum() / np.e + 1e-12


@given(_logits, _logits, st.floats(0.05, 0.95), _weights, _weights)
def test_no_policy_is_better_than_the_minimiser(
    s: np.ndarray, logits: np.ndarray, beta: float, first: float, second: float
) -> None:
    q = softmax(logits)
    assume(first * beta * q[1] <= 2 * second * (1 - beta) * (np.e * q[0] + q[2:].sum()))
    assert loss(softmax(s), q, beta, first, second) > loss(best(q), q, beta, first, second) - 1e-12


@pytest.mark.parametrize("point", BOUNDARY.points, ids=lambda point: f"{point['pi_ref(y_a)']} {point['pi_ref(y_b)']}")
def test_the_minimisers_are_what_minimisation_finds(point: dict[str, str]) -> None:
    own, other = (float(Rational(point[f"pi_ref(y_{y})"])) for y in "ab")
    q, beta = np.array([own, other, 1 - own - other]), min(0.3, 0.9 * float(point["for beta up to"]))
    low, high = (float(end) for end in point["pi(y_a)"].strip("[]").split(", "))
    found = minimize(lambda s: loss(np.array([expit(s[0]), 0, expit(-s[0])]), q, beta), [0.0], tol=1e-12)
    assert low - 1e-4 < expit(found.x[0]) < high + 1e-4
    assert low < best(q)[0] < high
    starts = np.random.default_rng(0).normal(scale=2, size=(5, 3))
    ends = [minimize(lambda s: loss(softmax(s), q, beta), start, tol=1e-10).fun for start in starts]
    assert min(ends) >= loss(best(q), q, beta) - 1e-9


@given(arrays(float, 3, elements=st.floats(-2, 2)), st.floats(1, 2), _weights, _weights)
def test_for_large_beta_a_little_of_the_minoritys_output_is_better(
    logits: np.ndarray, beta: float, first: float, second: float
) -> None:
    q = softmax(logits)
    found = []
    for w in np.linspace(1, 40, 400):
        gain = lambertw((q[2] / np.e + q[1] * w * np.exp(-w)) / q[0]).real
        policy = q * np.exp([gain, -w, -1])
        found.append(loss(policy / policy.sum(), q, beta, first, second))
    assert min(found) < loss(best(q), q, beta, first, second) + 1e-15


@given(st.floats(0.51, 0.95), st.floats(0.1, 10), st.floats(0.05, 3), arrays(float, 3, elements=st.floats(-2, 2)))
def test_the_indicator_is_never_alone_as_a_minimiser(p: float, ratio: float, beta: float, logits: np.ndarray) -> None:
    first, second = weights(p, ratio)
    q, indicator = softmax(logits), np.array([1.0, 0, 0])
    others = [np.array([0.0, 0, 1]), best(q)]
    assert min(loss(other, q, beta, first, second) for other in others) <= loss(indicator, q, beta, first, second)


def falling(_: float, s: np.ndarray, q: np.ndarray, beta: float, through_kl: bool) -> np.ndarray:
    """Minus the gradient of f in the logits, from its formula."""
    policy, ratios = softmax(s), log_softmax(s) - np.log(q)
    z = ratios - (policy @ ratios if through_kl else 0)
    slopes = beta * expit(beta * z) * expit(-beta * z)
    pulls = np.array([slopes[0], -slopes[1], 0])
    rest = (slopes[0] - slopes[1]) * policy * (z if through_kl else 0)
    return pulls - pulls.sum() * policy - rest


def test_where_the_flow_through_kl_rests_the_others_are_one_nat_below() -> None:
    q = np.array([0.05, 0.9, 0.05])
    end = solve_ivp(falling, (0, 4000), np.log(q), args=(q, 1.0, True), method="LSODA", rtol=1e-9, atol=1e-11).y[:, -1]
    assert softmax(end).min() > 1e-3
    assert relative(softmax(end), q)[2] == pytest.approx(-1, abs=1e-4)


def test_the_path_of_the_witness_falls_as_enclosed() -> None:
    witness = kto_outputs_kl.majority_rises_on_the_way().witness or {}
    q = np.array(sympify(witness["pi_ref(y_a), pi_ref(y_b), pi_ref(y_c)"]), dtype=float)
    beta = float(Rational(witness["beta"]))
    path = solve_ivp(falling, (0, 46), np.log(q), args=(q, beta, False), rtol=1e-9, atol=1e-11, t_eval=(32, 46))
    for time, s in zip((32, 46), path.y.T, strict=True):
        low, high = (float(end) for end in witness[f"pi(y_a) at time {time}"].strip("[]").split(", "))
        assert low < softmax(s)[0] < high


def test_the_flow_of_the_witness_passes_below_its_end() -> None:
    witness = kto_outputs_kl.dynamics_through_kl_of_three().witness or {}
    q = np.array(sympify(witness["pi_ref(y_a), pi_ref(y_b), pi_ref(y_c)"]), dtype=float)
    end = solve_ivp(falling, (0, 6), np.log(q), args=(q, 1.0, True), rtol=1e-9, atol=1e-11).y[:, -1]
    low, high = (float(each) for each in witness["f"].strip("[]").split(", "))
    assert low < loss(softmax(end), q, 1.0) < high < -0.5


def test_mutants_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kto_outputs_kl, "exp", lambda u: 1 + u)
    assert kto_outputs_kl.minimiser_with_kl().status is Status.UNDECIDED
    assert kto_outputs_kl.rest_points_through_kl().status is Status.UNDECIDED
    monkeypatch.setattr(kto_outputs_kl, "weights", lambda p, ratio: weights(1 - p, ratio))
    assert kto_outputs_kl.weights_with_kl().status is Status.UNDECIDED
