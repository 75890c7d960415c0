"""Links: differences g(one) - g(other) of another increasing function than the logarithm."""

from collections.abc import Mapping, Sequence

import pytest
import sympy
from sympy import exp, log
from sympy.core.relational import Relational

from halotheory import losses
from halotheory.contract import loss_of
from halotheory.proving.shape import Z
from halotheory.reading.link import linked_readings
from halotheory.reading.outputs import outputs
from halotheory.reading.reference import Reading
from halotheory.tracing.trace import trace

PAIR = outputs(trace(loss_of(losses.dpo)))
W, L = (output.log_ratio for output in PAIR)


def _links(
    term: sympy.Expr,
    *,
    below: bool = False,
    settings: Mapping[sympy.Symbol, sympy.Expr] | None = None,
    domains: Sequence[Relational] = (),
) -> list[Reading]:
    return list(linked_readings(term, PAIR[0], PAIR, below=below, settings=settings, domains=domains))


def test_the_ratio_itself_is_a_link() -> None:
    (found,) = _links(log(1 + exp(exp(L) - exp(W))))
    assert found.relaxations == ("generalised_link",)
    assert found.link == exp(W)
    assert sympy.simplify(found.shape - log(1 + exp(-Z))) == 0


def test_a_falling_function_is_a_link_with_the_other_sign() -> None:
    (found,) = _links(exp(exp(-W) - exp(-L)))
    assert found.link == -exp(-W)
    assert found.shape == exp(-Z)


def test_every_difference_must_be_a_multiple_of_one() -> None:
    (found,) = _links((exp(W) - exp(L)) ** 2 + 3 * exp(W) - 3 * exp(L))
    assert sympy.expand(found.shape - Z**2 - 3 * Z) == 0
    assert _links(exp(exp(W) - exp(L)) + W - L) == []


def test_two_functions_for_two_outputs_are_no_link() -> None:
    assert _links(exp(exp(W) - exp(2 * L))) == []


def test_a_function_that_rises_and_falls_spoils_the_reading_with_two_places() -> None:
    (found,) = _links(exp(exp(W) + exp(-W) - exp(L) - exp(-L)))
    assert found.spoiled is not None
    witness = found.spoiled.witness or {}
    rises, falls = (sympy.Rational(witness[f"{words} at log_ratio"]) for words in ("the link rises", "and falls"))
    slope = sympy.diff(exp(W) + exp(-W), W)
    assert slope.subs(W, rises) > 0 > slope.subs(W, falls)


def test_log_odds_rise_where_probabilities_are_below_one() -> None:
    odds = W - log(1 - exp(W)) - L + log(1 - exp(L))
    assert [found.spoiled for found in _links(exp(odds), below=True)] == [None]


def _with_tanh(c: sympy.Expr) -> sympy.Expr:
    return exp(W - 3 * c * sympy.tanh(W) - L + 3 * c * sympy.tanh(L))


def test_a_link_with_a_hyperparameter_is_open_where_it_rises_only_as_set() -> None:
    c = sympy.Symbol("c", positive=True)
    (found,) = _links(_with_tanh(c), settings={c: sympy.Rational(1, 5)})
    assert found.spoiled is not None
    assert found.spoiled.witness is None
    (found,) = _links(_with_tanh(c), domains=[sympy.LessThan(c, sympy.Rational(3, 10))])
    assert found.spoiled is None


def test_a_link_that_falls_only_as_set_says_so() -> None:
    c = sympy.Symbol("c", positive=True)
    (found,) = _links(_with_tanh(c), settings={c: sympy.S.One})
    assert found.spoiled is not None
    assert found.spoiled.witness is not None
    assert found.spoiled.as_set == {c}


@pytest.mark.parametrize(("c", "rises"), [(sympy.Rational(1, 3), True), (sympy.Rational(1001, 3000), False)])
def test_a_link_may_be_flat_at_a_place_but_not_dip(c: sympy.Expr, *, rises: bool) -> None:
    (found,) = _links(_with_tanh(c))
    assert (found.spoiled is None) is rises


def test_a_link_is_not_judged_where_no_log_probability_can_be() -> None:
    (found,) = _links(exp(W - exp(W) / 2 - L + exp(L) / 2), below=True)  # it falls from log 2 on
    assert found.spoiled is None


@pytest.mark.parametrize("term", [W * L, exp(W) * exp(L), exp(W)])
def test_what_is_no_difference_has_no_link(term: sympy.Expr) -> None:
    assert _links(term) == []
