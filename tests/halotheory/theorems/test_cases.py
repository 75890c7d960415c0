"""Steps with minima, maxima and signs: what is proved holds at every point tried, and what fails is never proved."""

import numpy as np
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sympy import Expr, Integer, Max, Min, sign

from halotheory.findings import Status
from halotheory.theorems.cases import at_least_by_cases, cases, equal_by_cases

a, b, c, t = sympy.symbols("a b c t", real=True)
PROVED, UNDECIDED = Status.PROVED, Status.UNDECIDED

_linear = st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(-2, 2)).map(
    lambda k: k[0] * a + k[1] * b + Integer(k[2])
)
_choices = st.recursive(_linear, lambda part: st.builds(Min, part, part) | st.builds(Max, part, part), max_leaves=4)


@pytest.mark.parametrize(
    ("left", "right", "status"),
    [
        (Max(a, b) + Min(a, b), a + b, PROVED),
        (Max(a, b) - Min(a, b), sign(a - b) * (a - b), PROVED),
        (Min(a, Max(b, c)), Max(Min(a, b), Min(a, c)), PROVED),
        (sign(a) * sign(b), sign(a * b), PROVED),
        (Max(a, b) + Min(a, b), a - b, UNDECIDED),
        (Max(a, 0), a, UNDECIDED),
        (sign(a) ** 2, Integer(1), UNDECIDED),  # fails at a = 0 alone
    ],
)
def test_identities(left: Expr, right: Expr, status: Status) -> None:
    assert equal_by_cases("", left, right).status is status


def test_conditions_count() -> None:
    assert equal_by_cases("", Max(a, 0), a, [a >= 0]).status is PROVED
    assert equal_by_cases("", sign(a) ** 2, Integer(1), [sympy.Ne(a, 0)]).status is PROVED
    assert at_least_by_cases("", Max(0, a), a, [a < 0], strictly=True).status is PROVED
    assert at_least_by_cases("", Max(0, a), a, [a <= 0], strictly=True).status is UNDECIDED


def test_the_formula_is_shown_with_its_choices() -> None:
    step = at_least_by_cases("larger", Max(a, b), a)
    assert str(step.formula) == "Max(a, b) >= a"
    assert step.method is not None
    assert step.method.startswith("case by case")


def test_the_conditions_are_shown_with_the_formula() -> None:
    assert at_least_by_cases("More.", Max(a, b), a, [a < b], strictly=True).conditions == ["a < b"]
    assert equal_by_cases("The same.", Max(a, b), a, [a >= b]).conditions == ["a >= b"]


def test_a_sign_has_three_cases() -> None:
    assert [(value, str(conditions[0])) for value, conditions in cases(sign(a), [])] == [
        (1, "a > 0"),
        (0, "Eq(a, 0)"),
        (-1, "a < 0"),
    ]


@given(_choices, _choices, st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_what_is_proved_holds_at_random_points(left: Expr, right: Expr, seed: int) -> None:
    if at_least_by_cases("", left, right).status is not PROVED:
        return
    gap = sympy.lambdify((a, b), left - right, "numpy")
    for point in np.random.default_rng(seed).normal(scale=3, size=(50, 2)):
        assert gap(*point) >= -1e-12


@given(_choices, _choices)
@example(Integer(0), Min(a, 1 - 2 * a))
@settings(max_examples=40)
def test_what_is_left_open_fails_somewhere(left: Expr, right: Expr) -> None:
    """The procedure is complete for linear parts: where it proves nothing, a lattice of points shows why."""
    if at_least_by_cases("", left, right).status is PROVED:
        return
    grid = np.union1d(np.linspace(-60, 60, 241), np.linspace(-3, 3, 361))  # where lines cross: at thirds, too
    gap = sympy.lambdify((a, b), left - right, "numpy")
    assert np.min(gap(*np.meshgrid(grid, grid))) < 0
