"""Losses on pairs that are the expectation of a HALO over randomly flipped labels."""

from collections.abc import Iterator

import sympy
from sympy import Expr, Rational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.nonnegative import nonnegative
from halotheory.shape import Z

HALF = Rational(1, 2)
RATES = [Rational(n, 20) for n in (1, 2, 4, 5, 6, 8, 9)]
"""Rates of flipped labels that are tried beside the hyperparameters."""


def parts(shape: Expr) -> tuple[Expr, Expr]:
    """Return the even and the odd part of a function of z."""
    turned = shape.subs(Z, -Z)
    return sympy.expand((shape + turned) / 2), sympy.expand((shape - turned) / 2)


def clean(even: Expr, odd: Expr, rate: Expr) -> Expr:
    """Return the loss whose expectation over labels flipped at this rate has these parts.

    loss(z) = (1 - e) clean(z) + e clean(-z), so that clean is the even part plus 1 / (1 - 2e) times the odd part.
    """
    return sympy.expand(even + odd / (1 - 2 * rate))


def rates(values: Iterator[Expr]) -> list[Expr]:
    """Return the rates to try: the hyperparameters that may be one, then simple ones."""
    return list(dict.fromkeys([*(value for value in values if 0 < value < HALF), *RATES]))


def never_monotone(even: Expr, odd: Expr, deadline: Deadline) -> bool:
    """Return whether even + k * odd is proved to rise somewhere and fall elsewhere, for every k > 0.

    Its slope is odd' * (k + even' / odd'). If odd' does not change sign and even' / odd' is a polynomial in z without
    exponentials, which is then odd, it runs from one infinity to the other and the slope takes both signs.
    """
    slopes = [sympy.diff(part, Z) for part in (even, odd)]
    if slopes[0] == 0 or slopes[1] == 0 or any(slope.has(sympy.Piecewise) for slope in slopes):
        return False
    ratio = sympy.simplify(sympy.together(slopes[0]) / sympy.together(slopes[1]))
    if Z not in ratio.free_symbols or not ratio.is_polynomial(Z):
        return False
    return any(nonnegative(side * slopes[1], [], deadline, strictly=True).status is Status.PROVED for side in (1, -1))
