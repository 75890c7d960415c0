"""Inequalities: what is proved holds, and what fails somewhere is never proved."""

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.enclose import sign
from halotheory.proving.nonnegative import identically_zero, nonnegative

z = sympy.Symbol("z", real=True)
beta = sympy.Symbol("beta", positive=True)
alpha = sympy.Symbol("alpha", positive=True)
whole = st.integers(-6, 6)


def decided(expression: sympy.Expr, *where: sympy.core.relational.Relational) -> Status:
    return nonnegative(expression, where, Deadline(10)).status


def test_the_logistic_family() -> None:
    logistic = 1 / (1 + sympy.exp(-beta * z))
    assert decided(sympy.diff(logistic, z)) is Status.PROVED
    assert decided(-sympy.diff(logistic, z, 2), z > 0) is Status.PROVED
    assert decided(-sympy.diff(logistic, z, 2)) is Status.REFUTED  # convex among losses


def test_a_bump_of_width_a_thousandth_is_seen() -> None:
    bump = 1 - sympy.Rational(2) / (1 + (1000 * (z - 37)) ** 2)
    assert decided(bump) is Status.REFUTED
    assert decided(bump + 1) is Status.PROVED


def test_a_pole_is_never_passed_over() -> None:
    assert decided(1 / z**2) is Status.UNDECIDED
    assert decided(1 / z, z > 0) is Status.PROVED


def test_functions_outside_the_class_stay_open() -> None:
    assert decided(2 + sympy.sin(z)) is Status.UNDECIDED
    assert decided(sympy.log(z)) is Status.UNDECIDED  # real for z > 0 only
    assert decided(sympy.sqrt(z) + 1) is Status.UNDECIDED


@pytest.mark.parametrize(
    ("expression", "where"),
    [
        (sympy.log(1 + z**2), []),
        (sympy.sqrt(1 + z**2) - z, []),
        (sympy.log(1 + sympy.exp(beta * z)) - beta * z, []),
        (z - sympy.atan(z), [z >= 0]),
        (1 - sympy.erf(beta * z), []),
        (sympy.tanh(beta * z), [z > 0]),
        (alpha * z ** (alpha - 1), [z > 0]),
        (alpha * (1 - alpha) * z ** (alpha - 2), [z > 0, alpha <= 1]),
        (z**3 - 2 * z ** sympy.Rational(3, 2) + 1, [z > 0]),  # a square in the root of z^3
        (sympy.exp(sympy.sqrt(2) * z) - sympy.exp(z), [z >= 0]),
        (sympy.exp(sympy.Rational(30000000000000004, 10**17) * z) - sympy.exp(sympy.Rational(3, 10) * z), [z >= 0]),
    ],
)
def test_logarithms_roots_and_the_like_are_unknowns_tied_to_their_arguments(
    expression: sympy.Expr, where: list[sympy.core.relational.Relational]
) -> None:
    assert decided(expression, *where) is Status.PROVED
    assert decided(-expression - sympy.Rational(1, 1000), *where) is not Status.PROVED


def test_no_time_left_proves_nothing() -> None:
    hard = (z**2 + sympy.exp(z) * z + beta**3) ** 4 + sympy.Rational(1, 3)
    assert nonnegative(hard, [], Deadline(0)).status is not Status.REFUTED


@given(st.lists(whole, min_size=1, max_size=5), st.lists(whole, min_size=1, max_size=3), st.sampled_from([1, 2, -1]))
def test_what_is_proved_holds_at_every_point_tried(polynomial: list[int], exponential: list[int], rate: int) -> None:
    """Random polynomials in z and exp(rate z): a proof is attacked at exact points with rigorous signs."""
    e = sympy.exp(rate * z)
    expression = sum(c * z**i for i, c in enumerate(polynomial)) + sum(c * e**i for i, c in enumerate(exponential))
    if not isinstance(expression, sympy.Expr) or decided(expression) is not Status.PROVED:
        return
    for point in range(-40, 41):
        assert sign(expression, {z: sympy.Rational(point, 4)}) in (0, 1, None)


@given(st.lists(whole, min_size=2, max_size=4), st.integers(1, 5))
def test_squares_plus_a_positive_number_are_proved_and_minus_it_are_not(coefficients: list[int], gap: int) -> None:
    p = sum(c * z**i for i, c in enumerate(coefficients)) + 0 * z
    root = sympy.real_roots(p) if p.has(z) else []
    assert decided(p**2 + gap) is Status.PROVED
    if root:
        assert decided(p**2 - gap) is Status.REFUTED


def test_identities_in_exponentials() -> None:
    tanh = 1 - 2 / (1 + sympy.exp(2 * z))
    logistic = 1 / (1 + sympy.exp(-2 * z))
    assert identically_zero(tanh - (2 * logistic - 1))
    assert not identically_zero(tanh - logistic)


def test_signs_are_rigorous() -> None:
    x = sympy.Symbol("x")
    tiny = sympy.Rational(1, 10**30)
    assert sign(sympy.exp(x) - 1 - x, {x: tiny}) == 1  # 5e-61: floats see 0
    assert sign(sympy.log(1 + sympy.exp(-x)), {x: sympy.Integer(700)}) == 1
    assert sign(x**2 - 2 * x + 1, {x: sympy.Integer(1)}) == 0
    assert sign(sympy.exp(x) * sympy.exp(-x) - 1 - sympy.sin(x), {x: sympy.Integer(1)}) is None
