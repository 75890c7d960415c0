"""A piecewise function of z taken apart: smooth pieces between seams, and what happens at the seams."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import sympy
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.nonnegative import nonnegative
from halotheory.proving.order import Ordering, orderings
from halotheory.proving.thresholds import Pattern, Place, UnsolvedError, pattern

_MOST_PARTS = 400
_SECONDS = 1.0


class NotTakenApartError(Exception):
    """The conditions of a Piecewise change at places that are not found, or at too many."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The smooth expression that holds between two neighbouring places.

    Attributes:
        expression: free of Piecewise.
        where: conditions on z and the symbols.
        low: where the piece begins; None for minus infinity.
        high: where it ends; None for infinity.
        needs: what must be at least 0 on the piece for the conditions to be real.
        divisors: what must not vanish there.
    """

    expression: Expr
    where: Sequence[Relational]
    low: Expr | None
    high: Expr | None
    needs: Sequence[Expr] = ()
    divisors: Sequence[Expr] = ()


@dataclass(frozen=True, kw_only=True)
class Seam:
    """A point where pieces meet: the expressions just left of it, at it, and just right of it.

    Attributes:
        at: where z stands.
        left: the expression that holds on the left.
        middle: the expression that holds at the point itself.
        right: the expression that holds on the right.
        where: conditions on the symbols, none of which names z.
        between: rational numbers around it, where there are no hyperparameters.
        divisors: what must not vanish there for the conditions to be real.
    """

    at: Expr
    left: Expr
    middle: Expr
    right: Expr
    where: Sequence[Relational]
    between: tuple[Expr, Expr] | None = None
    divisors: Sequence[Expr] = ()


def take_apart(
    function: Expr,
    z: Symbol,
    deadline: Deadline,
    *,
    after: Expr | None = None,
    under: Sequence[Relational] = (),
) -> tuple[list[Piece], list[Seam]]:
    """Return the smooth pieces of a function and its seams, for every value of the hyperparameters.

    Args:
        function: of z and other symbols, with Piecewise.
        z: the variable.
        deadline: what is left of the time of the check.
        after: leave out what is not right of this point.
        under: conditions on z and the symbols.

    Raises:
        NotTakenApartError: places at which a condition changes are not found.
    """
    try:
        pieces, seams = [], []
        for part in _parts(function, z, tuple(under), deadline, after):
            pieces += part[0]
            seams += part[1]
            if len(pieces) + len(seams) > _MOST_PARTS:
                raise NotTakenApartError(f"more than {_MOST_PARTS} pieces and seams")
    except UnsolvedError as error:
        raise NotTakenApartError(str(error)) from error
    return pieces, seams


def tidy(function: Expr, z: Symbol, deadline: Deadline) -> Expr:
    """Return the same function with its nested conditions flattened into one, where it has just two pieces."""
    if not function.has(Piecewise):
        return function
    try:
        pieces, seams = take_apart(function, z, deadline)
    except NotTakenApartError:
        return function
    pieces, seams = _merged(pieces, seams)
    if len(pieces) != 2 or len(seams) != 1 or pieces[0].expression == pieces[1].expression:
        return function
    below, above = (sympy.factor(sympy.cancel(piece.expression)) for piece in pieces)
    at_left = sympy.simplify(seams[0].middle - seams[0].left) == 0
    condition = z <= seams[0].at if at_left else z < seams[0].at
    return Piecewise((below, condition), (above, True))


def _merged(pieces: Sequence[Piece], seams: Sequence[Seam]) -> tuple[list[Piece], list[Seam]]:
    """Return pieces and seams without the seams at which one expression goes on, where they lie in one row."""
    row = [(left.high, right.low) for left, right in pairwise(pieces)]
    if row != [(seam.at, seam.at) for seam in seams]:
        return list(pieces), list(seams)
    kept, between = [pieces[0]], []
    for seam, piece in zip(seams, pieces[1:], strict=True):
        if all(sympy.cancel(kept[-1].expression - other) == 0 for other in (seam.middle, piece.expression)):
            kept[-1] = replace(kept[-1], high=piece.high)
        else:
            kept.append(piece)
            between.append(seam)
    return kept, between


def _parts(
    function: Expr, z: Symbol, under: tuple[Relational, ...], deadline: Deadline, after: Expr | None
) -> Iterator[tuple[list[Piece], list[Seam]]]:
    """Yield pieces and seams, case by case of the conditions that do not name z."""
    fixed = next((r for r in _relations(function) if not r.has(z) and not r.has(Piecewise)), None)
    if fixed is not None:
        for case, truth in ((fixed, sympy.true), (fixed.negated, sympy.false)):
            if _possible([*under, case], deadline):
                yield from _parts(function.xreplace({fixed: truth}), z, (*under, case), deadline, after)
        return
    yield from _along(function, z, under, deadline, after)


def _along(
    function: Expr, z: Symbol, under: tuple[Relational, ...], deadline: Deadline, after: Expr | None
) -> Iterator[tuple[list[Piece], list[Seam]]]:
    patterns: dict[Expr, Pattern] = {}
    for difference in _differences(function):
        patterns[difference] = pattern(difference, z, under, deadline)
    places = [place for found in patterns.values() for place in found.places]
    marks = (
        [] if after is None else [Place(at=after, between=(after, after))] if after.is_Rational else [Place(at=after)]
    )
    for ordering in orderings([*marks, *places], under, deadline):
        walk = _Walk(function, z, patterns, ordering, under)
        yield walk.pieces(after), walk.seams(after)


def _relations(function: Expr) -> list[Relational]:
    conditions = [condition for part in function.atoms(Piecewise) for _, condition in part.args]
    found = {relation for condition in conditions for relation in condition.atoms(Relational)}
    return sorted(found, key=str)


def _differences(function: Expr) -> list[Expr]:
    """Return what the conditions compare with 0, without Piecewise: each branch of one that is compared."""
    found = {branch for relation in _relations(function) for branch in _branches(_difference(relation))}
    return sorted(found, key=str)


def _difference(relation: Relational) -> Expr:
    return relation.lhs - relation.rhs


def _branches(expression: Expr) -> list[Expr]:
    inner = next(iter(sorted(expression.atoms(Piecewise), key=lambda part: len(str(part)))), None)
    if inner is None:
        return [expression]
    return [branch for part, _ in inner.args for branch in _branches(expression.xreplace({inner: part}))]


@dataclass(frozen=True)
class _Walk:
    """A walk along the line, for one order of the places."""

    function: Expr
    z: Symbol
    patterns: Mapping[Expr, Pattern]
    ordering: Ordering
    under: Sequence[Relational]

    def pieces(self, after: Expr | None) -> list[Piece]:
        groups = self.ordering.groups
        found = []
        for rank in range(self._first(after), len(groups) + 1):
            low = groups[rank - 1][0] if rank else None
            high = groups[rank][0] if rank < len(groups) else None
            where = [*self.under, *self.ordering.where, *self._known(low, high)]
            if low is not None:
                where.append(sympy.StrictGreaterThan(self.z, low.at, evaluate=False))
            if high is not None:
                where.append(sympy.StrictLessThan(self.z, high.at, evaluate=False))
            expression, consulted = self._selected(2 * rank)
            found.append(
                Piece(
                    expression=expression,
                    needs=[need for each in consulted for need in each.needs],
                    divisors=[divisor for each in consulted for divisor in each.divisors],
                    where=where,
                    low=None if low is None else low.at,
                    high=None if high is None else high.at,
                )
            )
        return found

    def seams(self, after: Expr | None) -> list[Seam]:
        found = []
        for index in range(self._first(after), len(self.ordering.groups)):
            place = self.ordering.groups[index][0]
            here = [relation.subs(self.z, place.at) for relation in self.under]
            if any(relation == sympy.false for relation in here):
                continue  # outside of where the function is looked at
            fixed = [relation for relation in here if isinstance(relation, Relational)]
            left, right = (self._selected(rank)[0] for rank in (2 * index, 2 * index + 2))
            middle, consulted = self._selected(2 * index + 1)
            where = [*fixed, *self.ordering.where, *self._known(place, None)]
            found.append(
                Seam(
                    at=place.at,
                    left=left,
                    middle=middle,
                    right=right,
                    where=where,
                    between=place.between,
                    divisors=[divisor for each in consulted for divisor in each.divisors],
                )
            )
        return found

    def _first(self, after: Expr | None) -> int:
        """Return the number of places up to the point after which the function is looked at."""
        if after is None:
            return 0
        return 1 + next(i for i, group in enumerate(self.ordering.groups) if any(place.at == after for place in group))

    @staticmethod
    def _known(*places: Place | None) -> list[Relational]:
        return [relation for place in places if place is not None for relation in place.where]

    def _selected(self, rank: int) -> tuple[Expr, list[Pattern]]:
        """Return the smooth expression of a rank, and the patterns consulted that are not real everywhere.

        Even ranks lie between places, odd ones at a place.
        """
        sides = {
            place.at: (rank > 2 * i + 1) - (rank < 2 * i + 1)
            for i, group in enumerate(self.ordering.groups)
            for place in group
        }
        expression = self.function
        consulted: list[Pattern] = []
        while expression.has(Piecewise):
            smooth = [relation for relation in _relations(expression) if not relation.has(Piecewise)]
            plain = [relation for relation in smooth if self._pattern(relation).real_everywhere]
            chosen = plain or smooth  # the others are consulted only where the plain ones leave them
            consulted += [self._pattern(relation) for relation in chosen if not plain]
            expression = expression.xreplace({relation: self._truth(relation, sides) for relation in chosen})
        return expression, consulted

    def _truth(self, relation: Relational, sides: Mapping[Expr, int]) -> sympy.Basic:
        return sympy.sympify(relation.func(sympy.Integer(self._pattern(relation).sign(sides)), 0))

    def _pattern(self, relation: Relational) -> Pattern:
        found = self.patterns.get(_difference(relation))
        if found is None:
            raise UnsolvedError(f"the condition {relation}")
        return found


def _possible(where: Sequence[Relational], deadline: Deadline) -> bool:
    """Return False where the conditions are proved to contradict each other."""
    return nonnegative(sympy.S.NegativeOne, where, deadline.at_most(_SECONDS)).status is not Status.PROVED
