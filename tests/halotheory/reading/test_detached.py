"""Detached parts: held constant for the gradient, values otherwise."""

import sympy
from sympy import Piecewise, Rational, Symbol, exp, tanh

from halotheory.reading.detached import held, side_of, without_sign
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


def test_the_sign_and_the_number_of_a_part_stay_outside_its_symbol() -> None:
    found = held(-(1 + exp(detach(x))) * y / 2, [x, y])
    ((symbol, part),) = found.parts.items()
    assert symbol.is_positive
    assert part == 1 + exp(x)
    assert found.term == -symbol * y / 2


def test_a_choice_by_a_detached_value_is_a_sum_weighted_by_0_and_1() -> None:
    found = held(Piecewise((2 * y, detach(x) > 0), (y, True)), [x, y])
    ((symbol, part),) = found.parts.items()
    assert part == Piecewise((1, x > 0), (0, True))
    assert [sympy.expand(found.term.subs(symbol, chosen)) for chosen in (1, 0)] == [2 * y, y]


def test_a_value_of_one_sign_is_proved_so_with_what_is_known() -> None:
    assert side_of(1 + (x - y) ** 2, (x, y)) == 1
    assert side_of(-exp(x) - 1, (x,)) == -1
    assert side_of(Rational(3, 2) - exp(x), (x,)) is None
    assert side_of(Rational(3, 2) - exp(x), (x,), (sympy.LessThan(x, 0),)) == 1
    assert side_of(exp(x - y) - Rational(2718281828, 10**9) * (x - y), (x, y)) == 1  # just below e


def test_a_factor_without_a_sign_has_a_zero_or_two_places_of_opposite_sign() -> None:
    found = without_sign(x**2, [x], {})
    assert (found.witness, found.guilty) == ({"x": "0"}, "x**2")
    found = without_sign(tanh(x) + Rational(1, 3), [x], {})
    assert found.witness is not None
    negative, positive = (Rational(found.witness[f"{side} at x"]) for side in ("negative", "positive"))
    assert tanh(negative).evalf() < -1 / 3 < tanh(positive).evalf()


def test_a_factor_that_is_negative_everywhere_has_a_sign() -> None:
    assert without_sign(-exp(x), [x], {}).witness is None


def test_impossible_places_are_no_witness() -> None:
    assert without_sign(Rational(3, 2) - exp(x), [x], {}, [sympy.LessThan(x, 0)]).witness is None


def test_a_witness_names_the_hyperparameters_whose_values_it_needs() -> None:
    c = Symbol("c", positive=True)
    assert without_sign(c * x, [x], {c: sympy.S.One}).as_set == frozenset()
    assert without_sign(c + x**3 + Rational(1, 7), [x], {c: sympy.S.One}).as_set == {c}
