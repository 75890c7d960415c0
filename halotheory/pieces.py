"""A piecewise function of z taken apart: smooth pieces between seams, and what happens at the seams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import sympy
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.nonnegative import nonnegative

_MOST_SEAMS, _MOST_SYMBOLIC_SEAMS = 40, 5


class NotPiecewiseLinearError(Exception):
    """A condition of a Piecewise is not a comparison of z with a number or a hyperparameter."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The smooth expression that holds where z stands to every seam as the conditions say.

    Attributes:
        expression: free of Piecewise.
        where: comparisons of z with the seams; at a seam, an equality.
    """

    expression: Expr
    where: Sequence[Relational]


@dataclass(frozen=True, kw_only=True)
class Seam:
    """A point where pieces meet: the expressions just left of it, at it, and just right of it.

    Attributes:
        at: where z stands.
        left: the expression that holds on the left.
        middle: the expression that holds at the point itself.
        right: the expression that holds on the right.
        where: comparisons that fix which seams meet here, none of which names z.
    """

    at: Expr
    left: Expr
    middle: Expr
    right: Expr
    where: Sequence[Relational]


def take_apart(
    function: Expr,
    z: Symbol,
    deadline: Deadline,
    *,
    also_at: Sequence[Expr] = (),
    under: Sequence[Relational] = (),
) -> tuple[list[Piece], list[Seam]]:
    """Return the smooth pieces of a function and its seams, for every value of the hyperparameters.

    Args:
        function: of z and positive symbols, with Piecewise.
        z: the variable.
        deadline: what is left of the time of the check.
        also_at: further points at which to cut.
        under: conditions on z and the symbols, which every piece and seam repeats.

    Raises:
        NotPiecewiseLinearError: a condition that is not linear in z, or too many seams.
    """
    thresholds = {relation: _threshold(relation, z) for relation in _relations(function)}
    points = list(dict.fromkeys([*also_at, *(point for point, _ in thresholds.values())]))
    most = _MOST_SEAMS if all(point.is_Rational for point in points) else _MOST_SYMBOLIC_SEAMS
    if len(points) > most:
        raise NotPiecewiseLinearError(f"{len(points)} seams")
    pieces, seams = [], []
    for here in _positions(points, z, deadline, under):
        where = [*under, *(_compare(z, point, side) for point, side in here.items())]
        expressions = [_selected(function, thresholds, here, toward) for toward in (-1, 0, 1)]
        if 0 in here.values():
            if any(relation.subs(z, _seam_place(here)) == sympy.false for relation in under):
                continue  # outside
            seams.append(_seam(here, expressions, z, under))
        else:
            pieces.append(Piece(expression=expressions[1], where=where))
    return pieces, seams


def tidy(function: Expr, z: Symbol, deadline: Deadline) -> Expr:
    """Return the same function with its nested conditions flattened into one, where it has just two pieces."""
    if not function.has(Piecewise):
        return function
    try:
        pieces, seams = take_apart(function, z, deadline)
    except NotPiecewiseLinearError:
        return function
    if len(pieces) != 2 or len(seams) != 1 or seams[0].where or pieces[0].expression == pieces[1].expression:
        return function
    below, above = (sympy.factor(sympy.cancel(piece.expression)) for piece in pieces)
    at_left = sympy.simplify(seams[0].middle - seams[0].left) == 0
    condition = z <= seams[0].at if at_left else z < seams[0].at
    return Piecewise((below, condition), (above, True))


def _relations(function: Expr) -> list[Relational]:
    conditions = [condition for part in function.atoms(Piecewise) for _, condition in part.args]
    found = {relation for condition in conditions for relation in condition.atoms(Relational)}
    return sorted(found, key=str)


def _threshold(relation: Relational, z: Symbol) -> tuple[Expr, int]:
    """Return where lhs - rhs vanishes, and the sign of its slope in z."""
    difference = sympy.expand(relation.lhs - relation.rhs)
    slope = sympy.diff(difference, z)
    slope_sign = 1 if slope.is_positive else -1 if slope.is_negative else 0
    if slope_sign == 0 or slope.has(z) or difference.has(Piecewise):
        raise NotPiecewiseLinearError(f"the condition {relation}")
    return sympy.cancel(sympy.expand(z - difference / slope)), slope_sign


def _compare(z: Symbol, point: Expr, side: int) -> Relational:
    return {-1: sympy.StrictLessThan, 0: sympy.Equality, 1: sympy.StrictGreaterThan}[side](z, point, evaluate=False)


def _positions(
    points: Sequence[Expr], z: Symbol, deadline: Deadline, under: Sequence[Relational]
) -> Iterator[dict[Expr, int]]:
    """Yield the ways in which z can stand to the points: -1 left of a point, 0 at it, 1 right of it."""
    if all(point.is_Rational for point in points):
        ordered = sorted(points)
        for rank in range(2 * len(points) + 1):  # even ranks lie between points, odd ones at a point
            yield {point: (rank > 2 * i + 1) - (rank < 2 * i + 1) for i, point in enumerate(ordered)}
        return
    for sides in product((-1, 0, 1), repeat=len(points)):
        here: dict[Expr, int] = dict(zip(points, sides, strict=True))
        if _possible([*under, *(_compare(z, point, side) for point, side in here.items())], deadline):
            yield here


def _possible(where: Sequence[Relational], deadline: Deadline) -> bool:
    """Return False where the comparisons are proved to contradict each other."""
    return nonnegative(sympy.S.NegativeOne, where, deadline).status is not Status.PROVED


def _selected(
    function: Expr, thresholds: dict[Relational, tuple[Expr, int]], sides: dict[Expr, int], toward: int
) -> Expr:
    """Return the smooth expression on these sides; a side of 0 is taken `toward` the left, the point, the right."""
    truths = {}
    for relation, (point, slope) in thresholds.items():
        side = sides[point] or toward
        truths[relation] = sympy.sympify(relation.func(sympy.Integer(side * slope), 0))
    return function.xreplace(truths)


def _seam_place(sides: dict[Expr, int]) -> Expr:
    return next(point for point, side in sides.items() if side == 0)


def _seam(sides: dict[Expr, int], expressions: Sequence[Expr], z: Symbol, under: Sequence[Relational]) -> Seam:
    at = _seam_place(sides)
    fixed = [relation.subs(z, at) for relation in under]
    where = [relation for relation in fixed if isinstance(relation, Relational)]
    where += [_compare(at, point, side) for point, side in sides.items() if point != at]
    left, middle, right = expressions
    return Seam(at=at, left=left, middle=middle, right=right, where=where)
