"""Two labels, one value function: sign, weight and mirror image, or places at which none of them helps."""

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import Piecewise, Rational, exp, log

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.shape import Z
from halotheory.reading.matching import Match, match

beta = sympy.Symbol("beta", positive=True)
sigmoid = 1 / (1 + exp(-Z))
log_sigmoid = -log(1 + exp(-Z))
mirrored = log_sigmoid.subs(Z, -Z)
weights = st.fractions(Rational(1, 20), 20, max_denominator=20).map(lambda f: Rational(f.numerator, f.denominator))


def _match(v: sympy.Expr, shape: sympy.Expr, *, may_mirror: bool = True) -> Match:
    return match(v, shape, {}, Deadline(10), may_mirror=may_mirror)


@pytest.mark.parametrize(
    ("v", "shape", "sign", "relaxations"),
    [
        (sigmoid, 1 - sigmoid, -1, []),
        (sigmoid, sigmoid + 4, 1, []),
        (sigmoid, 3 * sigmoid, 1, ["class_weights"]),
        (sigmoid, sigmoid.subs(Z, -Z), -1, []),  # sigmoid(-z) is 1 - sigmoid(z): no mirror is needed
        (log_sigmoid, -mirrored, -1, ["mirrored_argument"]),
        (log_sigmoid, -Rational(1, 2) * mirrored, -1, ["class_weights", "mirrored_argument"]),
        (sympy.S.Zero, sympy.S.One, -1, []),
    ],
)
def test_the_fewest_changes_that_fit_are_found(
    v: sympy.Expr, shape: sympy.Expr, sign: int, relaxations: list[str]
) -> None:
    found = _match(v, shape)
    assert found.finding.status is Status.PROVED
    assert (found.sign, list(found.relaxations)) == (sign, relaxations)


def test_only_the_undesirable_term_may_be_mirrored() -> None:
    assert _match(log_sigmoid, -mirrored, may_mirror=False).finding.status is Status.REFUTED


@given(weights, st.integers(-5, 5), st.sampled_from([-1, 1]))
def test_every_weight_constant_and_sign_is_found_again(weight: Rational, constant: int, sign: int) -> None:
    found = _match(sigmoid, sign * weight * sigmoid + constant)
    assert found.finding.status is Status.PROVED
    assert (found.sign, found.scale) == (sign, weight)
    assert ("class_weights" in found.relaxations) == (weight != 1)


@pytest.mark.parametrize(
    "shape",
    [log_sigmoid, sigmoid.subs(Z, Z - 1), sigmoid.subs(Z, 2 * Z), Piecewise((sigmoid, Z < 0), (2 * sigmoid, True))],
)
def test_another_function_is_refuted_by_increments_in_another_ratio(shape: sympy.Expr) -> None:
    finding = _match(sigmoid, shape).finding
    assert finding.status is Status.REFUTED
    assert finding.witness is not None
    places = [sympy.Rational(finding.witness[name]) for name in ("z1", "z2")]
    (v1, t1), (v2, t2) = ([float(f.subs(Z, place) - f.subs(Z, 0)) for f in (sigmoid, shape)] for place in places)
    assert abs(v1 * t2 - t1 * v2) > 1e-9


def test_a_label_that_does_not_move_shares_no_value_function_with_one_that_does() -> None:
    finding = _match(sigmoid, sympy.Integer(1)).finding
    assert finding.status is Status.REFUTED


def test_while_a_hyperparameter_is_open_a_mismatch_at_one_value_refutes_nothing() -> None:
    found = match(sigmoid, log_sigmoid * beta, {beta: sympy.S.One}, Deadline(10), may_mirror=True)
    assert found.finding.status is Status.UNDECIDED
