"""Shapes of value functions: textbook cases, and the order in which conditions fail."""

import pytest
import sympy
from sympy import Piecewise, Rational, exp, log

from halotheory.findings import Status
from halotheory.deadline import Deadline
from halotheory.operations import piecewise
from halotheory.pieces import take_apart, tidy
from halotheory.shape import Z, concave_in_gains, equal_up_to_constant, non_constant, non_decreasing

beta = sympy.Symbol("beta", positive=True)
SETTINGS = {beta: Rational(1, 10)}
P, R, U = Status.PROVED, Status.REFUTED, Status.UNDECIDED
magnitude = Piecewise((Z, Z >= 0), (-Z, True))


@pytest.mark.parametrize(
    ("v", "rises", "concave", "varies"),
    [
        (1 / (1 + exp(-beta * Z)), P, P, P),
        (-log(1 + exp(-beta * Z)), P, P, P),
        (log(1 + exp(Z)), P, R, P),  # convex everywhere
        (Z, P, P, P),
        (Z**3, P, R, P),
        (-((Z - 1 / (2 * beta)) ** 2), R, P, P),
        (-magnitude, R, P, P),
        (Z / (1 + magnitude), P, P, P),
        (Piecewise((Z, Z < 1), (Z + 1, True)), P, R, P),  # an upward jump among gains
        (Piecewise((Z, Z < -1), (Z + 1, True)), P, P, P),  # the same jump among losses
        (Piecewise((Z, Z < 1), (Z - 1, True)), R, R, P),  # a downward jump
        (Piecewise((Z, Z < 1), (2 * Z - 1, True)), P, R, P),  # a slope that rises at a kink
        (Piecewise((2 * Z, Z < 1), (Z + 1, True)), P, P, P),  # a slope that falls at a kink
        (Piecewise((2 * Z, beta * Z < 1), (Z + 1 / beta, True)), P, P, P),  # a kink at 1 / beta
        (Piecewise((Z, sympy.Ne(Z, 2)), (5, True)), R, R, P),  # one point out of line
        (sympy.Integer(3), P, P, R),
        (log(Z), U, P, U),  # concave where it is defined, and not defined among losses
    ],
)
def test_textbook_functions(v: sympy.Expr, rises: Status, concave: Status, varies: Status) -> None:
    deadline = Deadline(20)
    found = [examine(v, SETTINGS, deadline).status for examine in (non_decreasing, concave_in_gains)]
    assert found == [rises, concave]
    if varies is not U:
        assert non_constant(v, SETTINGS, deadline).status is varies


def test_a_condition_that_fails_for_some_hyperparameters_only_is_not_decided_for_all() -> None:
    v = Z + (2 - beta) * Z**2  # falls somewhere unless beta = 2
    found = non_decreasing(v, SETTINGS, Deadline(20))
    assert found.status is U
    assert non_decreasing(v.subs(beta, 2), {}, Deadline(20)).status is P
    assert non_decreasing(v.subs(beta, 3), {}, Deadline(20)).status is R


def test_witnesses_are_simple_numbers() -> None:
    found = non_decreasing(-((Z - 5) ** 2), {}, Deadline(20))
    assert found.witness == {"z1": "5", "z2": "10", "v(z1)": "0", "v(z2)": "-25"} or all(
        len(str(value)) <= 4 for value in (found.witness or {"": "none"}).values()
    )


def test_pieces_of_a_nested_condition() -> None:
    hat = piecewise(1 - magnitude >= 0, 1 - magnitude, sympy.S.Zero)
    pieces, seams = take_apart(hat, Z, Deadline(20))
    assert {seam.at for seam in seams} == {-1, 0, 1}
    assert {sympy.expand(piece.expression) for piece in pieces} == {0, 1 - Z, 1 + Z}


def test_tidy_is_the_same_function() -> None:
    clumsy = Piecewise((3 * Z / (1 + magnitude), Z < 0), (Z / (1 + magnitude), True))
    flat = tidy(clumsy, Z, Deadline(20))
    assert flat.count(Piecewise) == 1
    for point in (-7, -1, 0, Rational(1, 3), 12):
        assert flat.subs(Z, point) == clumsy.subs(Z, point)


def test_equality_up_to_a_constant() -> None:
    logistic = 1 / (1 + exp(-Z))
    assert equal_up_to_constant(logistic, -1 / (1 + exp(Z)), Deadline(20))
    assert not equal_up_to_constant(logistic, 2 * logistic, Deadline(20))
    assert not equal_up_to_constant(Piecewise((Z, Z < 0), (Z + 1, True)), Z, Deadline(20))  # a jump between them
