"""Shapes of value functions: textbook cases, and the order in which conditions fail."""

from itertools import pairwise

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Expr, Piecewise, Rational, atan, erf, exp, log, sqrt, tanh

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.decide import decide
from halotheory.proving.enclose import sign
from halotheory.proving.falsify import decrease, sag
from halotheory.proving.pieces import take_apart, tidy
from halotheory.proving.shape import Z, concave_in_gains, equal_up_to_constant, non_constant, non_decreasing
from halotheory.tracing.operations import piecewise

beta = sympy.Symbol("beta", positive=True)
SETTINGS = {beta: Rational(1, 10)}
SOME, NOISY = Rational(22, 25), Rational(30000000000000004, 10**17)
GATE = 1 / (1 + exp(-20 * Z))
DISCOPOP = -(1 - GATE) * log(1 + exp(-Z)) - GATE * exp(-Z)
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
        (tanh(beta * Z), P, P, P),
        (erf(beta * Z), P, P, P),
        (atan(beta * Z), P, P, P),
        (Z * (1 + erf(Z / sqrt(2))) / 2, R, R, P),  # gelu
        (Z / (1 + exp(-beta * Z)), R, R, P),  # silu
        (Z * tanh(log(1 + exp(Z))), R, R, P),  # mish
        (log(1 + log(1 + exp(Z))), P, R, P),
        (-((1 - 1 / (1 + exp(-beta * Z))) ** 2) * log(1 + exp(-beta * Z)), P, P, P),  # focal
        (exp(-exp(-Z)), P, P, P),
        (Piecewise((Z**SOME, Z > 0), (-2 * (-Z) ** SOME, True)), P, P, P),  # Kahneman and Tversky's
        (Piecewise((Z ** (1 / SOME), Z > 0), (-2 * (-Z) ** (1 / SOME), True)), P, R, P),
        (Z / sqrt(1 + (beta * Z) ** 2), P, P, P),
        (1 / (1 + exp(-NOISY * Z)) + 1 / (1 + exp(-Rational(3, 10) * Z)), P, P, P),
        (1 / (1 + exp(-sqrt(2) * Z)) + 1 / (1 + exp(-Z)), P, P, P),
        (tanh(2 * Z) + log(1 + exp(Z / 3)) / 10, P, R, P),  # two scales
        (DISCOPOP, R, R, P),
        (Piecewise((Z / 2, 1 / (1 + exp(-Z)) > Rational(1, 2)), (Z, True)), P, P, P),
        (
            Piecewise(
                (log(Rational(9, 10)), 1 / (1 + exp(-beta * Z)) > Rational(9, 10)), (-log(1 + exp(-beta * Z)), True)
            ),
            P,
            P,
            P,
        ),
        (Piecewise((Z, magnitude > 1), (0, True)), P, R, P),  # a dead zone
        (Z / 10 - exp(-((1000 * (Z - 37)) ** 2)) / 1000, R, R, P),
        (10 * Z - exp(-((1000 * (Z - 37)) ** 2)) / 1000, P, R, P),
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


def test_clipped_at_a_symbol_varies_for_every_value_of_it() -> None:
    size = sympy.Symbol("size", positive=True)
    clipped = Piecewise((Z, size * (1 + beta) >= Z), (size * (1 + beta), True))
    found = non_constant(clipped, SETTINGS, Deadline(20), where=[Z > 0])
    assert (found.status, found.statement) == (P, "v is not constant: v'(size) is not 0")
    flat = Piecewise((0, size * (1 + beta) >= Z), (1, True))
    assert non_constant(flat, SETTINGS, Deadline(20), where=[Z > 0]).statement != found.statement


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


def test_tidy_forgets_seams_at_which_one_expression_goes_on() -> None:
    clumsy = Piecewise((Z, Z <= 1), (Piecewise((Z, Z <= 2), (2, True)), True))
    assert tidy(clumsy, Z, Deadline(20)) == Piecewise((Z, Z <= 2), (2, True))


def test_equality_up_to_a_constant() -> None:
    logistic = 1 / (1 + exp(-Z))
    assert equal_up_to_constant(logistic, -1 / (1 + exp(Z)), Deadline(20))
    assert not equal_up_to_constant(logistic, 2 * logistic, Deadline(20))
    assert not equal_up_to_constant(Piecewise((Z, Z < 0), (Z + 1, True)), Z, Deadline(20))  # a jump between them


def test_conditions_on_hyperparameters_and_contexts_bound_a_claim() -> None:
    alpha, weight = sympy.Symbol("alpha", positive=True), sympy.Symbol("weight", real=True)
    power = Piecewise((Z**alpha, Z > 0), (-((-Z) ** alpha), True))
    given_alpha = {alpha: Rational(22, 25)}
    assert non_decreasing(power, given_alpha, Deadline(20)).status is P
    assert concave_in_gains(power, given_alpha, Deadline(20)).status is U  # it depends on alpha
    assert concave_in_gains(power, given_alpha, Deadline(20), where=[alpha <= 1]).status is P
    assert concave_in_gains(power, {alpha: Rational(2)}, Deadline(20), where=[alpha > 1]).status is not P
    assert non_decreasing(weight * Z, {}, Deadline(20)).status is R  # for one weight, which the witness tells
    assert non_decreasing(weight * Z, {}, Deadline(20), where=[weight > 0]).status is P
    assert non_decreasing(sqrt(Z), {}, Deadline(20), where=[Z > 0]).status is P


_NUMBERS = st.sampled_from([Rational(*n) for n in ((1, 1), (1, 10), (3, 1), (7, 20), (-1, 1), (-1, 5), (-7, 2))])
_SHIFTS = st.sampled_from([Rational(*n) for n in ((0, 1), (1, 2), (-3, 1), (7, 1))])


def _relu(x: Expr) -> Expr:
    return Piecewise((x, x > 0), (0, True))


_SHAPES = [
    lambda x: 1 / (1 + exp(-x)),
    lambda x: log(1 + exp(x)),
    tanh,
    lambda x: x,
    _relu,
    lambda x: Piecewise((-1, x < -1), (Rational(1, 2), x > Rational(1, 2)), (x, True)),
    atan,
    erf,
    lambda x: exp(-(x**2)),
    lambda x: 1 / (1 + x**2),
    lambda x: Piecewise((x ** Rational(4, 5), x > 0), (-((-x) ** Rational(4, 5)), True)),
    lambda x: -exp(-x),
    lambda x: exp(-((100 * (x - 3)) ** 2)) / 100,
]


@st.composite
def _value_functions(draw: st.DrawFn) -> Expr:
    """Return a sum of up to three shapes, some of them applied to another one."""
    total = sympy.S.Zero
    for _ in range(draw(st.integers(1, 3))):
        inner = abs(draw(_NUMBERS)) * Z + draw(_SHIFTS)
        if draw(st.integers(0, 3)) == 0:
            inner = draw(st.sampled_from(_SHAPES))(inner)
        total += draw(_NUMBERS) * draw(st.sampled_from(_SHAPES))(inner)
    return total


_GRID = [Rational(k, 8) for k in range(-160, 161)] + [Rational(k) for k in range(21, 200, 9)]


@settings(max_examples=60)
@given(_value_functions())
def test_verdicts_on_random_functions_survive_a_fine_grid(v: Expr) -> None:
    """What is proved is attacked on a grid, in forty digits; what is refuted is re-evaluated."""
    with mpmath.workdps(40):
        value = sympy.lambdify(Z, v, modules="mpmath")
        places = [(mpmath.mpf(int(place.p)) / int(place.q)) for place in _GRID]
        rises, concave = non_decreasing(v, {}, Deadline(10)), concave_in_gains(v, {}, Deadline(10))
        if rises.status is P:
            values = [value(place) for place in places]
            assert all(one <= other + _TOLERANCE for one, other in pairwise(values))
        if concave.status is P:
            gains = [place for place in places if place > 0]
            values = [value(place) for place in gains]
            slopes = [(values[i + 1] - values[i]) / (gains[i + 1] - gains[i]) for i in range(len(gains) - 1)]
            assert all(one >= other - _TOLERANCE for one, other in pairwise(slopes))
        for found, test in ((rises, decrease), (concave, sag)):
            if found.status is R:
                assert found.witness is not None
                points = [sympy.sympify(found.witness[name]) for name in ("z1", "z2", "z3") if name in found.witness]
                assert points == sorted(points)
                gap = test(lambda point: v.subs(Z, point), points)
                # (a gap of exp(-122500) is beyond the digits of a ball, and is decided by expansion)
                assert sign(gap) == 1 or decide(gap, [], Deadline(20), strictly=True).status is P


_TOLERANCE = mpmath.mpf(10) ** -10  # lambdify writes rational numbers in double precision
