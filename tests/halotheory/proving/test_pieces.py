"""Piecewise functions taken apart: conditions solved for z, zeros isolated, seams in hyperparameters ordered."""

import pytest
import sympy
from sympy import Expr, Piecewise, Rational, exp, log, sqrt, tanh

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.pieces import NotTakenApartError, Piece, Seam, take_apart
from halotheory.proving.shape import Z, concave_in_gains, non_decreasing

beta, gamma = sympy.symbols("beta gamma", positive=True)
magnitude = Piecewise((Z, Z >= 0), (-Z, True))
logistic = 1 / (1 + exp(-Z))


def apart(function: Expr, *where: sympy.core.relational.Relational) -> tuple[list[Piece], list[Seam]]:
    return take_apart(function, Z, Deadline(20), under=where)


def step(condition: sympy.logic.boolalg.Boolean) -> Expr:
    return Piecewise((sympy.S.One, condition), (sympy.S.Zero, True))


@pytest.mark.parametrize(
    ("condition", "seams"),
    [
        (2 * Z > 1, [Rational(1, 2)]),
        (Z**2 > 1, [-1, 1]),
        (Z**2 > 2, [-sqrt(2), sqrt(2)]),
        (Z**2 > -1, []),
        (exp(Z) > 2, [log(2)]),
        (exp(2 * Z) < -1, []),
        (logistic > Rational(1, 2), [0]),
        (logistic > Rational(9, 10), [log(9)]),
        (tanh(Z) < 0, [0]),
        (log(1 + exp(Z)) > log(3), [log(2)]),
        (magnitude > 3, [-3, 0, 3]),
        (Z**3 > Z, [-1, 0, 1]),
        (beta * Z > 1, [1 / beta]),
        (Z / (1 + Z**2) > 0, [0]),
        (Z / gamma + 1 > 0, [-gamma]),
        (exp(-beta * Z) > 2, [-log(2) / beta]),
    ],
)
def test_conditions_are_solved_for_z(condition: sympy.logic.boolalg.Boolean, seams: list[Expr]) -> None:
    found = [seam.at for seam in apart(step(condition))[1]]
    assert [sympy.simplify(one - other) for one, other in zip(found, seams, strict=True)] == [0] * len(seams)


@pytest.mark.parametrize("difference", [Z**3 + Z - 1, exp(Z) + Z - 3, Z**5 - Z - 1, tanh(Z) - Z / 2 + Rational(1, 7)])
def test_other_zeros_are_isolated_and_keep_their_equation(difference: Expr) -> None:
    _, seams = apart(step(difference > 0))
    places = [seam.between for seam in seams if seam.between is not None]
    assert places
    for low, high in places:
        assert high - low < Rational(1, 10**15)
        one, other = (sympy.N(difference.subs(Z, end), 60) for end in (low, high))
        assert one * other <= 0


def test_what_is_continuous_at_an_isolated_zero_is_proved_so() -> None:
    lower = Piecewise((Z**3 + Z, Z**3 + Z < 1), (Z, sympy.true)).subs(Z, Z)
    jump = non_decreasing(lower, {}, Deadline(20))
    assert jump.status is Status.REFUTED  # 1 just left of the zero, 0.68 at it
    joined = Piecewise((Z**3 + Z - 1, Z**3 + Z < 1), ((Z**3 + Z - 1) / 2, sympy.true))
    assert non_decreasing(joined, {}, Deadline(20)).status is Status.PROVED


def test_seams_in_hyperparameters_are_ordered_and_not_enumerated() -> None:
    rungs = sum((Piecewise((Z, beta * Z < k), (k / beta, True)) for k in range(-4, 6)), sympy.S.Zero)
    pieces, seams = apart(rungs)
    assert [seam.at for seam in seams] == [k / beta for k in range(-4, 6)]
    assert len(pieces) == 11
    assert concave_in_gains(rungs, {beta: Rational(1, 10)}, Deadline(20)).status is Status.PROVED


def test_an_order_that_depends_on_the_hyperparameters_is_split_into_cases() -> None:
    between = Piecewise((0, beta > Z), (Z - beta, gamma > Z), (gamma - beta, True))
    _, seams = apart(between)
    cases = {str(relation.func(relation.lhs, 0)) for seam in seams for relation in seam.where}
    assert len(cases) == 3  # below, equal, above
    _, fixed = apart(between, beta < gamma)
    assert [seam.at for seam in fixed] == [beta, gamma]


def test_a_condition_without_z_is_a_case() -> None:
    pieces, seams = apart(Piecewise((Z, beta > 2), (2 * Z, True)))
    assert not seams
    assert {(str(piece.expression), str(piece.where[0])) for piece in pieces} == {
        ("z", "beta > 2"),
        ("2*z", "beta <= 2"),
    }


def test_nothing_outside_the_conditions_is_returned() -> None:
    pieces, seams = take_apart(magnitude, Z, Deadline(20), after=sympy.S.Zero)
    assert [piece.expression for piece in pieces] == [Z]
    assert not seams


def test_conditions_that_are_not_real_everywhere_are_demanded_where_they_count() -> None:
    root = Piecewise((Z ** Rational(4, 5), Z > 0), (-((-Z) ** Rational(4, 5)), True))
    clipped = Piecewise((root, root < 2), (2, True))
    assert concave_in_gains(clipped, {}, Deadline(20)).status is Status.PROVED
    undefined = Piecewise((Z, Z ** Rational(4, 5) < 2), (Z + 1, True))
    assert non_decreasing(undefined, {}, Deadline(20)).status is not Status.PROVED


def test_a_pole_of_a_condition_counts_where_the_condition_does() -> None:
    assert (
        non_decreasing(Piecewise((Z, 1 / Z > 1), (Z, True)) + step(1 / Z > 0), {}, Deadline(20)).status
        is not Status.PROVED
    )
    softsign = Piecewise((Z / (1 + Z), Z > 0), (Z / (1 - Z), True))
    clipped = Piecewise((softsign, softsign < Rational(1, 5)), (Rational(1, 5), True))
    assert non_decreasing(clipped, {}, Deadline(20)).status is Status.PROVED


def test_what_cannot_be_solved_is_an_error() -> None:
    with pytest.raises(NotTakenApartError, match="the condition"):
        apart(step(sympy.sin(Z) > 0))
    with pytest.raises(NotTakenApartError, match="the condition"):
        apart(step(Z * exp(beta * Z) + Z**3 > gamma))
