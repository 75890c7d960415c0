"""PPO-Clip's value function: witnesses by NumPy, the laws at random points, and mutants that are not proved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Max, Min, sign

from halotheory.findings import Status
from halotheory.theorems import ppo_value
from halotheory.theorems.cases import equal_by_cases
from halotheory.theorems.ppo_value import RANGE, SURROGATE, A, eps, q

_numbers = st.floats(-5, 5)
_ratios, _clips = st.floats(1e-3, 5), st.floats(0.01, 0.99)


def surrogate(ratio: float, advantage: float, clip: float) -> float:
    return min(ratio * advantage, float(np.clip(ratio, 1 - clip, 1 + clip)) * advantage)


def combined(z: float, advantage: float, clip: float) -> float:
    return min(z, advantage * (1 + np.sign(z) * clip))


@pytest.mark.parametrize(
    "wrong",
    [
        A * Max(q, 1 + eps),
        A * Min(q, 1 - eps),
        Min(q * A, A * (1 - sign(q * A) * eps)),
        Min(q * A, A * (1 + eps)) + eps - eps * sign(A),
    ],
)
def test_mutants_are_not_proved(wrong: Min) -> None:
    proved = [equal_by_cases("", SURROGATE, wrong, [*RANGE, side]).status is Status.PROVED for side in (A >= 0, A < 0)]
    assert not all(proved)


@given(_ratios, _numbers, _clips)
def test_the_forms_agree(ratio: float, advantage: float, clip: float) -> None:
    expected = surrogate(ratio, advantage, clip)
    piecewise = advantage * (min(ratio, 1 + clip) if advantage >= 0 else max(ratio, 1 - clip))
    assert piecewise == pytest.approx(expected, abs=1e-12)
    assert min(ratio * advantage, advantage + clip * abs(advantage)) == pytest.approx(expected, abs=1e-12)
    assert combined(ratio * advantage, advantage, clip) == pytest.approx(expected, abs=1e-12)


@given(_numbers, _clips, _numbers, _numbers, st.floats(0, 1))
def test_each_value_function_rises_and_is_concave(
    advantage: float, clip: float, z1: float, z2: float, t: float
) -> None:
    def v(z: float) -> float:
        return min(z, advantage + clip * abs(advantage))

    assert v(max(z1, z2)) >= v(min(z1, z2))
    assert v(t * z1 + (1 - t) * z2) >= t * v(z1) + (1 - t) * v(z2) - 1e-12


def test_at_ratio_zero_the_forms_differ() -> None:
    witness = ppo_value.combined_form_at_ratio_zero().witness or {}
    ratio, advantage, clip = (_number(witness[name]) for name in ("q", "A", "epsilon"))
    assert combined(ratio * advantage, advantage, clip) == -1
    assert advantage * max(ratio, 1 - clip) == -0.8


def test_on_the_line_the_printed_form_falls() -> None:
    witness = ppo_value.combined_form_on_the_line().witness or {}
    advantage, clip, z1, z2 = (_number(witness[name]) for name in ("A", "epsilon", "z1", "z2"))
    assert z1 < z2
    assert combined(z1, advantage, clip) == pytest.approx(-0.8)
    assert combined(z2, advantage, clip) == pytest.approx(-1.2)


def test_one_step_in_z_raises_the_value_by_two_amounts() -> None:
    assert surrogate(2, 1, 0.2) - surrogate(1, 1, 0.2) == pytest.approx(0.2)
    assert surrogate(1, 2, 0.2) - surrogate(0.5, 2, 0.2) == pytest.approx(1)
    witness = ppo_value.one_value_function().witness or {}
    assert (witness["values for A = 1"], witness["values for A = 2"]) == ("(1, 6/5)", "(1, 2)")


@given(st.floats(0.1, 5), st.floats(0.1, 5), _clips)
def test_two_advantages_of_one_sign_share_their_constant(one: float, other: float, clip: float) -> None:
    small, large = sorted((one, other))
    assert surrogate(1, small, clip) == pytest.approx(surrogate(small / large, large, clip))
    assert surrogate(large / small, -small, clip) == pytest.approx(surrogate(1, -large, clip))


@given(st.floats(0.1, 5), st.floats(0.1, 5), _clips, _ratios)
def test_one_advantage_for_each_sign_has_one_value_function(
    gain: float, loss: float, clip: float, ratio: float
) -> None:
    def v(z: float) -> float:
        return min(z, (1 + clip) * gain) if z > 0 else min(z, -(1 - clip) * loss) if z < 0 else 0

    for advantage in (gain, -loss, 0):
        assert v(ratio * advantage) == pytest.approx(surrogate(ratio, advantage, clip), abs=1e-12)


def _number(text: str) -> float:
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom or 1)
