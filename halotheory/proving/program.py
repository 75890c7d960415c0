"""A function of one variable as a list of instructions, for many fast enclosures over boxes."""

from collections.abc import Callable, Sequence
from typing import Any

import flint
import sympy
from flint import arb, arb_series
from sympy import Expr, Symbol

from halotheory.proving.enclose import UncoveredError, ball, value_at, whole_power
from halotheory.proving.spans import Span

Instruction = tuple[Callable[[Sequence[Any]], Any], tuple[int, ...]]

_FUNCTIONS: dict[Any, Callable[[Any], Any]] = {
    sympy.exp: lambda x: x.exp(),
    sympy.log: lambda x: x.log(),
    sympy.atan: lambda x: x.atan(),
    sympy.erf: lambda x: x.erf(),
}


class Program:
    """A function of z that is free of Piecewise.

    Args:
        expression: of z alone, built of rationals, powers, exp, log, atan, erf and tanh.
        z: the variable.

    Raises:
        UncoveredError: another operation.
    """

    def __init__(self, expression: Expr, z: Symbol) -> None:
        self._z = z
        self._slots: dict[Expr, int] = {z: 0}
        self._code: list[Instruction] = []
        self._closed: list[tuple[int, Expr]] = []
        self._values: dict[int, dict[int, arb]] = {}
        expression = expression.replace(lambda e: isinstance(e, sympy.tanh), _tanh)
        self._result = self._compiled(expression)

    def over(self, box: arb) -> arb | None:
        """Return a ball with all values over a box, or None where the function may not be real there."""
        try:
            value = self._run(box)
        except (ValueError, ZeroDivisionError):
            return None
        return value if value.is_finite() else None

    def expanded(self, box: arb) -> tuple[arb, arb] | None:
        """Return balls with all values, and all slopes, over a box."""
        try:
            series = self._run(arb_series([box, 1], prec=2))
        except (ValueError, ZeroDivisionError):  # flint raises where a ball around a denominator holds 0
            return None
        if not isinstance(series, arb_series):
            return ball(series), arb(0)
        value, slope = series[0], series[1]
        return (value, slope) if value.is_finite() and slope.is_finite() else None

    def between(self, low: arb, high: arb) -> arb | None:
        """Return a number that the function is never below between two places, or None where it may not be real."""
        try:
            value = Span.of(self._run(Span(low.lower(), high.upper())))
        except (ValueError, ZeroDivisionError):
            return None
        return value.low if value.low.is_finite() else None

    def _run(self, x: Any) -> Any:
        slots: list[Any] = [None] * (len(self._slots) + 1)
        slots[0] = x
        for place, value in self._constants().items():
            slots[place] = value
        for place, (compute, parts) in enumerate(self._code):
            if parts:
                slots[place + 1] = compute([slots[part] for part in parts])
        return slots[self._result]

    def _constants(self) -> dict[int, arb]:
        bits = flint.ctx.prec
        if bits not in self._values:
            self._values[bits] = {place: ball(value_at(closed, {})) for place, closed in self._closed}
        return self._values[bits]

    def _compiled(self, expression: Expr) -> int:
        """Return the place at which an expression's value will be."""
        if expression in self._slots:
            return self._slots[expression]
        if not expression.has(self._z):
            place = self._placed(expression, _nothing, ())
            self._closed.append((place, expression))
            value_at(expression, {})  # raises what the run would
            return place
        if expression.is_Pow:
            return self._power(expression)
        parts = tuple(self._compiled(part) for part in expression.args)
        if expression.is_Add:
            return self._placed(expression, _total, parts)
        if expression.is_Mul:
            return self._placed(expression, _product, parts)
        function = _FUNCTIONS.get(expression.func)
        if function is None:
            raise UncoveredError(f"'{expression.func}'")
        return self._placed(expression, lambda values: function(values[0]), parts)

    def _power(self, expression: Expr) -> int:
        base, exponent = expression.base, expression.exp
        if not exponent.is_Integer:
            return self._placed(
                expression, _first, (self._compiled(sympy.exp(exponent * sympy.log(base), evaluate=False)),)
            )
        return self._placed(expression, _power_of(int(exponent)), (self._compiled(base),))

    def _placed(self, expression: Expr, compute: Callable[[Sequence[Any]], Any], parts: tuple[int, ...]) -> int:
        self._code.append((compute, parts))
        self._slots[expression] = len(self._code)
        return len(self._code)


def _nothing(values: Sequence[Any]) -> Any:
    raise AssertionError("a constant is not computed")


def _first(values: Sequence[Any]) -> Any:
    return values[0]


def _total(values: Sequence[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _product(values: Sequence[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total * value
    return total


def _power_of(exponent: int) -> Callable[[Sequence[Any]], Any]:
    def power(values: Sequence[Any]) -> Any:
        base = values[0]
        result = base ** abs(exponent) if isinstance(base, Span) else whole_power(base, abs(exponent))
        return result if exponent > 0 else 1 / result

    return power


def _tanh(expression: Expr) -> Expr:
    return 1 - 2 / (1 + sympy.exp(2 * expression.args[0]))
