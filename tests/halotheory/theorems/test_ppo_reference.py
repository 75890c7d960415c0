"""PPO-Clip's reference point and implied policies: witnesses by NumPy, existence by linear programming."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog
from sympy import sympify

from halotheory.theorems import ppo_reference
from halotheory.theorems.claims import Claim

_rewards = arrays(float, st.integers(2, 5), elements=st.integers(-8, 8).map(lambda k: k / 4))


def numbers(claim: Claim, name: str) -> np.ndarray:
    return np.array([float(x) for x in sympify((claim.witness or {})[name])])


def tokens(claim: Claim) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pi_ref, pi and Q^pi."""
    reference, policy, values = (numbers(claim, name) for name in ("pi_ref", "pi", "Q^pi"))
    return reference, policy, values


def implied_policies(rewards: np.ndarray) -> bool:
    """Return whether there is a pihat_ref of full support with sum pihat_ref = sum pihat_ref exp(r) = 1."""
    constraints = np.stack([np.ones_like(rewards), np.exp(rewards)])
    found = linprog(np.zeros_like(rewards), A_eq=constraints, b_eq=[1, 1], bounds=(1e-4, 1))
    return bool(found.success)


def test_what_is_subtracted_is_no_reference_point() -> None:
    reference, policy, values = tokens(ppo_reference.reference_point())
    ratio, state = policy / reference, policy @ values
    assert ratio[0] * state != ratio[1] * state
    rewards, z = ratio * values, ratio * (values - state)
    assert rewards[0] - rewards[1] != pytest.approx(z[0] - z[1])


def test_the_mean_under_the_policy_is_another_number() -> None:
    reference, policy, values = tokens(ppo_reference.the_policy_as_reference_distribution())
    ratio, state = policy / reference, policy @ values
    mean = policy @ (ratio * values)
    assert mean == pytest.approx(19 / 8)
    assert all(abs(mean - other) > 0.1 for other in (state, *(ratio * state)))
    assert reference @ (ratio * values) == pytest.approx(state)  # it is pi_ref under which r has this mean


def test_a_constant_raises_the_reward_of_one_token_more() -> None:
    reference, policy, _ = tokens(ppo_reference.constant_depends_on_the_input_alone())
    assert (policy / reference).tolist() == [1.5, 0.5]


def test_the_witness_has_no_implied_policies() -> None:
    reference, policy, values = tokens(ppo_reference.implied_policies_exist())
    assert not implied_policies(policy / reference * values)


@given(_rewards)
def test_implied_policies_exist_for_both_signs_or_zero(rewards: np.ndarray) -> None:
    both = rewards.min() < 0 < rewards.max()
    assert implied_policies(rewards) == (both or not rewards.any())


@given(
    arrays(float, 3, elements=st.integers(-8, 8).map(lambda k: k / 4)), st.integers(-8, 8).map(lambda k: k / 4 + 0.1)
)
def test_constants_that_allow_implied_policies(values: np.ndarray, constant: float) -> None:
    """The boundary: -max Q < c < -min Q."""
    ratio = np.array([1.5, 0.75, 0.75])
    inside = -values.max() < constant < -values.min()
    assert implied_policies(ratio * (values + constant)) == inside


def test_the_boundary_of_the_constants() -> None:
    (point,) = ppo_reference.constants().points
    assert (float(point["c from"]), float(point["c to"])) == (-2, -1)
    assert -2 < float(sympify(point["c = -V^pi"])) < -1


@given(st.floats(0.1, 3), st.floats(-3, -0.1))
def test_two_tokens_have_one_solution(first: float, second: float) -> None:
    p = (1 - np.exp(second)) / (np.exp(first) - np.exp(second))
    assert p * np.exp(first) + (1 - p) * np.exp(second) == pytest.approx(1)
    for other in (p / 2, (1 + p) / 2):
        assert other * np.exp(first) + (1 - other) * np.exp(second) != pytest.approx(1, abs=1e-6)


@given(st.floats(0.01, 0.99))
def test_three_tokens_have_a_family(s: float) -> None:
    masses = np.array([(1 - s) / 3, 2 * (1 - s) / 3, s])
    assert masses.sum() == pytest.approx(1)
    assert masses @ [2, 0.5, 1] == pytest.approx(1)


@given(arrays(float, (3, 4), elements=st.floats(0.1, 5)))
def test_the_repair_needs_the_current_advantage(weights: np.ndarray) -> None:
    reference, policy = (row / row.sum() for row in weights[:2])
    values, ratio = weights[2], policy / reference
    current = values - policy @ values
    assert reference @ (ratio * current) == pytest.approx(0, abs=1e-12)
    assume(abs(policy @ values - reference @ values) > 1e-3)
    assert abs(reference @ (ratio * (values - reference @ values))) > 1e-4


@given(arrays(float, 3, elements=st.integers(1, 4).map(float)), st.integers(-8, 8).map(lambda k: k / 2 + 0.1))
def test_no_constant_below_or_above_all_values_allows_implied_policies(values: np.ndarray, constant: float) -> None:
    raised = values + constant
    assume(raised.any() and not raised.min() < 0 < raised.max())
    assert not implied_policies(np.array([1.5, 0.75, 0.75]) * raised)


def test_policies_need_implied_references_of_their_own() -> None:
    reference, values = np.full(2, 0.5), np.array([2.0, 1.0])
    needed = []
    for policy in (np.array([0.5, 0.5]), np.array([0.75, 0.25])):
        rewards = policy / reference * (values - policy @ values)
        first = 1 / (1 + np.exp(rewards[0]))
        assert first * np.exp(rewards[0]) + (1 - first) * np.exp(rewards[1]) == pytest.approx(1)
        needed.append(first)
    assert needed[0] != pytest.approx(needed[1], abs=1e-3)


def test_the_kept_advantages_of_the_witness() -> None:
    claim = ppo_reference.repair_with_kept_advantages()
    reference, policy, kept = (numbers(claim, name) for name in ("pi_ref", "pi", "A"))
    assert reference @ kept == 0
    assert policy @ kept == 0.25
