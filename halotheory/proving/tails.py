"""What a function does beyond some point of the line, or close to one: rigorous expansions with balls as coefficients.

A function of w >= M is held as a sum of terms c * w^a * (log w)^b * exp(r1*w + ... + r4*w^4), where c is a number
that may depend on w but lies in a known ball for every w >= M. Small terms are folded into larger ones: their ratio
decreases beyond M, so that its value at M bounds it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, reduce
from itertools import product
from typing import Any

import flint
import sympy
from flint import arb, fmpq
from sympy import Expr, Rational, Symbol

from halotheory.proving.enclose import UncoveredError, Value, ball, sign_of, value_at, whole_power
from halotheory.proving.unknowns import factored

_STARTS = [4**k for k in (1, 2, 3, 4, 5, 6, 8, 10, 15)]
_STARTS_BESIDE = [4**k for k in (2, 5, 9, 15, 30)]
_BITS = 160
_MOST_TERMS, _ORDER, _HIGHEST = 8, 3, 4
_STEEP = 200  # of the exponential that bounds what vanishes faster
_SPLIT = 2  # numbers of the scale behind the rates: the power and the power of log w

Scale = tuple[Any, ...]
"""(r4, r3, r2, r1, a, b) as int or Fraction: larger scales, in the order of tuples, belong to larger terms."""
_UNIT: Scale = (0,) * (_HIGHEST + _SPLIT)


class _NotYetError(Exception):
    """Nothing can be said beyond this M."""


@dataclass(frozen=True, kw_only=True)
class End:
    """A place that a variable approaches.

    Attributes:
        at: a finite place; None for an infinite one.
        side: from which side a finite place is approached, or which infinity: -1 or 1.
    """

    at: Rational | None
    side: int

    def beyond(self, start: int) -> tuple[Rational | None, Rational | None]:
        """Return the open interval that w >= start stands for; None for an infinite end."""
        if self.at is None:
            return (Rational(start), None) if self.side > 0 else (None, Rational(-start))
        other = self.at + self.side * Rational(1, start)
        return (self.at, other) if self.side > 0 else (other, self.at)


@lru_cache(maxsize=512)
def sign_near(expression: Expr, z: Symbol, end: End) -> tuple[int, int] | None:
    """Return the sign that a function has everywhere near an end, and from which w on, or None.

    Near means w >= M, where z = w or -w at an infinite end and z = at + 1/w or at - 1/w at a finite one.

    Args:
        expression: of z alone, built of rationals, powers, exp, log, atan, erf and tanh.
        z: the variable.
        end: what it approaches.
    """
    found = _sign_near(expression, z, end)
    if found is not None:
        return found
    parts = factored(expression)  # what cancels with irrational coefficients, cancels exactly there
    if parts is None:
        return None
    start = 1
    product_of_signs = 1
    for part, multiplicity in [*parts.factors, *((part, 2) for part in (*parts.positive, *parts.nonzero))]:
        near = _sign_near(part, z, end)
        if near is None or (part in parts.positive and near[0] != 1) or (part in parts.nonzero and near[0] == 0):
            return None
        start = max(start, near[1])
        product_of_signs *= near[0] ** multiplicity
    return product_of_signs, start


def _sign_near(expression: Expr, z: Symbol, end: End) -> tuple[int, int] | None:
    with flint.ctx.workprec(_BITS):
        for start in _STARTS if end.at is None else _STARTS_BESIDE:
            try:
                found = _Tail(start, z, end).sign(expression)
            except (_NotYetError, UncoveredError):
                continue
            if found is not None:
                return found, start
    return None


class _Germ:
    """A sum of terms, from larger to smaller scales."""

    def __init__(self, terms: Mapping[Scale, Value]) -> None:
        self.terms = {scale: terms[scale] for scale in sorted(terms, reverse=True) if not _is_zero(terms[scale])}

    def leading(self) -> tuple[Scale, Value]:
        """Return the largest term, whose coefficient is not zero."""
        if not self.terms:
            raise _NotYetError
        scale, coefficient = next(iter(self.terms.items()))
        if sign_of(coefficient) is None:
            raise _NotYetError
        return scale, coefficient

    def scaled(self, factor: Value, scale: Scale = _UNIT) -> "_Germ":
        return _Germ({_add(key, scale): _times(c, factor) for key, c in self.terms.items()})


class _Tail:
    """Arithmetic of functions of w >= start."""

    def __init__(self, start: int, z: Symbol, end: End) -> None:
        self._start = fmpq(start)
        power = 1 if end.at is None else -1
        terms = {_scale(power=power): fmpq(end.side)}
        if end.at is not None and end.at != 0:
            terms[_UNIT] = fmpq(int(end.at.p), int(end.at.q))
        self._known: dict[Expr, _Germ] = {z: _Germ(terms)}
        self._z = z

    def sign(self, expression: Expr) -> int | None:
        """Return the sign of an expression for every w >= start, or None."""
        germ = self._germ(expression)
        if not germ.terms:
            return 0
        return self._definite(list(germ.terms.items()))

    def _definite(self, terms: list[tuple[Scale, Value]]) -> int | None:
        """Return the sign of a sum of terms: that of the first if it outweighs the others, or all agree with it."""
        scale, lead = terms[0]
        try:
            rest = sum((ball(c) * self._up_to(_subtract(key, scale)) for key, c in terms[1:]), arb(0))
            found = sign_of(ball(lead) + rest)
        except _NotYetError:
            found = None
        if found:
            return found
        side = sign_of(lead)
        return side if side and len(terms) > 1 and self._definite(terms[1:]) == side else None

    def _germ(self, expression: Expr) -> _Germ:
        if expression not in self._known:
            self._known[expression] = self._computed(expression)
        return self._known[expression]

    def _computed(self, expression: Expr) -> _Germ:
        if not expression.has(self._z):
            return _Germ({_UNIT: value_at(expression, {})})
        if expression.is_Pow and not isinstance(expression, sympy.exp):
            if not expression.exp.is_Rational:
                return self._exp(self._germ(expression.exp * sympy.log(expression.base)))
            return self._power(self._germ(expression.base), expression.exp)
        parts = [self._germ(part) for part in expression.args]
        if expression.is_Add:
            return self._folded(_sum(parts))
        if expression.is_Mul:
            return reduce(self._product, parts)
        if isinstance(expression, sympy.erf):
            return self._erf(parts[0], expression.args[0])
        function = self._functions().get(expression.func)
        if function is None:
            raise UncoveredError(f"'{expression.func}'")
        return function(parts[0])

    def _functions(self) -> dict[Any, Callable[[_Germ], _Germ]]:
        return {
            sympy.exp: self._exp,
            sympy.log: self._log,
            sympy.Abs: self._absolute,
            sympy.atan: self._atan,
            sympy.tanh: self._tanh,
        }

    def _product(self, one: _Germ, other: _Germ) -> _Germ:
        pairs = product(one.terms.items(), other.terms.items())
        return self._folded(_collected((_add(scale, key), _times(c, d)) for (scale, c), (key, d) in pairs))

    def _folded(self, germ: _Germ) -> _Germ:
        """Return the same function with fewer terms: the smallest are counted into the last that is kept."""
        scales = list(germ.terms)
        if len(scales) <= _MOST_TERMS:
            return germ
        kept = {scale: germ.terms[scale] for scale in scales[:_MOST_TERMS]}
        last = scales[_MOST_TERMS - 1]
        for scale in scales[_MOST_TERMS:]:
            ratio = self._up_to(_subtract(scale, last))
            kept[last] = _plus(kept[last], ball(germ.terms[scale]) * ratio)
        return _Germ(kept)

    def _up_to(self, scale: Scale) -> arb:
        """Return a ball with all values, for w >= start, of a scale that decreases from there on."""
        *rates, power, logs = (_exact(part) for part in scale)
        log_start, zero = arb(self._start).log(), fmpq(0)
        degrees = range(_HIGHEST, 0, -1)
        slopes = [(degree, rate * degree) for degree, rate in zip(degrees, rates, strict=True) if rate]
        growth = arb(max(power, zero)) + arb(max(logs, zero)) / log_start
        if slopes:
            degree, steepest = slopes[0]
            rising = sum((arb(max(slope, zero) * self._start**d) for d, slope in slopes[1:]), growth)
            decreases = steepest < 0 and rising <= arb(-steepest * self._start**degree)
        else:
            decreases = (power < 0 and arb(max(logs, zero)) / log_start <= arb(-power)) or (power == 0 and logs < 0)
        if not decreases:
            raise _NotYetError
        exponent = sum((rate * self._start**d for d, rate in zip(degrees, rates, strict=True)), zero)
        value = (arb(exponent) + arb(power) * log_start + arb(logs) * log_start.log()).exp()
        return arb(0).union(value)

    def _small(self, germ: _Germ) -> arb:
        """Return a ball with all values of a function that vanishes at the end."""
        return sum((ball(c) * self._up_to(scale) for scale, c in germ.terms.items()), arb(0))

    def _series(self, r: _Germ, coefficients: Callable[[int], Value], remainder: arb) -> _Germ:
        """Return sum of coefficients(k) r^k for k below the order, plus remainder * r^order."""
        total, power = _Germ({_UNIT: coefficients(0)}), r
        for k in range(1, _ORDER):
            total = _sum([total, power.scaled(coefficients(k))])
            power = self._product(power, r)
        return self._folded(_sum([total, power.scaled(remainder)]))

    def _around(self, germ: _Germ) -> tuple[Scale, Value, _Germ, arb]:
        """Return a function as c * scale * (1 + r), with a ball around all values of r, which is above -1."""
        scale, c = germ.leading()
        inverse = tuple(-x for x in scale)
        rest = _Germ({key: d for key, d in germ.terms.items() if key != scale})
        r = rest.scaled(_inverse(c), inverse)
        width = self._small(r)
        if not abs(width) < arb(0.5):
            raise _NotYetError
        return scale, c, r, width

    def _power(self, germ: _Germ, exponent: Rational) -> _Germ:
        if exponent.is_Integer and 0 < exponent <= _HIGHEST * 2:
            return reduce(self._product, [germ] * int(exponent))
        scale, c, r, width = self._around(germ)
        q = fmpq(int(exponent.p), int(exponent.q))
        if q.q != 1 and sign_of(c) != 1:
            raise UncoveredError("a broken power of what is negative")
        root = _exact_root(c, int(q.q))
        lead = _whole_power(root, int(q.p)) if root is not None else (ball(c).log() * arb(q)).exp()

        def binomial(k: int) -> fmpq:
            return reduce(lambda x, i: x * (q - i) / (i + 1), range(k), fmpq(1))

        remainder = arb(binomial(_ORDER)) * ((1 + width).log() * arb(q - _ORDER)).exp()
        return self._series(r, binomial, remainder).scaled(lead, tuple(x * _number(q) for x in scale))

    def _log(self, germ: _Germ) -> _Germ:
        scale, c, r, width = self._around(germ)
        if sign_of(c) != 1:
            raise UncoveredError("a logarithm of what is negative")
        *rates, power, logs = scale
        if logs != 0:
            raise _NotYetError
        terms = {_scale(power=degree): _exact(rate) for degree, rate in zip(range(_HIGHEST, 0, -1), rates, strict=True)}
        terms |= {_scale(logs=1): _exact(power), _UNIT: fmpq(0) if c == 1 else ball(c).log()}
        remainder = arb((-1) ** (_ORDER + 1)) / _ORDER / whole_power(1 + width, _ORDER)
        near_one = self._series(r, lambda k: fmpq((-1) ** (k + 1), k) if k else fmpq(0), remainder)
        return _sum([_Germ(terms), near_one])

    def _exp(self, germ: _Germ) -> _Germ:
        rates: list[Any] = [0] * _HIGHEST
        power, factor, rest = 0, fmpq(1), {}
        for scale, c in germ.terms.items():
            degree = scale[_HIGHEST]
            plain = isinstance(c, fmpq) and not any(scale[:_HIGHEST])
            if plain and scale[-1] == 0 and degree in range(1, _HIGHEST + 1):
                rates[_HIGHEST - int(degree)] = _number(c)
            elif plain and scale == _scale(logs=1):
                power = _number(c)
            elif scale == _UNIT:
                factor = ball(c).exp()
            else:
                rest[scale] = c
        r = _Germ(rest)
        if any(scale > _UNIT for scale in rest):
            return self._vanishing(germ)
        remainder = self._small(r).exp() / _factorial(_ORDER)
        return self._series(r, lambda k: fmpq(1, _factorial(k)), remainder).scaled(factor, (*rates, power, 0))

    def _vanishing(self, germ: _Germ) -> _Germ:
        """Return exp of a function that falls below -200 w."""
        above = _sum([germ, _Germ({_scale(power=1): fmpq(_STEEP)})])
        scale, _ = above.leading()
        total = sum((ball(c) * (self._up_to(_subtract(k, scale)) if k != scale else 1) for k, c in above.terms.items()))
        if not total < 0:
            raise _NotYetError
        rates = (*_UNIT[: _HIGHEST - 1], -_STEEP, *_UNIT[:_SPLIT])
        return _Germ({rates: arb(0).union(arb(1))})

    def _absolute(self, germ: _Germ) -> _Germ:
        side = self._definite(list(germ.terms.items())) if germ.terms else 1
        if not side:
            raise _NotYetError
        return germ.scaled(fmpq(side))

    def _atan(self, germ: _Germ) -> _Germ:
        scale, c = germ.leading()
        if scale > _UNIT:
            small = self._atan(self._power(germ, Rational(-1)))
            return _sum([_Germ({_UNIT: arb.pi() / (2 if sign_of(c) == 1 else -2)}), small.scaled(fmpq(-1))])
        if scale == _UNIT:
            rest = _Germ({key: d for key, d in germ.terms.items() if key != scale})
            below = _sum([_Germ({_UNIT: _plus(fmpq(1), _times(c, c))}), rest.scaled(c)])
            step = self._atan(self._product(rest, self._power(below, Rational(-1)))) if rest.terms else rest
            if not ball(c) * self._small(rest) > -1:
                raise _NotYetError
            return _sum([_Germ({_UNIT: ball(c).atan()}), step])
        width = self._small(germ)
        bend = (-1 / (3 * (1 + arb(0).union(whole_power(width, 2))))).union(arb(-1) / 3)
        cube = reduce(self._product, [germ] * 3)
        return self._folded(_sum([germ, cube.scaled(bend)]))

    def _erf(self, germ: _Germ, argument: Expr) -> _Germ:
        scale, c = germ.leading()
        slope = 2 / arb.pi().sqrt()
        if scale > _UNIT:
            side = 1 if sign_of(c) == 1 else -1
            size = germ.scaled(fmpq(side))
            decay = self._germ(sympy.exp(-sympy.expand(argument**2)))  # exactly: z/sqrt(2) has a rational square
            inverse = self._power(size, Rational(-1))
            shrunk = 1 - arb(0).union(whole_power(self._small(inverse), 2) / 2)
            rest = self._product(decay, inverse).scaled(shrunk * slope / 2 * -side)
            return self._folded(_sum([_Germ({_UNIT: fmpq(side)}), rest]))
        if scale == _UNIT:
            rest = _Germ({key: d for key, d in germ.terms.items() if key != scale})
            between = ball(c) + self._small(rest)
            return _sum([_Germ({_UNIT: ball(c).erf()}), rest.scaled(slope * (-whole_power(between, 2)).exp())])
        width = abs(self._small(germ))
        cube = reduce(self._product, [germ] * 3)
        bend = -slope / 3 * (-whole_power(width, 2)).exp().union(arb(1))
        return self._folded(_sum([germ.scaled(slope), cube.scaled(bend)]))

    def _tanh(self, germ: _Germ) -> _Germ:
        """Return 1 - 2/(1 + e^2u), or -1 + 2/(1 + e^-2u) where u falls, so that what remains of 1 is exact."""
        side = 1 if not germ.terms or germ.leading()[0] <= _UNIT or sign_of(germ.leading()[1]) == 1 else -1
        one = _Germ({_UNIT: fmpq(1)})
        below = self._power(_sum([self._exp(germ.scaled(fmpq(2 * side))), one]), Rational(-1))
        return _sum([one.scaled(fmpq(side)), below.scaled(fmpq(-2 * side))])


def _sum(germs: list[_Germ]) -> _Germ:
    return _collected(term for germ in germs for term in germ.terms.items())


def _collected(terms: Iterable[tuple[Scale, Value]]) -> _Germ:
    """Return the sum of terms; exact coefficients are added first, so that what cancels leaves small balls intact."""
    exact: dict[Scale, fmpq] = {}
    balls: dict[Scale, arb] = {}
    for scale, c in terms:
        if isinstance(c, fmpq):
            exact[scale] = exact.get(scale, fmpq(0)) + c
        else:
            balls[scale] = balls[scale] + c if scale in balls else c
    return _Germ(exact | {scale: c + exact[scale] if exact.get(scale) else c for scale, c in balls.items()})


def _exact(number: int | Fraction) -> fmpq:
    return fmpq(number.numerator, number.denominator)


def _number(exact: fmpq) -> int | Fraction:
    return int(exact.p) if exact.q == 1 else Fraction(int(exact.p), int(exact.q))


def _scale(*, power: int = 0, logs: int = 0) -> Scale:
    return (*_UNIT[:_HIGHEST], power, logs)


def _add(one: Scale, other: Scale) -> Scale:
    return tuple(x + y for x, y in zip(one, other, strict=True))


def _subtract(one: Scale, other: Scale) -> Scale:
    return tuple(x - y for x, y in zip(one, other, strict=True))


def _plus(one: Value, other: Value) -> Value:
    return one + other if isinstance(one, fmpq) and isinstance(other, fmpq) else ball(one) + ball(other)


def _times(one: Value, other: Value) -> Value:
    return one * other if isinstance(one, fmpq) and isinstance(other, fmpq) else ball(one) * ball(other)


def _inverse(value: Value) -> Value:
    return 1 / value


def _whole_power(value: Value, exponent: int) -> Value:
    power = whole_power(value, abs(exponent)) if exponent else fmpq(1)
    return power if exponent >= 0 else 1 / power


def _exact_root(value: Value, degree: int) -> Value | None:
    """Return the root of a positive number if it is rational, or the number itself for degree 1."""
    if degree == 1:
        return value
    if not isinstance(value, fmpq):
        return None
    roots = [sympy.integer_nthroot(int(part), degree) for part in (value.p, value.q)]
    return fmpq(int(roots[0][0]), int(roots[1][0])) if all(exact for _, exact in roots) else None


def _is_zero(value: Value) -> bool:
    return bool(value == 0) if isinstance(value, fmpq) else bool(value.is_zero())


def _factorial(k: int) -> int:
    return int(sympy.factorial(k))
