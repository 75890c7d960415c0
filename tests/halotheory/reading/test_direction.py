"""Directions: the one combination of log-ratios that a term depends on, read off or refused."""

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import Piecewise, Rational, Symbol, exp, log

from halotheory.proving.shape import Z
from halotheory.reading.direction import along, branches, directions, independent_of, linear_forms, spread, tidied

a, b = Symbol("a", real=True), Symbol("b", real=True)
beta = Symbol("beta", positive=True)
coefficient = st.fractions(-9, 9, max_denominator=12).filter(bool).map(lambda f: Rational(f.numerator, f.denominator))


def test_dpo_depends_on_the_difference() -> None:
    term = log(1 + exp(-beta * (a - b)))
    direction = next(directions(term, [a, b]))
    assert sympy.cancel(direction[a] / direction[b]) == -1


def test_two_directions_in_one_term_are_none() -> None:
    assert list(directions(exp(a - b) + exp(a + b), [a, b])) == []


def test_a_sum_of_one_direction_and_a_nonlinear_rest_is_read_part_by_part() -> None:
    forms = list(linear_forms(a - b + exp(2 * a - 2 * b), frozenset({a, b})))
    assert forms == [{a: 1, b: -1}, {a: 2, b: -2}]


@given(coefficient, coefficient)
def test_a_function_of_one_combination_is_found_along_it(c: Rational, d: Rational) -> None:
    term = log(1 + exp(c * a + d * b)) + (c * a + d * b) ** 2
    direction = {a: c, b: d}
    found = along(term, direction, Z)
    assert found is not None
    assert sympy.simplify(found - log(1 + exp(Z)) - Z**2) == 0


@given(coefficient, coefficient)
def test_a_function_of_two_combinations_is_along_none(c: Rational, d: Rational) -> None:
    assert along(exp(c * a + d * b) + a, {a: c, b: d}, Z) is None


def test_a_condition_on_another_direction_is_a_dependence() -> None:
    term = Piecewise((a - b, a > 0), (2 * (a - b), True))
    assert along(term, {a: sympy.S.One, b: sympy.S.NegativeOne}, Z) is None


def test_independence_is_shown_branch_by_branch() -> None:
    assert independent_of(Piecewise(((a + b) ** 2 - b**2 - 2 * a * b, a > 0), (1, True)), b)
    assert not independent_of(Piecewise((1, b > 0), (2, True)), b)
    assert not independent_of(a * b, b)


def test_branches_of_two_conditions_are_four() -> None:
    function = Piecewise((1, a > 0), (2, True)) + Piecewise((10, b > 0), (20, True))
    assert sorted(branches(function)) == [11, 12, 21, 22]


@pytest.mark.parametrize(
    ("term", "plain"),
    [((a + b) - a, b), (Piecewise((1, a + b > a), (0, True)), Piecewise((1, b > 0), (0, True)))],
)
def test_tidying_cancels_in_conditions_as_well(term: sympy.Expr, plain: sympy.Expr) -> None:
    assert tidied(term) == plain


def test_spreading_multiplies_out_linear_parts_only() -> None:
    assert spread(exp(beta * (a - b)) * (1 + exp(a)), frozenset({a, b})) == exp(beta * a - beta * b) * (1 + exp(a))
