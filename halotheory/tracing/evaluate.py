"""Values and gradients of expressions at points, in ball arithmetic: every digit that is returned is right."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flint
import sympy
from flint import arb, fmpq
from sympy import Expr, Symbol
from sympy.core.relational import Relational

from halotheory.tracing.expressions import detach, exact

_PRECISIONS = (128, 640, 5000)  # bits
_ACCURATE, _TINY = 64, 2.0**-100  # bits that have to be right, or an error that nobody can see
_DOUBLE = 53
_NAN = arb("nan")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """An expression at a point.

    Attributes:
        value: NaN where the expression has none, as the logarithm of a negative number, or where none can be found.
        gradient: in each symbol asked for; what is detached is a constant.
    """

    value: float
    gradient: Mapping[Symbol, float]


def evaluate(term: Expr, point: Mapping[Symbol, float | Expr], symbols: Sequence[Symbol] = ()) -> Evaluated:
    """Return the value of a term, and its gradient in some symbols.

    Args:
        term: built of numbers, symbols, sums, products, powers, exp, log, atan, erf, Piecewise and detach.
        point: the value of every symbol of the term; floats are taken as the exact numbers that they are.
        symbols: those to differentiate by.

    Raises:
        NotImplementedError: another function.
    """
    value, gradient = _NAN, dict.fromkeys(symbols, _NAN)
    for bits in _PRECISIONS:
        with flint.ctx.workprec(bits):
            tape = _Tape(point={symbol: _ball(value) for symbol, value in point.items()}, numbers=point)
            value = tape.values[tape.visit(term)]
            gradient = tape.gradient(symbols) if symbols else {}
            if all(_is_accurate(ball) for ball in (value, *gradient.values())):
                break
    return Evaluated(value=_number(value), gradient={symbol: _number(ball) for symbol, ball in gradient.items()})


def rounding(term: Expr, point: Mapping[Symbol, float | Expr], symbols: Sequence[Symbol] = ()) -> Evaluated:
    """Return by how much floats of 64 bits can be off when they compute the term, and its gradient, as written."""
    with flint.ctx.workprec(_DOUBLE):
        tape = _Tape(point={symbol: _ball(value) for symbol, value in point.items()}, numbers=point)
        value = tape.values[tape.visit(term)]
        gradient = tape.gradient(symbols)
        errors = {symbol: _radius(ball) for symbol, ball in gradient.items()}
        return Evaluated(value=_radius(value), gradient=errors)


def _radius(ball: arb) -> float:
    return float(ball.rad()) if ball.is_finite() else math.inf


def _ball(value: float | Expr) -> arb:
    number = value if isinstance(value, float) else exact(value)
    if isinstance(number, float):
        return arb(number)
    return arb(fmpq(int(number.p), int(number.q)))


def _number(ball: arb) -> float:
    return float(ball) if _is_accurate(ball) or not ball.is_finite() else math.nan


def _is_accurate(ball: arb) -> bool:
    return bool(ball.is_finite()) and (ball.rel_accuracy_bits() >= _ACCURATE or ball.rad() < _TINY)


_FUNCTIONS: dict[Any, tuple[Callable[[arb], arb], Callable[[arb, arb], arb]]] = {
    sympy.exp: (lambda x: x.exp(), lambda x, value: value),
    sympy.log: (lambda x: x.log() if x > 0 else _NAN, lambda x, value: 1 / x),
    sympy.atan: (lambda x: x.atan(), lambda x, value: 1 / (1 + x * x)),
    sympy.erf: (lambda x: x.erf(), lambda x, value: (-x * x).exp() * 2 / arb.pi().sqrt()),
}
"""Function to itself, and to its derivative at x with that value."""

_CONSTANTS: dict[Any, Callable[[], arb]] = {
    sympy.E: lambda: arb(1).exp(),
    sympy.pi: arb.pi,
    sympy.oo: arb.pos_inf,
    -sympy.oo: arb.neg_inf,
    sympy.nan: lambda: arb("nan"),
    sympy.zoo: lambda: arb("nan"),
}


@dataclass(kw_only=True)
class _Tape:
    """What has been evaluated so far, each expression once, with its partial derivatives by what it is made of."""

    point: Mapping[Symbol, arb]
    numbers: Mapping[Symbol, float | Expr]
    values: list[arb] = field(default_factory=list)
    partials: list[list[tuple[int, arb]]] = field(default_factory=list)
    seen: dict[Expr, int] = field(default_factory=dict)

    def visit(self, term: Expr) -> int:
        """Return the place of the term on the tape."""
        if term not in self.seen:
            value, partials = self._worked_out(term)
            self.values.append(value)
            self.partials.append(partials)
            self.seen[term] = len(self.values) - 1
        return self.seen[term]

    def gradient(self, symbols: Sequence[Symbol]) -> dict[Symbol, arb]:
        """Return the derivatives of the last term on the tape; NaN where its own value is."""
        if not self.values[-1].is_finite():
            return dict.fromkeys(symbols, _NAN)
        slopes = [arb(0)] * len(self.values)
        slopes[-1] = arb(1)
        for at in range(len(self.values) - 1, -1, -1):
            if slopes[at].is_zero():
                continue
            for part, partial in self.partials[at]:
                slopes[part] += slopes[at] * partial
        return {symbol: slopes[self.seen[symbol]] if symbol in self.seen else arb(0) for symbol in symbols}

    def _worked_out(self, term: Expr) -> tuple[arb, list[tuple[int, arb]]]:
        if term.is_Symbol:
            return self.point[term], []
        if term.is_Rational:
            return arb(fmpq(int(term.p), int(term.q))), []
        if term in _CONSTANTS:
            return _CONSTANTS[term](), []
        if isinstance(term, sympy.Piecewise):
            return self._selected(term)
        parts = [self.visit(part) for part in term.args]
        numbers = [self.values[part] for part in parts]
        value, slopes = _combined(term, numbers)
        return value, list(zip(parts, slopes, strict=True))

    def _selected(self, term: sympy.Piecewise) -> tuple[arb, list[tuple[int, arb]]]:
        for part, condition in term.args:
            truth = self._truth(condition)
            if truth is None:
                break
            if truth:
                at = self.visit(part)
                return self.values[at], [(at, arb(1))]
        return _NAN, []

    def _truth(self, condition: Any) -> bool | None:
        """Return whether the condition holds; None where the balls are too large to tell."""
        if condition in (True, False, sympy.true, sympy.false):
            return bool(condition)
        if isinstance(condition, Relational):
            left, right = (self.values[self.visit(side)] for side in condition.args)
            truth = _RELATIONS[condition.rel_op](left, right)
            return self._of_rationals(condition) if truth is None else truth
        truths = [self._truth(part) for part in condition.args]
        if isinstance(condition, sympy.Not):
            return None if truths[0] is None else not truths[0]
        if isinstance(condition, sympy.And):
            return False if False in truths else None if None in truths else True
        if isinstance(condition, sympy.Or):
            return True if True in truths else None if None in truths else False
        if isinstance(condition, sympy.Xor):
            return None if None in truths else sum(map(bool, truths)) % 2 == 1
        raise NotImplementedError(f"the condition {condition.func}")

    def _of_rationals(self, condition: Relational) -> bool | None:
        """Return whether a condition holds whose sides differ by a fraction, which can be 0, at this point."""
        exactly = {symbol: _rational(value) for symbol, value in self.numbers.items()}
        difference = (condition.lhs - condition.rhs).xreplace(exactly)
        if not difference.is_Rational:
            return None
        return _RELATIONS[condition.rel_op](arb(fmpq(int(difference.p), int(difference.q))), arb(0))


def _rational(value: float | Expr) -> Expr:
    return (
        sympy.Rational(*value.as_integer_ratio()) if isinstance(value, float) and math.isfinite(value) else exact(value)
    )


def _combined(term: Expr, numbers: list[arb]) -> tuple[arb, list[arb]]:
    if term.is_Add:
        return sum(numbers, arb(0)), [arb(1)] * len(numbers)
    if term.is_Mul:
        return _product(numbers)
    if isinstance(term, detach):
        return numbers[0], [arb(0)]
    if isinstance(term, sympy.exp):
        value = numbers[0].exp()
        return value, [value]
    if term.is_Pow:
        return _power(numbers[0], numbers[1], term.exp)
    if term.func not in _FUNCTIONS:
        raise NotImplementedError(f"the function {term.func}")
    function, derivative = _FUNCTIONS[term.func]
    value = function(numbers[0])
    return value, [derivative(numbers[0], value)]


def _less(a: arb, b: arb) -> bool | None:
    return True if a < b else False if a >= b else None


def _less_or_equal(a: arb, b: arb) -> bool | None:
    return True if a <= b else False if a > b else None


def _equals(a: arb, b: arb) -> bool | None:
    return bool(a == b) if a.is_exact() and b.is_exact() else None if a.overlaps(b) else False


def _differs(a: arb, b: arb) -> bool | None:
    same = _equals(a, b)
    return None if same is None else not same


_RELATIONS: dict[str, Callable[[arb, arb], bool | None]] = {
    "<": _less,
    "<=": _less_or_equal,
    ">": lambda a, b: _less(b, a),
    ">=": lambda a, b: _less_or_equal(b, a),
    "==": _equals,
    "!=": _differs,
}


def _product(numbers: list[arb]) -> tuple[arb, list[arb]]:
    before = [arb(1)]
    for number in numbers:
        before.append(before[-1] * number)
    after, slopes = arb(1), []
    for number, lead in zip(reversed(numbers), reversed(before[:-1]), strict=True):
        slopes.append(lead * after)
        after = after * number
    return before[-1], slopes[::-1]


def _power(base: arb, exponent: arb, written: Expr) -> tuple[arb, list[arb]]:
    if written.is_Integer:
        n = int(written)
        return base**n, [n * base ** (n - 1), arb(0)]
    if base > 0:
        value = base**exponent
        return value, [exponent * base ** (exponent - 1), value * base.log()]
    if base == 0 and exponent > 0:
        return arb(0), [arb(0) if exponent > 1 else _NAN, arb(0)]
    return _NAN, [_NAN, _NAN]
