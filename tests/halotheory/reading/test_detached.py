"""Detached parts: held constant for the gradient, values otherwise."""

import sympy
from sympy import Symbol, exp

from halotheory.reading.detached import held, not_positive
from halotheory.tracing.operations import detach

x, y = Symbol("x", real=True), Symbol("y", real=True)


def test_a_detached_factor_becomes_a_symbol_that_is_positive_where_that_is_proved() -> None:
    found = held(detach(exp(x)) * y, [x, y])
    ((symbol, part),) = found.parts.items()
    assert found.term == symbol * y
    assert symbol.is_positive
    assert part == exp(x)


def test_the_sign_of_a_detached_difference_is_left_open() -> None:
    ((symbol, part),) = held(detach(x - 1) * y, [x, y]).parts.items()
    assert symbol.is_positive is None
    assert part == x - 1


def test_the_largest_detached_part_is_held_whole() -> None:
    (part,) = held((1 + detach(x) * detach(y)) * y, [x, y]).parts.values()
    assert part in {1 + x * y, x * y}
    assert len(held(detach(x) * y + exp(detach(x) * y), [x, y]).parts) == 1


def test_what_is_detached_but_does_not_move_stays_a_value() -> None:
    constant = Symbol("c", real=True)
    assert held(detach(constant) * y, [x, y]).parts == {}


def test_a_place_at_which_a_factor_is_not_positive_is_found_and_checked() -> None:
    beta = Symbol("beta", positive=True)
    place = not_positive(1 + beta * x, [x], {beta: sympy.Rational(1, 10)})
    assert place is not None
    assert 1 + sympy.Rational(1, 10) * sympy.Rational(place["x"]) <= 0
    assert not_positive(exp(x), [x], {}) is None
    assert not_positive(x**2, [x], {}) == {"x": "0"}
