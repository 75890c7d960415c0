"""Expressions as quotients in unknowns: the same value, identities seen, and what must be real collected."""

import mpmath
import pytest
import sympy
from sympy import E, Expr, Rational, atan, erf, exp, log, pi, sqrt, tanh

from halotheory.proving.unknowns import OutsideError, Unknown, Unknowns

z = sympy.Symbol("z", real=True)
beta = sympy.Symbol("beta", positive=True)
alpha = sympy.Symbol("alpha", positive=True)
logistic = 1 / (1 + exp(-beta * z))
POINT = {z: Rational(7, 5), beta: Rational(3, 10), alpha: Rational(22, 25)}

EXPRESSIONS = [
    sympy.diff(logistic, z, 2),
    log(1 + exp(-z)) * log(2 + 2 * exp(3 * z)),
    tanh(beta * z) ** 3 / (1 + beta),
    z**alpha / z + z ** (2 * alpha - 1) - beta,
    z ** Rational(4, 5) - sqrt(z) + sqrt(1 + z**2),
    exp(-((1000 * (z - 1)) ** 2)) + E + exp(Rational(3, 2) * z + 2),
    atan(beta * z) + erf(-z) * sqrt(pi) + 2**z,
    exp(sqrt(2) * z) + exp(Rational(30000000000000004, 10**17) * z) + exp(Rational(3, 10) * z),
    exp(-exp(-z)) * log(log(1 + exp(z)) + 1),
    sqrt(2) * z + tanh(log(2) / 2),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_quotient_has_the_value_of_the_expression(expression: Expr) -> None:
    unknowns = Unknowns([expression])
    quotient = unknowns.quotient(expression)
    with mpmath.workdps(40):
        values: list[mpmath.mpf] = []
        for unknown in unknowns.all:
            values.append(_value(unknown, values))
        found = _at(quotient.top, values) / _at(quotient.bottom, values)
        assert mpmath.almosteq(
            found, sympy.N(expression.subs(POINT), 40)._to_mpmath(133), rel_eps=mpmath.mpf(10) ** -30
        )


def _value(unknown: Unknown, values: list[mpmath.mpf]) -> mpmath.mpf:
    if unknown.meaning is not None:
        return sympy.N(unknown.meaning.subs(POINT), 40)._to_mpmath(133)
    assert unknown.kind == "log"
    assert unknown.inner is not None
    return mpmath.log(abs(_at(unknown.inner.top, values)))


def _at(polynomial, values: list[mpmath.mpf]) -> mpmath.mpf:
    total = mpmath.mpf(0)
    for powers, coefficient in polynomial.terms():
        term = mpmath.mpf(int(coefficient.p)) / int(coefficient.q)
        for value, power in zip(values, powers, strict=False):
            term *= value ** int(power)
        total += term
    return total


@pytest.mark.parametrize(
    "zero",
    [
        log(1 + exp(-z)) + z - log(1 + exp(z)),
        tanh(z) - (1 - 2 / (1 + exp(2 * z))),
        log(4) - 2 * log(2),
        sqrt(1 + z**2) ** 2 - 1 - z**2 + exp(beta * z + 1) / E - exp(beta * z),
        tanh(log(3) / 2) - Rational(1, 2),
        z ** (alpha - 1) * z - z**alpha,
    ],
)
def test_identities_cancel(zero: Expr) -> None:
    assert Unknowns([zero]).quotient(zero).top == 0


def test_what_must_be_real_is_collected() -> None:
    unknowns = Unknowns([log(z) + sqrt(z - 1) + 1 / (z - 2)])
    unknowns.quotient(log(z) + sqrt(z - 1) + 1 / (z - 2))
    assert set(unknowns.must_be_positive) == {z, z - 1}
    assert len(unknowns.divisors) == 1


@pytest.mark.parametrize("expression", [sympy.sin(z), sympy.Abs(z), (1 + z + beta) ** 5000, sympy.zoo])
def test_other_expressions_are_refused(expression: Expr) -> None:
    with pytest.raises(OutsideError):
        Unknowns([expression]).quotient(expression)


def test_powers_stay_small_for_exponents_that_hardly_differ() -> None:
    unknowns = Unknowns([EXPRESSIONS[7]])
    unknowns.quotient(EXPRESSIONS[7])
    assert sum(unknown.kind == "exp" for unknown in unknowns.all) == 3
