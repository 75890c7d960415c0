"""Lemma 1: the class of a reward, its optimal policy, its preferences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sympy import sympify

from halotheory.findings import Status
from halotheory.theorems import lemma1

STATEMENT = lemma1.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}

_rewards = arrays(float, 5, elements=st.floats(-3, 3))
_betas = st.floats(0.1, 3)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("unique_maximiser", Status.PROVED),
        ("same_optimal_policy", Status.PROVED),
        ("same_preferences", Status.PROVED),
        ("policy_fixes_the_class", Status.PROVED),
        ("policy_fixes_the_class_without_full_support", Status.REFUTED),
        ("preferences_fix_the_class", Status.PROVED),
    ],
)
def test_what_is_decided(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status


def test_random_worlds_agree_to_twelve_digits() -> None:
    trials = [trial for claim in STATEMENT.claims for trial in claim.trials]
    assert [trial.count for trial in trials] == [1000, 1000, 1000]
    assert all(trial.largest_error <= 1e-12 for trial in trials)


def test_no_optimiser_finds_a_better_policy() -> None:
    generator = np.random.default_rng(3)
    for _ in range(20):
        reference, reward, beta = generator.dirichlet(np.ones(4)), generator.normal(size=4), generator.uniform(0.2, 2)

        def loss(
            logits: np.ndarray, reference: np.ndarray = reference, reward: np.ndarray = reward, beta: float = beta
        ) -> float:
            policy = softmax(logits)
            return -float(policy @ (reward - beta * np.log(policy / reference)))

        found = softmax(minimize(loss, np.zeros(4), tol=1e-12).x)
        best = reference * np.exp(reward / beta)
        assert found == pytest.approx(best / best.sum(), abs=1e-5)
        assert -loss(np.log(best)) == pytest.approx(beta * np.log(best.sum()), abs=1e-12)


def test_the_witness_without_full_support_evaluated_again() -> None:
    witness = CLAIMS["policy_fixes_the_class_without_full_support"].witness
    assert witness is not None
    reference, first, second = (np.array(sympify(witness[key]), dtype=float) for key in ("pi_ref", "r_a", "r_b"))
    for beta in (0.1, 1.0, 7.0):
        policies = [reference * np.exp(r / beta) / (reference @ np.exp(r / beta)) for r in (first, second)]
        assert policies[0] == pytest.approx(policies[1], abs=1e-15)
    assert len(set(second - first)) > 1


@given(_rewards, st.floats(-5, 5), _betas)
def test_a_shift_changes_neither_the_policy_nor_the_preferences(reward: np.ndarray, h: float, beta: float) -> None:
    assert softmax((reward + h) / beta) == pytest.approx(softmax(reward / beta), abs=1e-12)
    assert expit((reward[0] + h) - (reward[1] + h)) == pytest.approx(expit(reward[0] - reward[1]), abs=1e-12)


@given(_rewards, _rewards, _betas)
def test_the_policy_gives_the_class_back(reward: np.ndarray, logits: np.ndarray, beta: float) -> None:
    reference = softmax(logits)
    policy = softmax(np.log(reference) + reward / beta)
    h = beta * np.log(policy / reference) - reward
    assert h == pytest.approx(np.full(5, h[0]), abs=1e-9)


def test_a_shift_that_depends_on_y_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lemma1, "h", lemma1.r[lemma1.i + 1])
    assert lemma1.same_optimal_policy().status is Status.UNDECIDED


def test_the_wrong_exponent_is_no_maximiser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lemma1, "exp", lambda x: lemma1.sympy.exp(-x))
    assert lemma1.unique_maximiser().status is Status.UNDECIDED
