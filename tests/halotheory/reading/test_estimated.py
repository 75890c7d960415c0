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
