"""What is known of exponentials, logarithms and the like, said in polynomial inequalities between unknowns."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import permutations

import flint
import sympy
import z3
from flint import fmpq

from halotheory.proving.enclose import ball, value_at
from halotheory.proving.solver import Constraint, Reals
from halotheory.proving.unknowns import ONE, Quotient, Unknown, Unknowns, constant, generator

_MOST_PAIRS = 12
_DIGITS = 15
_HALF_PI = constant(sympy.Rational(157079632680, 10**11))  # above pi / 2
_ERF_SLOPE = constant(sympy.Rational(11283791671, 10**10))  # above 2 / sqrt(pi)
_ERF_SLOPE_BELOW = constant(sympy.Rational(11283791670, 10**10))


class Ties:
    """Inequalities that hold between the unknowns of a question, whatever the values of its symbols.

    Args:
        unknowns: of the question; conversions that it has made before are found again.
        reals: the same as real numbers of z3.
    """

    def __init__(self, unknowns: Unknowns, reals: Reals) -> None:
        self._all = [(generator(i), unknown) for i, unknown in enumerate(unknowns.all)]
        self._unknowns, self._reals = unknowns, reals

    def signs(self) -> list[Constraint]:
        """Return what is known of each unknown alone, and the equations of roots."""
        return [tie for x, unknown in self._all for tie in self._sign(x, unknown)]

    def first(self) -> list[Constraint]:
        """Return the tangents: exp(m) >= 1 + m, 1 - 1/p <= log p <= p - 1, |atan u| <= |u| and the like."""
        return [tie for x, unknown in self._all for tie in self._tangents(x, unknown)]

    def second(self) -> list[Constraint]:
        """Return what costs more: Taylor bounds, and exponentials and logarithms against one another."""
        exponentials = [(x, unknown.inner) for x, unknown in self._all if unknown.kind == "exp" and unknown.inner]
        ties = [tie for e, m in exponentials for tie in self._taylor(e, m)]
        for (e, m), (other, n) in list(permutations(exponentials, 2))[:_MOST_PAIRS]:
            ties.append(self._at_least(e, other.times(ONE.plus(m).plus(minus(n)))))
        for x, unknown in self._all:
            if unknown.kind == "log" and unknown.inner:
                ties += [self._log_beside(x, unknown.inner, e, m) for e, m in exponentials]
            if unknown.kind == "erf" and unknown.inner:
                ties += self._gaussian(x, unknown.inner, exponentials)
        return ties

    def _sign(self, x: Quotient, unknown: Unknown) -> Iterator[Constraint]:
        real = self._reals.polynomial(x.top)
        symbol = unknown.meaning
        if unknown.positive:
            yield real > 0
        elif unknown.kind == "symbol" and symbol is not None:
            if symbol.is_nonnegative:
                yield real >= 0
            if symbol.is_negative:
                yield real < 0
            elif symbol.is_nonpositive:
                yield real <= 0
        if unknown.kind == "root" and unknown.inner is not None:
            yield self._zero(x.power(unknown.degree).plus(minus(unknown.inner)))

    def _tangents(self, x: Quotient, unknown: Unknown) -> Iterator[Constraint]:
        inner = unknown.inner
        if unknown.kind == "constant" and unknown.meaning is not None:
            yield from self._enclosed(x, unknown.meaning)
        if unknown.kind == "power" and unknown.meaning is not None:
            yield from self._monotone_power(x, unknown.meaning)
        if inner is None:
            return
        if unknown.kind == "exp":
            yield self._at_least(x, ONE.plus(inner))
            yield z3.Or(self._positive(inner), self._at_least(ONE, x))
            yield from self._same_sign(x.plus(minus(ONE)), inner)
        if unknown.kind == "log":
            yield self._of_absolute(x, inner)
        if unknown.kind == "atan":
            yield from self._like_atan(x, inner)
        if unknown.kind == "erf":
            yield from self._like_erf(x, inner)

    def _enclosed(self, x: Quotient, meaning: sympy.Expr) -> Iterator[Constraint]:
        with flint.ctx.workprec(256):
            number = ball(value_at(meaning, {}))
            middle = Fraction(float(number.mid()))
            low, high = (middle + side * abs(middle) / 10**_DIGITS for side in (-1, 1))
            if not (number > _arb(low) and number < _arb(high)):
                return
        yield self._positive(x.plus(minus(constant_of(low))))
        yield self._positive(constant_of(high).plus(minus(x)))

    def _monotone_power(self, x: Quotient, meaning: sympy.Expr) -> Iterator[Constraint]:
        base, exponent = (self._unknowns.known(part) for part in meaning.args)
        if base is None or exponent is None:
            return
        up, rises = base.plus(minus(ONE)), x.plus(minus(ONE))
        for m, side in ((exponent, rises), (minus(exponent), minus(rises))):
            yield z3.Or(z3.Not(self._positive(m)), z3.Not(self._positive(up)), self._positive(side))
            yield z3.Or(z3.Not(self._positive(m)), z3.Not(self._positive(minus(up))), self._positive(minus(side)))

    def _of_absolute(self, x: Quotient, inner: Quotient) -> Constraint:
        sides = []
        for p in (inner, minus(inner)):
            bounds = [self._at_least(p.plus(minus(ONE)), x), self._at_least(p.times(x), p.plus(minus(ONE)))]
            sides.append(z3.And(self._positive(p), *bounds, *self._same_sign(x, p.plus(minus(ONE)))))
        return z3.Or(*sides)

    def _like_atan(self, x: Quotient, inner: Quotient) -> Iterator[Constraint]:
        yield from self._same_sign(x, inner)
        for a, u in ((x, inner), (minus(x), minus(inner))):
            steep = a.times(ONE.plus(u.power(2)))
            yield self._positive(_HALF_PI.plus(minus(a)))
            yield z3.Or(self._positive(minus(u)), z3.And(self._at_least(u, a), self._at_least(steep, u)))

    def _like_erf(self, x: Quotient, inner: Quotient) -> Iterator[Constraint]:
        yield from self._same_sign(x, inner)
        for e, u in ((x, inner), (minus(x), minus(inner))):
            yield self._positive(ONE.plus(minus(e)))
            yield z3.Or(self._positive(minus(u)), self._at_least(_ERF_SLOPE.times(u), e))

    def _taylor(self, e: Quotient, m: Quotient) -> Iterator[Constraint]:
        half, sixth = constant(sympy.Rational(1, 2)), constant(sympy.Rational(1, 6))
        parabola = ONE.plus(m).plus(m.power(2).times(half))
        yield self._at_least(e, parabola.plus(m.power(3).times(sixth)))
        yield z3.Or(self._positive(minus(m)), self._at_least(e, parabola))
        yield z3.Or(self._positive(m), self._at_least(parabola, e))
        yield z3.Or(self._positive(m.plus(minus(ONE))), self._at_least(ONE, e.times(ONE.plus(minus(m)))))

    def _log_beside(self, x: Quotient, inner: Quotient, e: Quotient, m: Quotient) -> Constraint:
        """Return log p <= m + p/e - 1 and log p >= m + 1 - e/p, and which of log p and m is larger."""
        sides = []
        for p in (inner, minus(inner)):
            gap = x.plus(minus(m))
            above = self._at_least(p.plus(minus(e)), e.times(gap))
            below = self._at_least(p.times(gap), p.plus(minus(e)))
            sides.append(z3.And(self._positive(p), above, below, *self._same_sign(gap, p.plus(minus(e)))))
        return z3.Or(*sides)

    def _gaussian(
        self, x: Quotient, inner: Quotient, exponentials: Sequence[tuple[Quotient, Quotient]]
    ) -> Iterator[Constraint]:
        """Yield erf(u) >= 2/sqrt(pi) u exp(-u^2) for u >= 0, where exp(u^2) is an unknown."""
        square = inner.power(2)
        for e, m in exponentials:
            inverse = e.power(-1) if m == square else e if m == minus(square) else None
            if inverse is None:
                continue
            for value, u in ((x, inner), (minus(x), minus(inner))):
                slope = _ERF_SLOPE_BELOW.times(u).times(inverse)
                yield z3.Or(self._positive(minus(u)), self._at_least(value, slope))

    def _same_sign(self, one: Quotient, other: Quotient) -> list[Constraint]:
        return [
            self._positive(one) == self._positive(other),
            self._positive(minus(one)) == self._positive(minus(other)),
        ]

    def _positive(self, quotient: Quotient) -> Constraint:
        return self._reals.compared(quotient, lambda real: real > 0)

    def _zero(self, quotient: Quotient) -> Constraint:
        return self._reals.compared(quotient, lambda real: real == 0)

    def _at_least(self, one: Quotient, other: Quotient) -> Constraint:
        return self._reals.compared(one.plus(minus(other)), lambda real: real >= 0)


def minus(quotient: Quotient) -> Quotient:
    """Return the quotient with the other sign."""
    return Quotient(-quotient.top, quotient.bottom)


def constant_of(number: Fraction) -> Quotient:
    """Return a fraction as a quotient."""
    return constant(sympy.Rational(number.numerator, number.denominator))


def _arb(number: Fraction) -> flint.arb:
    return flint.arb(fmpq(number.numerator, number.denominator))
