"""Counterexamples: shown rigorously, simple, inside the conditions, and for every hyperparameter."""

import sympy
from sympy import Expr, Piecewise, Rational, exp, log

from halotheory.deadline import Deadline
from halotheory.proving import falsify
from halotheory.proving.enclose import sign
from halotheory.proving.shape import Z, concave_in_gains, non_decreasing

beta = sympy.Symbol("beta", positive=True)
weight = sympy.Symbol("weight", real=True)
logistic = 1 / (1 + exp(-Z))


def falls(v: Expr, settings: dict | None = None, **options: object) -> falsify.Search:
    pairs = falsify.rising_pairs(falsify.simple_points())
    return falsify.find_witness(v, Z, falsify.decrease, pairs, settings or {}, Deadline(20), **options)  # type: ignore[arg-type]


def test_the_simplest_pair_comes_first() -> None:
    found = falls(-Z)
    assert found.witness == {"z1": "0", "z2": "1", "v(z1)": "0", "v(z2)": "-1"}


def test_a_difference_of_1e_40_is_seen_and_0_is_none() -> None:
    assert falls(Z / 10**60 - Z / 10**40).witness is not None
    assert falls(0 * Z).points is None


def test_points_are_scaled_so_that_they_refute_for_every_hyperparameter() -> None:
    found = falls(-((beta * Z - 1) ** 2), {beta: Rational(1, 10)})
    assert found.witness is not None
    assert "beta" in found.witness["z2"]


def test_what_fails_as_set_only_has_points_but_no_witness() -> None:
    found = falls((beta - 1) * Z, {beta: Rational(1, 10)})
    assert found.points is not None
    assert found.witness is None
    within = falls((beta - 1) * Z, {beta: Rational(1, 10)}, where=[beta < 1])
    assert within.witness is not None


def test_for_a_context_one_value_is_enough_and_is_told() -> None:
    found = falls(weight * Z)
    assert found.witness is not None
    assert sympy.sympify(found.witness["weight"]) < 0
    assert falls(weight * Z, where=[weight > 0]).points is None


def test_conditions_on_z_hold_for_the_points() -> None:
    found = falls((Z - 3) ** 2, where=[Z > 0])
    assert found.witness is not None
    assert sympy.sympify(found.witness["z1"]) > 0


def test_where_a_function_is_not_real_nothing_is_shown() -> None:
    found = falls(-log(Z))
    assert found.points is not None
    assert all(point > 0 for point in found.points)


def test_witnesses_of_narrow_dips_have_few_digits() -> None:
    dip = 1 / (1 + exp(-Z / 10)) - exp(-((1000 * (Z - 37)) ** 2)) / 100
    witness = non_decreasing(dip, {}, Deadline(20)).witness
    assert witness is not None
    assert (witness["z1"], witness["z2"]) == ("3699/100", "37")
    sag = concave_in_gains(dip, {}, Deadline(20)).witness
    assert sag is not None
    z1, z2, z3 = (sympy.sympify(sag[name]) for name in ("z1", "z2", "z3"))
    assert z1 + z3 == 2 * z2
    assert sign(dip.subs(Z, z1) + dip.subs(Z, z3) - 2 * dip.subs(Z, z2)) == 1


def test_points_inside_an_interval_are_in_or_beside_it() -> None:
    for low, high in ((Rational(369, 10), Rational(371, 10)), (Rational(-1, 3), Rational(-3333, 10**4))):
        points = falsify.points_inside(low, high)
        assert sum(bool(low <= point) and bool(point <= high) for point in points) >= 5


def test_a_dip_between_symbols_is_refuted_for_all_of_them() -> None:
    tent = Piecewise((Z, beta > Z), (2 * beta - Z, 2 * beta > Z), (Z - 2 * beta, True))
    witness = non_decreasing(tent, {beta: Rational(1, 5)}, Deadline(20)).witness
    assert witness is not None
    assert "beta" in witness["z1"] + witness["z2"]
