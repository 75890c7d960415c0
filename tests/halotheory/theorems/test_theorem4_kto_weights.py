"""How much loss neutrality Theorem 4 needs, against the loss computed with floats."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.special import expit, logit
from sympy import Rational

from halotheory.findings import Status
from halotheory.theorems import theorem4_kto_weights as theorem
from halotheory.theorems.kto_loss import weights

STATEMENT = theorem.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
INTERVAL, RESTS, _ = STATEMENT.boundaries
PROVED, REFUTED = Status.PROVED, Status.REFUTED

_fractions = st.floats(0.51, 0.95)
_betas = st.floats(0.05, 3)
_places = st.floats(0.02, 0.98)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("enough_with_a_constant", PROVED),
        ("needed_with_a_constant", PROVED),
        ("near_the_indicator", PROVED),
        ("near_the_indicator_at_one", PROVED),
        ("enough_for_the_dynamics", PROVED),
        ("needed_for_the_dynamics", PROVED),
        ("advice_of_equation_7", REFUTED),
        ("advice_for_clear_majorities", PROVED),
        ("optimum_with_kl_and_small_weight", PROVED),
        ("optimum_with_kl_and_large_weight", PROVED),
        ("interval_with_kl", PROVED),
        ("interval_with_kl_and_large_beta", PROVED),
    ],
)
def test_what_is_decided(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status


def test_every_claim_is_listed_here() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 12


def loss(t: np.ndarray | float, q: float, beta: float, z0: float, first: float, second: float) -> np.ndarray:
    """The part of the loss that moves, over lambda_U, at policies in [0, 1]."""
    own, other = np.asarray(t) ** beta, (1 - np.asarray(t)) ** beta
    scale = np.exp(beta * z0)
    return second * other / (other + scale * (1 - q) ** beta) - first * own / (own + scale * q**beta)


@given(_fractions, st.floats(0, 1), _betas, _places, st.floats(-2, 4))
def test_within_the_interval_the_indicator_is_the_minimiser(
    p: float, place: float, beta: float, q: float, z0: float
) -> None:
    ratio = np.exp((2 * place - 1) * logit(p))
    values = loss(np.linspace(0, 1, 2001), q, beta, z0, *weights(p, ratio))
    assert np.argmin(values) == 2000


@given(_fractions, st.floats(1.05, 5), _betas)
def test_above_the_interval_the_reference_beats_the_indicator(p: float, factor: float, beta: float) -> None:
    first, second = weights(p, factor * p / (1 - p))
    root = (1 + (first + second) / (first - second)) / 2
    q = root ** (1 / beta)
    assume(q > 1e-12)
    assert loss(q, q, beta, 0, first, second) < loss(1, q, beta, 0, first, second)


@given(_fractions, st.floats(0.2, 0.95), _betas)
def test_below_the_interval_the_minority_beats_the_indicator(p: float, factor: float, beta: float) -> None:
    first, second = weights(p, factor * (1 - p) / p)
    q = 1 / (1 + (3 * second / -first) ** (1 / beta))
    assume(q > 1e-12)
    assert loss(0, q, beta, -np.log(q), first, second) < loss(1, q, beta, -np.log(q), first, second)


@given(_fractions, st.floats(1.2, 3), st.sampled_from([0.3, 0.5, 2.0, 3.0]), _places, st.booleans())
def test_what_the_loss_does_near_the_indicator(p: float, factor: float, beta: float, q: float, above: bool) -> None:
    first, second = weights(p, factor * p / (1 - p) if above else (1 - p) / p / factor)
    near = 1 - np.geomspace(1e-14, 1e-12, 5) if beta < 1 else 1 - np.geomspace(1e-8, 1e-7, 5)
    gains = loss(near, q, beta, 0, first, second) - loss(1, q, beta, 0, first, second)
    lower = above == (beta < 1)
    assume(abs(gains).min() > 1e-14)
    assert np.all((gains < 0) == lower)


@given(_fractions, st.floats(1.05, 4), _places, st.floats(-3, 3), st.booleans())
def test_at_beta_1_an_inequality_decides(p: float, factor: float, q: float, z0: float, above: bool) -> None:
    first, second = weights(p, factor * p / (1 - p) if above else (1 - p) / p / factor)
    ka, kb = q * np.exp(z0), (1 - q) * np.exp(z0)
    margin = first * ka * kb + second * (1 + ka) ** 2
    assume(abs(margin) > 1e-3)
    e = np.geomspace(1e-7, 1e-6, 5)
    gains = loss(1 - e, q, 1.0, z0, first, second) - loss(1, q, 1.0, z0, first, second)
    assert np.all((gains > 0) == (margin > 0))
    if above and margin > 0:
        assert loss(np.linspace(0, 0.999, 500), q, 1.0, z0, first, second).min() > loss(1, q, 1.0, z0, first, second)


def force(s: float, q: float, beta: float, first: float, second: float) -> float:
    """-dL/ds with KL held fixed."""
    t, delta = expit(s), s - logit(q)
    u_a, u_b = beta * (1 - t) * delta, -beta * t * delta
    return beta * (first * expit(u_a) * expit(-u_a) * (1 - t) + second * expit(u_b) * expit(-u_b) * t)


@given(_fractions, st.floats(0.1, 10), _betas, _places)
def test_the_first_step_from_the_reference(p: float, ratio: float, beta: float, q: float) -> None:
    first, second = weights(p, ratio)
    assert force(logit(q), q, beta, first, second) == pytest.approx(beta * (first * (1 - q) + second * q) / 4)


def test_the_witness_against_equation_7() -> None:
    witness = CLAIMS["advice_of_equation_7"].witness
    assert witness is not None
    p, ratio, beta, q = (float(Rational(witness[key])) for key in ("p", "lambda_D", "beta", "pi_ref(y_a)"))
    assert 1 <= ratio <= 1.5
    assert p > 0.5
    first, second = weights(p, ratio)
    assert loss(q, q, beta, 0, first, second) < loss(1, q, beta, 0, first, second)
    start = float(Rational(witness["pi_ref(y_a) from which training leads away"]))
    assert force(logit(start), start, beta, first, second) < 0


def test_the_interval_of_some_majorities() -> None:
    for point in INTERVAL.points:
        p = Rational(point["p"])
        low, high = Rational(point["smallest lambda_D/lambda_U"]), Rational(point["largest lambda_D/lambda_U"])
        assert low * high == 1
        assert weights(p, low)[0] == 0
        assert weights(p, high)[1] == 0
        assert (high >= Rational(3, 2)) == (p >= Rational(3, 5))


def test_gradient_flow_stops_where_the_boundary_says() -> None:
    p, ratio = theorem.ADVICE[theorem.p], theorem.ADVICE[theorem.ratio]
    first, second = (float(weight) for weight in weights(p, ratio))
    assert RESTS.points[0]["t"] == "3/4"
    for point in RESTS.points[1:]:
        beta, q = (float(Rational(point[key])) for key in ("beta", "pi_ref(y_a)"))
        flow = solve_ivp(
            lambda _, s, q=q, beta=beta: [force(s[0], q, beta, first, second) / beta], (0, 2000), [logit(q)], rtol=1e-9
        )
        low, high = (float(end) for end in point["t"].strip("[]").split(", "))
        assert low < expit(flow.y[0, -1]) < high
        assert high - low < 1e-4


def test_without_a_rest_point_none_is_enclosed() -> None:
    with pytest.raises(ArithmeticError, match="no crossing between delta"):
        theorem.rest_point(Rational(1, 2), Rational(9, 10), Rational(3, 8), Rational(-1, 8))


def test_weights_of_another_majority_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theorem, "weights", lambda p, ratio: weights(1 - p, ratio))
    assert theorem.enough_with_a_constant().status is Status.UNDECIDED


def test_a_weight_of_the_wrong_sign_does_not_refute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theorem, "weights", lambda p, ratio: (weights(p, ratio)[0], -weights(p, ratio)[1]))
    assert theorem.advice_of_equation_7().status is Status.UNDECIDED
