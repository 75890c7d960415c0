"""Flipped labels: the clean loss is found again, and what no rate can mend is refuted."""

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import Rational, exp, log

from halotheory.deadline import Deadline
from halotheory.proving.shape import Z
from halotheory.reading import mixture

dpo = log(1 + exp(-Z))
flipped_dpo = dpo.subs(Z, -Z)
rates = st.integers(1, 24).map(lambda n: Rational(n, 50))


def _at(function: sympy.Expr, place: float) -> float:
    return float(function.subs(Z, place))


@pytest.mark.parametrize("function", [dpo, Z**3 + Z**2, exp(Z)])
def test_a_function_is_the_sum_of_its_even_and_its_odd_part(function: sympy.Expr) -> None:
    even, odd = mixture.parts(function)
    for place in (0.3, 2.0, 7.0):
        assert _at(even, place) == pytest.approx(_at(even, -place))
        assert _at(odd, place) == pytest.approx(-_at(odd, -place))
        assert _at(even + odd, place) == pytest.approx(_at(function, place))


@given(rates)
def test_cleaning_undoes_the_flips(rate: Rational) -> None:
    even, odd = mixture.parts((1 - rate) * dpo + rate * flipped_dpo)
    clean = mixture.clean(even, odd, rate)
    for place in (-3.0, 0.5, 4.0):
        assert _at(clean, place) == pytest.approx(_at(dpo, place))


@given(rates)
def test_the_rate_of_conservative_dpo_is_among_the_possible_ones(rate: Rational) -> None:
    even, odd = mixture.parts((1 - rate) * dpo + rate * flipped_dpo)
    found = mixture.possible_rates(even, odd, [rate], Deadline(10))
    assert not found.refuted
    assert rate in found.candidates


AWAY = sympy.Piecewise((Z - 5, Z >= 5), (5 - Z, True))
LOG_COSH = AWAY + sympy.log(1 + sympy.exp(-2 * AWAY))


@pytest.mark.parametrize("loss", [(1 - Z) ** 2, dpo + Z**2 / 10, sympy.Abs(Z - 1).rewrite(sympy.Piecewise), LOG_COSH])
def test_a_valley_is_no_mixture_at_any_rate(loss: sympy.Expr) -> None:
    even, odd = mixture.parts(loss)
    assert mixture.possible_rates(even, odd, [], Deadline(10)).refuted or mixture.never_monotone(
        even, odd, Deadline(10)
    )


def test_a_monotone_loss_is_not_called_never_monotone() -> None:
    for loss in (dpo, -Z, 2 * dpo + flipped_dpo):
        even, odd = mixture.parts(loss)
        assert not mixture.never_monotone(even, odd, Deadline(5))


def test_an_odd_part_that_prevails_is_no_valley() -> None:
    assert not mixture.never_monotone(Z, sympy.atan(Z) ** 2, Deadline(5))  # the parts of two labels, turned


def test_a_value_function_that_bends_up_at_0_is_concave_at_no_rate() -> None:
    squared = 1 - 1 / (1 + sympy.exp(-Z)) ** 2  # of the desirable label; the other label's is its mirror image
    assert mixture.never_concave(*mixture.parts(squared))
    for loss in (dpo, 1 / (1 + sympy.exp(Z))):
        assert not mixture.never_concave(*mixture.parts(loss))


def test_half_and_half_is_written_as_two_mirror_images() -> None:
    clean = mixture.swapped_pairs(dpo / 2 + flipped_dpo / 2)
    assert clean is not None
    assert sympy.simplify(clean - dpo) == 0 or sympy.simplify(clean - flipped_dpo) == 0
    assert mixture.swapped_pairs(Z**2) is None


@pytest.mark.parametrize("rate", [Rational(1, 20), Rational(3, 10), Rational(9, 20)])
def test_flipped_labels_of_concave_kto_may_be_flipped_back(rate: Rational) -> None:
    clean = [dpo, flipped_dpo]  # softplus(-z) and softplus(z)
    terms = [(1 - rate) * one + rate * other for one, other in (clean, clean[::-1])]
    found = mixture.labelled_rates(terms, [rate], mirrored=True)
    assert not found.refuted
    assert found.candidates


def test_unrelated_terms_of_two_labels_have_no_rate() -> None:
    assert mixture.labelled_rates([1 / (1 + exp(-Z)), exp(-Z)], [], mirrored=False).refuted


def test_what_has_its_valley_at_0_is_no_mixture_whatever_the_rate() -> None:
    for weighted in (Z**2 * dpo, Z**2 * exp(Z)):
        even, odd = mixture.parts(weighted)
        assert mixture.never_monotone(even, odd, Deadline(10))
