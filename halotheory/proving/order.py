"""The ways in which places on the line can be ordered, whatever the hyperparameters are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import flint
import sympy
from sympy import Expr, Rational
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.enclose import UncoveredError, ball, value_at
from halotheory.proving.nonnegative import identically_zero, nonnegative
from halotheory.proving.thresholds import Place, UnsolvedError

_MOST_ORDERINGS = 100
_SECONDS = 1.0
_BITS = 512


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """One order of the places, from left to right.

    Attributes:
        groups: places that coincide, group by group.
        where: conditions on the hyperparameters under which this is the order.
    """

    groups: tuple[tuple[Place, ...], ...]
    where: tuple[Relational, ...] = ()


def orderings(places: Sequence[Place], under: Sequence[Relational], deadline: Deadline) -> list[Ordering]:
    """Return every possible order of the places; together they cover all values of the hyperparameters.

    Args:
        places: in any order, perhaps the same one twice.
        under: conditions on the hyperparameters.
        deadline: what is left of the time of the check.

    Raises:
        UnsolvedError: places that cannot be told apart, or too many orders.
    """
    found = [Ordering(groups=())]
    unique = {place.at: place for place in places}
    numeric = all(not place.at.free_symbols or place.between is not None for place in unique.values())
    if numeric:
        return [_by_value(list(unique.values()))]
    for place in unique.values():
        found = [longer for ordering in found for longer in _inserted(ordering, place, under, deadline)]
        if len(found) > _MOST_ORDERINGS:
            raise UnsolvedError(f"more than {_MOST_ORDERINGS} orders of {len(unique)} seams")
    return found


def _inserted(ordering: Ordering, place: Place, under: Sequence[Relational], deadline: Deadline) -> Iterator[Ordering]:
    """Yield the orders that a further place can make, with the conditions for each."""
    where = ordering.where
    for i, group in enumerate(ordering.groups):
        first, rest = ordering.groups[:i], ordering.groups[i + 1 :]
        side = _side(place.at, group[0].at, [*under, *where], deadline)
        if side == 1:
            continue
        known = side is not None
        if side in (-1, None):
            before = where if known else (*where, sympy.StrictLessThan(place.at - group[0].at, 0, evaluate=False))
            if known or _possible([*under, *before], deadline):
                yield Ordering(groups=(*first, (place,), group, *rest), where=before)
        if side in (0, None):
            equal = where if known else (*where, sympy.Eq(place.at - group[0].at, 0, evaluate=False))
            if known or _possible([*under, *equal], deadline):
                yield Ordering(groups=(*first, (*group, place), *rest), where=equal)
        if known:
            return
        where = (*where, sympy.StrictGreaterThan(place.at - group[0].at, 0, evaluate=False))
        if not _possible([*under, *where], deadline):
            return
    yield Ordering(groups=(*ordering.groups, (place,)), where=where)


def _side(one: Expr, other: Expr, where: Sequence[Relational], deadline: Deadline) -> int | None:
    """Return on which side of another place a place lies for all hyperparameters, or None."""
    gap = one - other
    if identically_zero(gap):
        return 0
    for side in (1, -1):
        if nonnegative(side * gap, where, deadline.at_most(_SECONDS), strictly=True).status is Status.PROVED:
            return side
    return None


def _possible(where: Sequence[Relational], deadline: Deadline) -> bool:
    return nonnegative(sympy.S.NegativeOne, where, deadline.at_most(_SECONDS)).status is not Status.PROVED


def _by_value(places: Sequence[Place]) -> Ordering:
    """Return the order of numbers."""
    enclosed = sorted(((*_enclosed(place), place) for place in places), key=lambda entry: entry[:2])
    groups: list[tuple[Place, ...]] = []
    last: tuple[Fraction, Fraction] | None = None
    for low, high, place in enclosed:
        if last is not None and low <= last[1]:
            if not _same(groups[-1][0].at, place.at):
                raise UnsolvedError(f"the seams {groups[-1][0].at} and {place.at} cannot be told apart")
            groups[-1] = (*groups[-1], place)
        else:
            groups.append((place,))
        last = (low, high) if last is None else (low, max(high, last[1]))
    return Ordering(groups=tuple(groups))


def _same(one: Expr, other: Expr) -> bool:
    return identically_zero(one - other) or sympy.simplify(one - other) == 0


def _enclosed(place: Place) -> tuple[Fraction, Fraction]:
    """Return rational numbers below and above a number."""
    if place.between is not None:
        low, high = (Fraction(int(end.p), int(end.q)) for end in place.between)
        return low, high
    if place.at.is_Rational:
        return Fraction(int(place.at.p), int(place.at.q)), Fraction(int(place.at.p), int(place.at.q))
    try:
        with flint.ctx.workprec(_BITS):
            value = ball(value_at(place.at, {}))
            mantissa, exponent = value.mid().man_exp()
            middle = Fraction(Rational(int(mantissa)) * Rational(2) ** int(exponent))
            margin = Fraction(1, 2**200) * max(1, abs(middle))
            if not value.rad() < flint.arb(float(margin)):
                raise UnsolvedError(f"the seam {place.at}")
    except UncoveredError as error:
        raise UnsolvedError(f"the seam {place.at}") from error
    return middle - margin, middle + margin
