"""Expansions near the ends of the line and near a place, held to values of high precision."""

import mpmath
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import Expr, Rational, atan, erf, exp, log, sqrt, tanh

from halotheory.proving.tails import End, sign_near

z = sympy.Symbol("z", real=True)
logistic, softplus = 1 / (1 + exp(-z)), log(1 + exp(z))
PLUS, MINUS = End(at=None, side=1), End(at=None, side=-1)
RIGHT_OF_0, LEFT_OF_0 = End(at=sympy.S.Zero, side=1), End(at=sympy.S.Zero, side=-1)


@pytest.mark.parametrize(
    ("function", "signs"),  # at +oo, -oo, right of 0, left of 0
    [
        (sympy.diff(logistic, z), (1, 1, 1, 1)),
        (sympy.diff(logistic, z, 2), (-1, 1, -1, 1)),
        (softplus - z, (1, 1, 1, 1)),
        (sympy.diff(logistic * log(logistic), z), (1, -1, 1, 1)),
        (sympy.diff(z * (1 + erf(z / sqrt(2))) / 2, z), (1, -1, 1, 1)),
        (1 - erf(z), (1, 1, 1, 1)),
        (atan(z) - 1, (1, -1, -1, -1)),
        (sympy.diff(logistic / 10 - 1 / (1 + (1000 * (z - 37)) ** 2), z), (1, -1, 1, 1)),
        (exp(z) - 1 - z, (1, 1, 1, 1)),
        (tanh(z) - z, (-1, 1, -1, 1)),
        (exp(-exp(z)), (None, 1, 1, 1)),
        (sqrt(1 + z**2) - z, (1, 1, 1, 1)),
        (z - z, (0, 0, 0, 0)),
    ],
)
def test_signs_at_the_ends_and_beside_0(function: Expr, signs: tuple[int | None, ...]) -> None:
    for end, expected in zip((PLUS, MINUS, RIGHT_OF_0, LEFT_OF_0), signs, strict=True):
        found = sign_near(sympy.sympify(function), z, end)
        assert (found if found is None else found[0]) == expected


def test_what_is_not_real_has_no_sign() -> None:
    assert sign_near(log(z), z, MINUS) is None
    assert sign_near(z ** Rational(4, 5), z, LEFT_OF_0) is None


_LEAVES = st.sampled_from(
    [z, logistic, softplus, tanh(z), atan(z), erf(z), exp(-z), sqrt(1 + z**2), 1 / (1 + z**2), exp(-(z**2))]
)
_WEIGHTS = st.sampled_from([Rational(n, 4) for n in (-9, -4, -2, -1, 1, 2, 3, 8)])


@given(st.lists(st.tuples(_WEIGHTS, _LEAVES, _LEAVES), min_size=1, max_size=3), st.sampled_from([PLUS, MINUS]))
def test_a_sign_holds_at_every_point_tried(terms: list[tuple[Rational, Expr, Expr]], end: End) -> None:
    function = sum((weight * one * other for weight, one, other in terms), sympy.S.Zero)
    found = sign_near(function, z, end)
    if found is None:
        return
    value = sympy.lambdify(z, function, modules="mpmath")
    with mpmath.workdps(400):
        for factor in (1, 2, 3, 10):
            assert mpmath.sign(value(mpmath.mpf(end.side * found[1] * factor))) in (found[0], 0)
