"""Signs of polynomials that can be read off the coefficients."""

from collections.abc import Mapping, Sequence
from typing import Any

import sympy

from halotheory.proving.unknowns import Polynomial, Quotient, Unknown, generator


class Signs:
    """What is plain about the signs of polynomials in unknowns.

    Args:
        unknowns: in order.
        where: conditions, as comparisons of a quotient with 0.
    """

    def __init__(self, unknowns: Sequence[Unknown], where: Sequence[tuple[Any, Quotient]]) -> None:
        self._of = {i: _own(unknown) for i, unknown in enumerate(unknowns)}
        for i in range(len(unknowns)):
            for kind, difference in where:
                if self._of[i] == 0 and difference == generator(i):
                    self._of[i] = {sympy.StrictGreaterThan: 1, sympy.StrictLessThan: -1}.get(kind, 0)
        self._above_one = self._exponentials_above_one(unknowns)
        for i, unknown in enumerate(unknowns):
            if unknown.kind == "log" and unknown.inner is not None:
                self._of[i] = int(
                    self.of(unknown.inner.top - unknown.inner.bottom) > 0 and self.of(unknown.inner.top) > 0
                )

    def of(self, polynomial: Polynomial) -> int:
        """Return 1 or -1 where all values of a polynomial have this sign, 0 where that is not plain."""
        found = self._by_coefficients(polynomial)
        if found == 0 and self._above_one:
            found = self._by_coefficients(self._shifted(polynomial))
        return found

    def _by_coefficients(self, polynomial: Polynomial) -> int:
        sides = {self._side(powers, coefficient) for powers, coefficient in polynomial.terms()}
        return sides.pop() if len(sides) == 1 else 0

    def _side(self, powers: Sequence[int], coefficient: Any) -> int:
        """Return the sign of a term, 0 where it is not plain or the term may vanish."""
        side = 1 if coefficient > 0 else -1
        for i, power in enumerate(powers):
            if power:
                side *= self._of.get(i, 0) ** int(power)
        return side

    def _exponentials_above_one(self, unknowns: Sequence[Unknown]) -> Mapping[int, bool]:
        """Return, for each exponential whose exponent has a plain sign, whether it is above 1."""
        found = {}
        for i, unknown in enumerate(unknowns):
            if unknown.kind == "exp" and unknown.inner is not None:
                side = self._by_coefficients(unknown.inner.top) * self._by_coefficients(unknown.inner.bottom)
                if side:
                    found[i] = side > 0
        return found

    def _shifted(self, polynomial: Polynomial) -> Polynomial:
        """Return a polynomial of the same sign in d > 0, where an exponential is 1 + d or 1 / (1 + d)."""
        zero = polynomial * 0
        total = zero
        degrees = [int(degree) for degree in polynomial.degrees()]
        for powers, coefficient in polynomial.terms():
            term = zero + coefficient
            for i, power in enumerate(powers):
                x = generator(i).top
                if i not in self._above_one:
                    term *= x ** int(power)
                else:
                    term *= (1 + x) ** (int(power) if self._above_one[i] else degrees[i] - int(power))
            total += term
        return total


def _own(unknown: Unknown) -> int:
    if unknown.positive:
        return 1
    symbol = unknown.meaning
    return -1 if unknown.kind == "symbol" and symbol is not None and symbol.is_negative else 0
