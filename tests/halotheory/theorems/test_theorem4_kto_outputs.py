"""Theorem 4's half on KTO for more outputs, against gradient flow with floats."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_softmax, softmax
from sympy import Expr, Rational

from halotheory.findings import Status
from halotheory.theorems import theorem4_kto_outputs as theorem
from halotheory.theorems.claims import Claim
from halotheory.theorems.kto_loss import weights

STATEMENT = theorem.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
PROVED, REFUTED = Status.PROVED, Status.REFUTED

_logits = arrays(float, 4, elements=st.floats(-3, 3))
_betas = st.floats(0.05, 3)
_weights = st.floats(0.05, 2)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("optimum_with_a_constant", PROVED),
        ("optimum_with_a_fixed_distribution_of_three", REFUTED),
        ("optimum_at_the_lower_end", REFUTED),
        ("indicator_with_kl", PROVED),
        ("majority_gains_on_the_minority", PROVED),
        ("majority_always_rises", REFUTED),
        ("majority_always_rises_from_the_reference", REFUTED),
        ("first_step_with_the_advice", PROVED),
        ("every_start_leads_to_the_majority", PROVED),
        ("where_gradients_vanish", PROVED),
        ("majority_rises_on_the_way", REFUTED),
        ("minimiser_with_kl", PROVED),
        ("minimiser_with_kl_and_large_beta", PROVED),
        ("weights_with_kl", PROVED),
        ("rest_points_through_kl", PROVED),
        ("dynamics_through_kl_of_three", REFUTED),
    ],
)
def test_what_is_decided(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status


def test_every_claim_is_listed_here() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 16


def flow(
    s: np.ndarray, log_reference: np.ndarray, beta: float, z0: float | None, first: float, second: float
) -> np.ndarray:
    """Minus the gradient of the loss in the logits; z0 is KL, held fixed, where None."""
    log_policy = log_softmax(s)
    policy, rho = np.exp(log_policy), log_policy - log_reference
    u = beta * (rho[:2] - (policy @ rho if z0 is None else z0))
    pulls = np.array([first, -second]) * beta * expit(u) * expit(-u)
    return np.append(pulls, np.zeros(len(s) - 2)) - pulls.sum() * policy


def rates(policy: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """d log pi."""
    return moves - policy @ moves


@given(_logits, _logits, _betas, st.sampled_from([None, 0.0, 1.5]), _weights, st.floats(0, 2))
def test_the_odds_of_the_majority_rise(
    s: np.ndarray, reference: np.ndarray, beta: float, z0: float | None, first: float, second: float
) -> None:
    found = rates(softmax(s), flow(s, log_softmax(reference), beta, z0, first, second))
    assert found[0] > found[1]
    assert abs(found[0]) <= 2 * (found[0] - found[1])


@given(_logits, _betas, st.floats(0.01, 1), st.floats(0, 1))
def test_the_majority_rises_from_the_reference_where_it_weighs_more(
    reference: np.ndarray, beta: float, first: float, share: float
) -> None:
    policy = softmax(reference)
    assert rates(policy, flow(reference, log_softmax(reference), beta, None, first, share * first))[0] > 0


@pytest.mark.parametrize("name", ["majority_always_rises", "majority_always_rises_from_the_reference"])
def test_the_majority_falls_at_the_witnesses(name: str) -> None:
    witness = CLAIMS[name].witness
    assert witness is not None
    reference = np.array([float(Rational(witness[f"pi_ref(y_{y})"])) for y in "abc"])
    policy = np.array([float(Rational(witness.get(f"pi(y_{y})", witness[f"pi_ref(y_{y})"]))) for y in "abc"])
    first = second = 1.0
    if "lambda_D" in witness:
        first, second = (
            float(weight)
            for weight in weights(Rational(witness["p"]), Rational(witness["lambda_D"]) / Rational(witness["lambda_U"]))
        )
        assert first > 0
    z0 = float(witness["z0"]) if "z0" in witness else None
    found = rates(policy, flow(np.log(policy), np.log(reference), 1.0, z0, first, second))
    assert found[0] < 0 < found[0] - found[1]
    assert found[2] > 0


@given(_logits, _logits, st.floats(0.1, 1.5), st.sampled_from([None, 0.0]), st.floats(0.3, 2), st.floats(0, 2))
@settings(max_examples=25)
def test_every_start_leads_to_the_majority(
    s: np.ndarray, reference: np.ndarray, beta: float, z0: float | None, first: float, second: float
) -> None:
    s, log_reference = s.copy(), log_softmax(reference)
    for _ in range(40_000):
        move = flow(s, log_reference, beta, z0, first, second)
        s += move * min(100.0, 0.05 / np.abs(move).max())
        if softmax(s)[0] > 0.97:
            return
    pytest.fail(f"pi(y_a) = {softmax(s)[0]}")


@given(arrays(float, 3, elements=st.floats(-4, 4)), _betas, st.floats(0.05, 0.95))
def test_the_indicator_is_beaten_by_sharing_with_an_output_of_no_data(
    logits: np.ndarray, beta: float, place: float
) -> None:
    reference = softmax(logits)
    own = reference[0] / (reference[0] + reference[2])
    t = own + place * (1 - own)
    kl = t * np.log(t / reference[0]) + (1 - t) * np.log((1 - t) / reference[2])
    assert -expit(beta * (np.log(t / reference[0]) - kl)) < -0.5


@pytest.mark.parametrize("policy", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_nothing_moves_at_the_policies_that_are_named(policy: tuple[float, float, float]) -> None:
    s = np.log(np.maximum(policy, 1e-200))
    assert np.abs(flow(s, np.log(np.array([0.2, 0.3, 0.5])), 1.0, 0.5, 1.0, 1.0)).max() < 1e-100


@pytest.mark.parametrize("claim", [theorem.majority_gains_on_the_minority, theorem.every_start_leads_to_the_majority])
def test_a_pull_on_the_minority_of_the_wrong_sign_is_not_proved(
    monkeypatch: pytest.MonkeyPatch, claim: Callable[[], Claim]
) -> None:
    right = theorem._gain

    def flipped() -> Expr:
        return right().subs(theorem.gb, -theorem.gb)

    monkeypatch.setattr(theorem, "_gain", flipped)
    assert claim().status is Status.UNDECIDED


@pytest.mark.parametrize(("rest", "limit"), [((1e-12, 1e-12), -1), ((1e-12, 1e-48), 0), ((1e-12, 0.5 - 1e-12), -1)])
def test_a_fixed_distribution_over_three_outputs_gives_the_indicator_no_limit(
    rest: tuple[float, float], limit: float
) -> None:
    policy = np.array([1 - sum(rest), *rest])
    rewards = np.log(3 * policy)
    u = rewards - rewards.mean()
    assert expit(u[1]) - expit(u[0]) == pytest.approx(limit, abs=1e-3)
