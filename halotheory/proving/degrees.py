"""How high the powers are that exact arithmetic would have to write out."""

from collections.abc import Iterator
from math import gcd, lcm

import sympy
from sympy import Basic, Expr, Rational

_HIGHEST = 10**7


def too_high(expression: Basic) -> bool:
    """Return whether polynomials in its exponentials and roots would have degrees beyond memory.

    e^z beside e^{1.000000001 z} makes one of degree 1000000001 in e^{z/1000000000}.
    """
    rates: dict[Expr, list[Rational]] = {}
    for unknown, rate in _powers(expression):
        rates.setdefault(unknown, []).append(rate)
    return any(_degree(each) > _HIGHEST for each in rates.values())


def _powers(expression: Basic) -> Iterator[tuple[Expr, Rational]]:
    for part in expression.atoms(sympy.exp, sympy.tanh, sympy.Pow):
        if part.is_Pow and not isinstance(part, sympy.exp):
            if isinstance(part.exp, Rational) and part.base.free_symbols:
                yield part.base, part.exp
            continue
        argument = part.exp if isinstance(part, sympy.exp) else part.args[0]
        for addend in sympy.Add.make_args(sympy.expand(argument)):
            rate, monomial = addend.as_coeff_Mul()
            if isinstance(rate, Rational) and monomial.free_symbols:
                yield monomial, rate


def _degree(rates: list[Rational]) -> int:
    """Return the largest of some fractions in units of what divides all of them."""
    denominator = lcm(*(int(rate.q) for rate in rates))
    wholes = [abs(int(rate.p)) * denominator // int(rate.q) for rate in rates]
    return max(wholes) // (gcd(*wholes) or 1)
