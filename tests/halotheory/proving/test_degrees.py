"""Which expressions exact arithmetic can write out."""

import pytest
import sympy
from sympy import Rational, exp, tanh

from halotheory.proving.degrees import too_high
from halotheory.proving.shape import Z

BETA = sympy.Symbol("beta", positive=True)
NEAR_1 = 1 + Rational(1, 10**9)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (exp(Z) + exp(2 * Z), False),
        (exp(NEAR_1 * Z), False),
        (exp(Z) + exp(NEAR_1 * Z), True),
        (tanh(Z) - tanh(NEAR_1 * Z), True),
        (exp(BETA * Z) + exp(NEAR_1 * BETA * Z + 1), True),
        (exp(BETA * Z) + exp(NEAR_1 * Z), False),
        (Z ** Rational(1, 3) + Z**2, False),
        (sympy.sqrt(Z) + Z**NEAR_1, True),
        (sympy.Tuple(exp(Z), exp(NEAR_1 * Z)), True),
    ],
)
def test_exponents_that_are_close_make_high_powers(expression, expected: bool) -> None:
    assert too_high(expression) is expected
