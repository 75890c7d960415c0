"""Rigorous values of expressions: exact rationals where possible, else balls that contain the exact number."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flint
import sympy
from flint import arb, fmpq
from sympy import Expr
from sympy.core.relational import Relational

_PRECISIONS = (64, 256, 1024)  # bits
_LARGEST_EXACT_POWER = 1000

Value = Any
"""An fmpq, which is exact, or an arb, a ball that contains the exact number."""

_FUNCTIONS: dict[Any, Callable[[arb], arb]] = {
    sympy.exp: lambda x: x.exp(),
    sympy.log: lambda x: x.log(),
    sympy.atan: lambda x: x.atan(),
    sympy.tanh: lambda x: x.tanh(),
    sympy.erf: lambda x: x.erf(),
    sympy.Abs: abs,
}
_AT_RATIONALS: dict[Any, Callable[[fmpq], fmpq | None]] = {
    sympy.exp: lambda x: fmpq(1) if x == 0 else None,
    sympy.log: lambda x: fmpq(0) if x == 1 else None,
    sympy.atan: lambda x: fmpq(0) if x == 0 else None,
    sympy.tanh: lambda x: fmpq(0) if x == 0 else None,
    sympy.erf: lambda x: fmpq(0) if x == 0 else None,
    sympy.Abs: abs,
}


class UncoveredError(Exception):
    """An expression holds an operation that has no rigorous value here, or none at this point."""


def sign(expression: Expr, point: Mapping[Expr, Expr] | None = None) -> int | None:
    """Return the sign of an expression at a point: -1, 0 or 1, or None where it is open or there is no real value.

    Signs -1 and 1 are proved by ball arithmetic, 0 by exact arithmetic.

    Args:
        expression: built of rationals, powers, exp, log, atan, erf, tanh and Piecewise.
        point: the value of every symbol, closed expressions.
    """
    for bits in _PRECISIONS:
        try:
            with flint.ctx.workprec(bits):
                value = value_at(
                    expression, {symbol: value_at(sympy.sympify(x), {}) for symbol, x in (point or {}).items()}
                )
                found = sign_of(value)
        except UncoveredError:
            return None
        if found is not None:
            return found
    exact = expression.subs(dict(point or {}))  # SymPy may see what cancels
    return 0 if exact.is_Rational and exact == 0 else None


def sign_of(value: Value) -> int | None:
    """Return the sign of an exact value or of all numbers in a ball, or None."""
    if isinstance(value, fmpq):
        return (value > 0) - (value < 0)
    return 1 if value > 0 else -1 if value < 0 else 0 if value.is_zero() else None


def value_at(expression: Expr, values: Mapping[Any, Value]) -> Value:
    """Return an expression's value at the working precision, where the symbols have these values.

    Raises:
        UncoveredError: an operation that is not covered, no real value, or a condition that the balls leave open.
    """
    return _Evaluation(values).value(expression)


def ball(value: Value) -> arb:
    """Return a value as a ball."""
    return arb(value) if isinstance(value, fmpq) else value


def whole_power(x: Any, exponent: int) -> Any:
    """Return a positive whole power of a ball or a series of balls; flint's own is nan where a ball holds 0."""
    result = None
    while exponent:
        if exponent % 2:
            result = x if result is None else result * x
        x = _squared(x)
        exponent //= 2
    return result


def _squared(x: Any) -> Any:
    return (x * x).nonnegative_part() if isinstance(x, arb) else x * x


class _Evaluation:
    """One walk over an expression, each distinct part once."""

    def __init__(self, values: Mapping[Any, Value]) -> None:
        self._known: dict[Any, Value] = dict(values)

    def value(self, expression: Expr) -> Value:
        if expression not in self._known:
            self._known[expression] = self._computed(expression)
        return self._known[expression]

    def _computed(self, expression: Expr) -> Value:
        if expression.is_Rational:
            return fmpq(int(expression.p), int(expression.q))
        if expression is sympy.E:
            return arb(1).exp()
        if expression is sympy.pi:
            return arb.pi()
        if isinstance(expression, sympy.Piecewise):
            return self._branch(expression)
        parts = [self.value(argument) for argument in expression.args]
        if expression.is_Add:
            return _folded(parts, fmpq(0), lambda x, y: x + y)
        if expression.is_Mul:
            return _folded(parts, fmpq(1), lambda x, y: x * y)
        if expression.is_Pow:
            return _power(parts[0], parts[1])
        return _function(expression, parts)

    def _branch(self, expression: Expr) -> Value:
        for part, condition in expression.args:
            truth = self._truth(condition)
            if truth is None:
                raise UncoveredError(f"the condition {condition} is open")
            if truth:
                return self.value(part)
        raise UncoveredError("no condition of a Piecewise holds")

    def _truth(self, condition: Any) -> bool | None:
        """Return whether a condition holds, or None where the balls leave it open."""
        if condition in (sympy.true, sympy.false):
            return bool(condition)
        if isinstance(condition, Relational):
            side = sign_of(_plus(self.value(condition.lhs), -self.value(condition.rhs)))
            return None if side is None else bool(condition.func(sympy.Integer(side), 0))
        return _combined(condition, [self._truth(part) for part in condition.args])


def _combined(condition: Any, truths: Sequence[bool | None]) -> bool | None:
    """Return the truth of a condition from those of its parts, where None is open."""
    if isinstance(condition, sympy.Not):
        return None if truths[0] is None else not truths[0]
    if isinstance(condition, sympy.And):
        return False if False in truths else None if None in truths else True
    if isinstance(condition, sympy.Or):
        return True if True in truths else None if None in truths else False
    if isinstance(condition, sympy.ITE):  # SymPy's reading of a Piecewise that is compared
        return None if truths[0] is None else truths[1] if truths[0] else truths[2]
    raise UncoveredError(f"the condition {condition}")


def _folded(parts: Sequence[Value], start: fmpq, combine: Callable[[Any, Any], Any]) -> Value:
    exact = [part for part in parts if isinstance(part, fmpq)]
    balls = [part for part in parts if not isinstance(part, fmpq)]
    rational = start
    for part in exact:
        rational = combine(rational, part)
    if not balls or (start == 1 and rational == 0):
        return rational
    total = balls[0]
    for part in balls[1:]:
        total = combine(total, part)
    return total if rational == start else combine(total, arb(rational))


def _plus(one: Value, other: Value) -> Value:
    return _folded([one, other], fmpq(0), lambda x, y: x + y)


def _function(expression: Expr, parts: Sequence[Value]) -> Value:
    function = _FUNCTIONS.get(expression.func)
    if function is None or len(parts) != 1:
        raise UncoveredError(f"'{expression.func}'")
    if isinstance(parts[0], fmpq):
        exact = _AT_RATIONALS[expression.func](parts[0])
        if exact is not None:
            return exact
    return _finite(function(ball(parts[0])))


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, fmpq):
        if exponent.q == 1:
            return _whole_power(base, int(exponent.p))
        if exponent.q == 2 and isinstance(base, fmpq) and base >= 0:
            root = fmpq(math.isqrt(int(base.p)), math.isqrt(int(base.q)))
            if root**2 == base:
                return _whole_power(root, int(exponent.p))
        if sign_of(base) == 0 and exponent > 0:
            return fmpq(0)
    if not ball(base) > 0:
        raise UncoveredError("a broken power of a number that is not positive")
    return _finite((ball(base).log() * ball(exponent)).exp())


def _whole_power(base: Value, exponent: int) -> Value:
    if exponent < 0 and sign_of(base) in (0, None):
        raise UncoveredError("division by what may be zero")
    if isinstance(base, fmpq) and abs(exponent) <= _LARGEST_EXACT_POWER:
        return base**exponent
    power = whole_power(ball(base), abs(exponent)) if exponent else arb(1)
    return _finite(power if exponent >= 0 else 1 / power)


def _finite(x: arb) -> arb:
    if not x.is_finite():
        raise UncoveredError("no finite real value")
    return x
