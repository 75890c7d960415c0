"""PPO-Clip under Definition 3.4 as written: the witness and the constructions, by NumPy."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq
from scipy.special import softmax

from halotheory.findings import Status
from halotheory.theorems import ppo_as_written
from halotheory.theorems.ppo_value import A, q

_factors = arrays(float, 3, elements=st.floats(0.2, 5))
_weights = arrays(float, 3, elements=st.floats(0.05, 1))


def relative(ratio: float, share: float, factors: np.ndarray, mass: np.ndarray | None) -> float:
    """r(y_1) - E_Q[r] at the witness's policies; Q is the policy where None."""
    policy = np.array([ratio / 3, (1 - ratio / 3) * share, (1 - ratio / 3) * (1 - share)])
    rewards = factors * np.log(3 * policy)
    return float(rewards[0] - (policy if mass is None else mass / mass.sum()) @ rewards)


@pytest.mark.parametrize("policy", [True, False])
@given(_factors, _weights)
def test_two_losses_have_the_same_z(policy: bool, factors: np.ndarray, mass: np.ndarray) -> None:
    fixed = None if policy else mass
    shares = (0.01, 0.5, 0.99)
    ends = sorted((relative(1, share, factors, fixed), share) for share in shares)
    (low, s_low), (high, s_high) = ends[0], ends[-1]
    middle = (low + high) / 2
    step = next(
        h
        for h in 0.1 / 2 ** np.arange(40)
        if relative(1 + h, s_low, factors, fixed) < middle < relative(1 + h, s_high, factors, fixed)
    )
    for ratio in (1.0, 1 + step):
        share = brentq(lambda s, ratio=ratio: relative(ratio, s, factors, fixed) - middle, s_low, s_high)
        assert relative(ratio, share, factors, fixed) == pytest.approx(middle, abs=1e-9)


@given(st.floats(0.02, 0.98))
def test_with_two_tokens_the_ratio_is_concave_in_gains(p: float) -> None:
    ratio = np.linspace(1, 1 / p, 403)[:-2]
    z = np.log(ratio) - ((1 - p) / p) ** 2 * np.log((1 - p * ratio) / (1 - p))
    slopes = np.diff(ratio) / np.diff(z)
    assert z[0] == pytest.approx(0, abs=1e-9)
    assert (slopes > 0).all()
    assert (np.diff(slopes) <= 1e-9).all()


@given(
    arrays(float, 4, elements=st.floats(-3, 3)), arrays(float, 4, elements=st.floats(-3, 3)), st.floats(-4, 4),
    st.floats(0.05, 0.95),
)  # fmt: skip
def test_a_distribution_made_to_measure_has_the_mean(
    logits: np.ndarray, reference_logits: np.ndarray, advantage: float, clip: float
) -> None:
    assume(advantage != 0)
    policy, reference = softmax(logits), softmax(reference_logits)
    rewards, ratio = np.log(policy / reference), policy[0] / reference[0]
    kappa = reference.min() / 4
    surrogate = min(ratio * advantage, float(np.clip(ratio, 1 - clip, 1 + clip)) * advantage)
    sign = -1 if advantage > 0 else 1
    z = kappa * sign * (-surrogate + advantage)
    assert sign * z / kappa - advantage == pytest.approx(-surrogate, abs=1e-12)
    assert rewards.min() - 1e-12 <= rewards[0] - z <= rewards.max() + 1e-12


def test_mutants_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppo_as_written, "SURROGATE", q * A)
    assert ppo_as_written.as_written_with_any_distribution().status is Status.UNDECIDED
