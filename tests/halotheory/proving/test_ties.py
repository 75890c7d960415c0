"""The inequalities between unknowns hold: each is put to the true values, to forty digits."""

import time
from fractions import Fraction

import mpmath
import pytest
import sympy
import z3
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Expr, Rational, atan, erf, exp, log, pi, sqrt, tanh

from halotheory.proving.solver import Reals, satisfiable
from halotheory.proving.ties import Ties
from halotheory.proving.unknowns import Unknown, Unknowns

z = sympy.Symbol("z", real=True)
alpha = sympy.Symbol("alpha", positive=True)
PLACES = st.integers(-60, 60).filter(bool).map(lambda n: Rational(2 * n + 1, 14))


@pytest.mark.parametrize(
    ("expression", "half_line"),
    [
        (exp(z) + exp(-3 * z) + exp(z / 7 + 1), False),
        (exp(sqrt(2) * z) - exp(z), False),
        (log(1 + exp(z)) * exp(z), False),
        (log(1 + z**2) + log(2) + log(1 + exp(2 * z)) * log(3), False),
        (atan(z) + atan(1 + z**2) + pi, False),
        (erf(z) + exp(-(z**2)) + erf(z / 3), False),
        (tanh(z) * erf(2 * z) * exp(4 * z**2), False),
        (exp(-exp(-z)) + exp(z), False),
        (z**alpha + z ** (2 * alpha - 1) + alpha, True),
        (sqrt(z) * log(z) + z ** Rational(3, 5), True),
    ],
)
@settings(max_examples=25)
@given(st.data())
def test_every_tie_holds_at_the_true_values(expression: Expr, half_line: bool, data: st.DataObject) -> None:
    place = data.draw(PLACES)
    point = {z: abs(place) if half_line else place, alpha: data.draw(st.sampled_from([Rational(1, 3), Rational(9, 4)]))}
    unknowns, reals = Unknowns([expression]), Reals()
    unknowns.quotient(expression)
    ties = Ties(unknowns, reals)
    constraints = [*ties.first(), *ties.second()]
    with mpmath.workdps(400):
        values: list[mpmath.mpf] = []
        for unknown in unknowns.all:
            values.append(_value(unknown, values, point))
        pairs = [(reals[i], _real(value)) for i, value in enumerate(values)]
    for constraint in constraints:
        assert z3.is_true(z3.simplify(z3.substitute(constraint, *pairs))), f"{constraint} at {point}"


def _value(unknown: Unknown, values: list[mpmath.mpf], point: dict[sympy.Symbol, Rational]) -> mpmath.mpf:
    if unknown.meaning is not None:
        return mpmath.mpf(sympy.N(unknown.meaning.subs(point), 400)._to_mpmath(1320))
    assert unknown.inner is not None
    total = mpmath.mpf(0)
    for powers, coefficient in unknown.inner.top.terms():
        term = mpmath.mpf(int(coefficient.p)) / int(coefficient.q)
        for value, power in zip(values, powers, strict=False):
            term *= value ** int(power)
        total += term
    return mpmath.log(abs(total))


def _real(value: mpmath.mpf) -> z3.RatNumRef:
    sign, mantissa, exponent, _ = value._mpf_
    fraction = Fraction(int(mantissa)) * Fraction(2) ** int(exponent) * (-1 if sign else 1)
    return z3.RealVal(f"{fraction.numerator}/{fraction.denominator}")


def test_z3_stops_when_its_time_is_up() -> None:
    x, y, w = z3.Reals("x y w")
    hard = [x**9 + y**7 * w**5 - 3 * x * y * w == 1, y**9 - x**5 * w**7 == 2, w**11 + x**7 * y**3 == 5, x * y * w > 7]
    began = time.monotonic()
    satisfiable(hard, 0.3)
    assert time.monotonic() - began < 2.0
    assert satisfiable(hard, 0) is z3.unknown
