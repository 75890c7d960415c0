"""Where the sign of a condition on z changes: at places that are solved for, or isolated rigorously."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import sympy
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.enclose import UncoveredError, sign
from halotheory.proving.nonnegative import nonnegative
from halotheory.proving.roots import roots

_SECONDS = 5.0
_DEGREE = 2


class UnsolvedError(Exception):
    """The places at which a condition changes are not found."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A point of the line, at which something changes.

    Attributes:
        at: where: an expression free of z, or a symbol that stands for a root.
        between: rational numbers around it, where there are no hyperparameters.
        where: for a symbol, what is known of it.
    """

    at: Expr
    between: tuple[Rational, Rational] | None = None
    where: tuple[Relational, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """The sign of lhs - rhs of a condition, by how z stands to some places.

    Attributes:
        places: where the sign may change.
        sign: from the side of z at each place (-1 left of it, 0 at it, 1 right of it) to the sign there.
        needs: what must be at least 0 wherever the sign is asked for: bases of broken powers.
        divisors: what must not vanish there.
    """

    places: Sequence[Place]
    sign: Callable[[Mapping[Expr, int]], int]
    needs: tuple[Expr, ...] = ()
    divisors: tuple[Expr, ...] = ()

    @property
    def real_everywhere(self) -> bool:
        """Return whether nothing is needed for the condition to be real."""
        return not self.needs and not self.divisors


def pattern(difference: Expr, z: Symbol, under: Sequence[Relational], deadline: Deadline) -> Pattern:
    """Return the sign of a function of z by place.

    Args:
        difference: free of Piecewise.
        z: the variable.
        under: conditions on the symbols.
        deadline: what is left of the time of the check.

    Raises:
        UnsolvedError: the places are not found.
    """
    solved = _solved(difference, z, under, deadline)
    if solved is not None:
        return replace(solved, needs=tuple(_broken_bases(difference, z)))
    if difference.free_symbols != {z}:
        raise UnsolvedError(f"the condition {difference} > 0")
    return _isolated(difference, z, deadline)


def _broken_bases(difference: Expr, z: Symbol) -> list[Expr]:
    powers = [part for part in difference.atoms(sympy.Pow) if part.base.has(z) and not part.exp.is_Integer]
    return sorted({part.base for part in powers}, key=str)


def _solved(difference: Expr, z: Symbol, under: Sequence[Relational], deadline: Deadline) -> Pattern | None:
    """Return the pattern of a product of factors that can each be solved for z."""
    patterns: list[tuple[Place | None, int, int]] = []  # place, sign right of it, multiplicity
    factors, divisors = _factors(difference, z)
    for factor, multiplicity in [*factors, *divisors]:
        found = _solved_factor(factor, z, under, deadline)
        if found is None:
            return None
        patterns += [(place, side, int(multiplicity)) for place, side in found]

    def product(sides: Mapping[Expr, int]) -> int:
        total = 1
        for place, side, multiplicity in patterns:
            total *= (side * (sides[place.at] if place is not None else 1)) ** multiplicity
        return total

    places = [place for place, _, _ in patterns if place is not None]
    return Pattern(places=places, sign=product, divisors=tuple(factor for factor, _ in divisors if factor.has(z)))


def _factors(difference: Expr, z: Symbol) -> tuple[list[tuple[Expr, int]], list[tuple[Expr, int]]]:
    """Return factors and divisors, with multiplicities, whose product has the sign of the expression."""
    if not difference.is_rational_function(z) or any(part.has(z) for part in difference.atoms(sympy.exp, sympy.log)):
        return [(difference, 1)], []
    lists = [sympy.factor_list(part) for part in sympy.fraction(sympy.together(difference))]
    above, below = ([(content, 1), *factors] for content, factors in lists)
    return above, below


def _solved_factor(
    factor: Expr, z: Symbol, under: Sequence[Relational], deadline: Deadline
) -> list[tuple[Place | None, int]] | None:
    """Return factors of the sign of an expression: places with the sign right of them, or signs without a place."""
    if not factor.has(z):
        side = _plain_sign(factor, under, deadline)
        return None if side is None else [(None, side)]
    if factor.is_polynomial(z) and sympy.degree(factor, z) == _DEGREE:
        return _quadratic(factor, z, under, deadline)
    return _peeled(factor, sympy.S.Zero, 1, z, under, deadline)


def _quadratic(
    factor: Expr, z: Symbol, under: Sequence[Relational], deadline: Deadline
) -> list[tuple[Place | None, int]] | None:
    a, b, c = (sympy.Poly(factor, z).coeff_monomial(z**k) for k in (2, 1, 0))
    discriminant = sympy.expand(b**2 - 4 * a * c)
    lead, kind = (_plain_sign(part, under, deadline) for part in (a, discriminant))
    if lead in (0, None) or kind is None:
        return None
    if kind < 0:
        return [(None, lead or 0)]
    ends = [(-b + side * sympy.sqrt(discriminant)) / (2 * a) for side in (-1, 1)]
    return [(None, lead or 0), *((Place(at=sympy.radsimp(end)), 1) for end in ends)]


def _peeled(
    left: Expr, right: Expr, side: int, z: Symbol, under: Sequence[Relational], deadline: Deadline
) -> list[tuple[Place | None, int]] | None:
    """Return the sign of left - right, times `side`, by undoing increasing functions of z one after another."""
    while left != z:
        step = _undone(left, right, z, under, deadline)
        if step is None:
            return None
        left, right, turn = step
        side *= turn
        if not left.has(z):
            return [(None, side)]
    return [(Place(at=sympy.cancel(right) if right.is_rational_function() else right), side)]


def _undone(
    left: Any, right: Expr, z: Symbol, under: Sequence[Relational], deadline: Deadline
) -> tuple[Expr, Expr, int] | None:
    """Return sides whose difference has the same sign, or the other one, with one function of z fewer; or None."""

    def known(expression: Any) -> int | None:
        return _plain_sign(expression, under, deadline)

    if left.is_Add or left.is_Mul:
        return _moved(left, right, z, known)
    if isinstance(left, sympy.exp):
        return (
            (left.exp, sympy.log(right), 1) if known(right) == 1 else (sympy.S.One, right, 1) if known(right) else None
        )
    if left.is_Pow:
        return _root_taken(left.args[0], left.args[1], right, z, known)
    if isinstance(left, sympy.log) and known(left.args[0]) == 1:
        return left.args[0], sympy.exp(right), 1
    if isinstance(left, sympy.tanh) and known(1 - right) == 1 and known(1 + right) == 1:
        return left.args[0], sympy.log((1 + right) / (1 - right)) / 2, 1
    return None


def _root_taken(
    base: Expr, exponent: Expr, right: Expr, z: Symbol, known: Callable[[Expr], int | None]
) -> tuple[Expr, Expr, int] | None:
    """Return the sides with the power undone, where both are positive."""
    side = None if exponent.has(z) else known(exponent)
    if side in (0, None) or (exponent.is_Integer and known(base) != 1):  # a broken power needs a base >= 0
        return None
    floor = known(right)
    if floor == 1:
        return base, right ** (1 / exponent), side
    if floor is None:
        return None
    return (base, right, 1) if floor == 0 and side == 1 else (sympy.S.One, sympy.S.Zero, 1)


def _moved(left: Expr, right: Expr, z: Symbol, known: Callable[[Expr], int | None]) -> tuple[Expr, Expr, int] | None:
    """Return the sides with the parts of a sum or product that are free of z taken to the right."""
    left = sympy.collect(sympy.expand(left), z) if left.is_polynomial(z) else left
    if left.is_Add:
        free, rest = left.as_independent(z, as_Add=True)
        return (rest, right - free, 1) if free != 0 else None
    free, rest = left.as_independent(z, as_Add=False)
    side = known(free)
    return (rest, right / free, side) if free != 1 and side not in (0, None) else None


def _plain_sign(expression: Expr, under: Sequence[Relational], deadline: Deadline) -> int | None:
    """Return the sign that an expression has wherever the conditions hold, or None."""
    if not expression.free_symbols:
        return sign(expression)
    if expression.is_positive or expression.is_negative:
        return 1 if expression.is_positive else -1
    for candidate in (1, -1):
        answer = nonnegative(candidate * expression, under, deadline.at_most(_SECONDS), strictly=True)
        if answer.status is Status.PROVED:
            return candidate
    return 0 if sympy.expand(expression) == 0 else None


def _isolated(difference: Expr, z: Symbol, deadline: Deadline) -> Pattern:
    """Return the pattern of a function of z alone by isolating its zeros."""
    try:
        brackets = roots(difference, z, deadline.at_most(_SECONDS))
    except UncoveredError as error:
        raise UnsolvedError(f"the condition {difference} > 0") from error
    if brackets is None:
        raise UnsolvedError(f"the condition {difference} > 0")
    places = [_root_place(difference, z, low, high) for low, high in brackets]
    samples = [_between(one, other) for one, other in zip([None, *brackets], [*brackets, None], strict=True)]
    signs = [sign(difference, {z: sample}) for sample in samples]
    if not all(signs):
        raise UnsolvedError(f"the condition {difference} > 0")

    def rank(sides: Mapping[Expr, int]) -> int:
        if any(sides[place.at] == 0 for place in places):
            return 0
        return signs[sum(sides[place.at] > 0 for place in places)] or 0

    return Pattern(places=places, sign=rank)


def _root_place(difference: Expr, z: Symbol, low: Fraction, high: Fraction) -> Place:
    ends = Rational(low.numerator, low.denominator), Rational(high.numerator, high.denominator)
    if low == high:
        return Place(at=ends[0])
    digest = hashlib.sha256(f"{difference}{ends}".encode()).hexdigest()[:8]  # no two roots may share a symbol
    root = Symbol(f"{z}_{digest}", real=True)
    equation = sympy.Eq(difference.subs(z, root), 0, evaluate=False)
    return Place(at=root, between=ends, where=(equation, root > ends[0], root < ends[1]))


def _between(one: tuple[Fraction, Fraction] | None, other: tuple[Fraction, Fraction] | None) -> Rational:
    if one is None and other is None:
        return sympy.S.Zero
    low = one[1] if one is not None else (other[0] if other is not None else Fraction(0)) - 2
    high = other[0] if other is not None else low + 2
    middle = (low + high) / 2
    return Rational(middle.numerator, middle.denominator)
