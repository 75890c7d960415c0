"""Clamped reference points: F of z where the clamp is idle, F of the reward less its bound where it holds."""

import pytest
import sympy
from sympy import Piecewise, exp

from halotheory import losses
from halotheory.contract import loss_of
from halotheory.proving.shape import Z
from halotheory.reading.estimated import estimated_readings, same
from halotheory.reading.outputs import outputs
from halotheory.tracing.trace import trace

BATCH = outputs(trace(loss_of(losses.kto)), batch=2)
Y = BATCH[0]
MEAN = (BATCH[0].log_ratio + BATCH[1].log_ratio) / 2
CLAMPED = Piecewise((MEAN, MEAN >= 0), (0, True))


def test_a_batch_mean_clamped_at_zero_is_an_estimate() -> None:
    first = next(estimated_readings(exp(Y.log_ratio - CLAMPED), Y, BATCH, kl=False))
    assert first.relaxations == ("estimated_reference_point",)
    assert first.point.startswith("a clamped estimate of E_Q[r], Q the empirical distribution")
    assert same(first.shape, exp(Z))


@pytest.mark.parametrize(
    "term",
    [
        exp(Y.log_ratio - CLAMPED / 2),  # half of it
        exp(Y.log_ratio - Piecewise((MEAN, MEAN >= 0), (1, True))),  # it jumps where the clamp begins
        Piecewise((exp(Y.log_ratio - MEAN), MEAN >= 0), (Y.log_ratio, True)),  # another function where it holds
        exp(Y.log_ratio - MEAN),  # no clamp
    ],
)
def test_what_is_no_clamp_of_the_mean_is_not_read_as_one(term: sympy.Expr) -> None:
    assert list(estimated_readings(term, Y, BATCH, kl=False)) == []


def _clamped(below: sympy.Expr, low: sympy.Expr, above: sympy.Expr, high: sympy.Expr) -> sympy.Expr:
    """z0 = below where the mean is under low, above where it is over high, else the mean."""
    return exp(Y.log_ratio - Piecewise((below, low > MEAN), (above, high < MEAN), (MEAN, True)))


def test_both_bounds_of_a_clamp_may_be_given() -> None:
    zero, five = sympy.S.Zero, sympy.Integer(5)
    first = next(estimated_readings(_clamped(zero, zero, five, five), Y, BATCH, kl=False))
    assert first.spoiled is None
    outer, inner = Piecewise((MEAN, MEAN <= 5), (5, True)), Piecewise((MEAN, MEAN >= 0), (0, True))
    for term in (Piecewise((outer, outer >= 0), (0, True)), Piecewise((inner, inner <= 5), (5, True))):
        assert next(estimated_readings(exp(Y.log_ratio - term), Y, BATCH, kl=False)).spoiled is None


def test_exchanged_bounds_are_no_clamp() -> None:
    zero, five = sympy.S.Zero, sympy.Integer(5)
    first = next(estimated_readings(_clamped(five, zero, zero, five), Y, BATCH, kl=False))
    assert first.spoiled is not None
    assert first.spoiled.witness is not None
    (m1, m2), (z1, z2) = (map(sympy.Rational, value.split(" -> ")) for value in first.spoiled.witness.values())
    assert m1 < m2
    assert z1 > z2


def test_a_clamp_between_hyperparameters_is_open_unless_their_order_is_known() -> None:
    low, high = sympy.symbols("low high", positive=True)
    term = _clamped(low, low, high, high)
    assert next(estimated_readings(term, Y, BATCH, kl=False)).spoiled is not None
    assert next(estimated_readings(term, Y, BATCH, kl=False, domains=[low < high])).spoiled is None


def test_a_choice_by_the_own_reward_is_no_clamp() -> None:
    term = exp(Y.log_ratio - Piecewise((MEAN, Y.log_ratio >= 0), (0, True)))
    assert list(estimated_readings(term, Y, BATCH, kl=False)) == []


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (exp(Z) + 3, exp(Z), True),
        ((Z + 1) ** 2, Z**2 + 2 * Z, True),
        (exp(Z), exp(2 * Z), False),
        (Piecewise((1, Z > 0), (0, True)), sympy.S.Zero, False),  # slopes agree, values do not
        (Piecewise((Z, Z > 0), (Z, True)), Z, True),
    ],
)
def test_functions_are_the_same_up_to_a_constant(one: sympy.Expr, other: sympy.Expr, *, alike: bool) -> None:
    assert same(one, other) is alike
