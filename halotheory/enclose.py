"""Rigorous values of expressions: balls of arbitrary precision that contain the exact number."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import flint
import sympy
from flint import arb, fmpq
from sympy import Expr

_PRECISIONS = (64, 256, 1024)  # bits

_FUNCTIONS: dict[Any, Callable[[arb], arb]] = {
    sympy.exp: lambda x: x.exp(),
    sympy.log: lambda x: x.log(),
    sympy.atan: lambda x: x.atan(),
    sympy.tanh: lambda x: x.tanh(),
    sympy.Abs: abs,
}


def sign(expression: Expr, point: Mapping[Expr, Expr] | None = None) -> int | None:
    """Return the sign of an expression at a point of rational numbers: -1, 0 or 1, or None where it is open.

    Signs -1 and 1 are proved by ball arithmetic, 0 by exact rational arithmetic.

    Args:
        expression: built of rationals, powers, exp, log, atan, tanh and Piecewise.
        point: the value of every symbol.
    """
    value = expression.subs(dict(point or {}))
    if value.is_Rational:
        return int(sympy.sign(value))
    for bits in _PRECISIONS:
        with flint.ctx.workprec(bits):
            ball = _ball(value)
            if ball is None or not ball.is_finite():
                return None
            if ball > 0:
                return 1
            if ball < 0:
                return -1
    return None


def _ball(value: Expr) -> arb | None:
    """Return a ball around a closed expression, or None where an operation is not covered."""
    if value.is_Rational:
        return arb(fmpq(int(value.p), int(value.q)))
    if value is sympy.E:
        return arb(1).exp()
    if isinstance(value, sympy.exp) and value.exp.is_Rational and abs(value.exp) > 10**6:
        return None
    parts: list[arb] = []
    for argument in value.args:
        part = _ball(argument)
        if part is None:
            return None
        parts.append(part)
    if value.is_Add:
        return sum(parts, arb(0))
    if value.is_Mul:
        return math.prod(parts, start=arb(1))
    if value.is_Pow:
        return _power(value, parts[0], parts[1])
    function = _FUNCTIONS.get(value.func)
    return function(parts[0]) if function is not None and parts else None


def _power(value: Expr, base: arb, exponent: arb) -> arb | None:
    if value.exp.is_Integer:
        return base ** int(value.exp)
    return base**exponent if base > 0 else None
