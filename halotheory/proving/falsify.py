"""The search for counterexamples: simple points, believed only where ball arithmetic shows that they are one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, islice, product
from typing import Any

import flint
import sympy
from flint import arb, fmpq
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status, Witness
from halotheory.proving.enclose import UncoveredError, ball, sign, value_at
from halotheory.proving.nonnegative import nonnegative

SIMPLE = [Rational(*n) for n in ((0, 1), (1, 1), (1, 2), (2, 1), (5, 1), (10, 1), (1, 10), (20, 1), (50, 1), (100, 1))]
_STEPS = [Rational(1, 10**k) for k in range(5)]
_MOST_GENERALISATIONS, _MOST_CONTEXTS, _MOST_TRIED = 4, 6, 500
_SECONDS = 2.0
_OTHER_SETTINGS = (Rational(1, 7), Rational(1, 2), Rational(3), Rational(20))
_VALUES = [Rational(*n) for n in ((10, 1), (1, 1), (1, 10), (-1, 1), (-10, 1), (-20, 1), (1, 4), (0, 1))]

Test = Callable[[Callable[[Expr], Any], Sequence[Expr]], Any]
"""From a function and points to a number that is positive where the points are a counterexample."""


def decrease(v: Callable[[Expr], Any], points: Sequence[Expr]) -> Any:
    """Return v(z1) - v(z2), positive where v falls from z1 to a larger z2."""
    return v(points[0]) - v(points[1])


def sag(v: Callable[[Expr], Any], points: Sequence[Expr]) -> Any:
    """Return v(z1) + v(z3) - 2 v(z2), positive where the chord over a midpoint z2 lies above v."""
    return v(points[0]) + v(points[2]) - 2 * v(points[1])


def change(v: Callable[[Expr], Any], points: Sequence[Expr]) -> Any:
    """Return (v(z2) - v(z1))^2, positive where v is not constant."""
    return (v(points[1]) - v(points[0])) ** 2


def rising_pairs(points: Sequence[Rational]) -> Iterator[tuple[Expr, ...]]:
    """Yield pairs z1 < z2 of the points."""
    yield from combinations(sorted(set(points)), 2)


def midpoint_triples(points: Sequence[Rational]) -> Iterator[tuple[Expr, ...]]:
    """Yield triples 0 < z1 < z2 < z3 of the points, with z2 in the middle."""
    for low, high in combinations(sorted({point for point in points if point > 0}), 2):
        yield low, (low + high) / 2, high


def simple_points() -> list[Rational]:
    """Return the numbers to try before anything is known."""
    return [*SIMPLE, *(-point for point in SIMPLE)]


def points_near(place: Rational) -> list[Rational]:
    """Return numbers beside a place, on both sides."""
    return [place + side * step for step in [*_STEPS, Rational(0)] for side in (-1, 1)]


def points_inside(low: Rational, high: Rational) -> list[Rational]:
    """Return numbers inside an interval, or beside it, with as few digits as there are."""
    found: list[Rational] = []
    ends = Fraction(int(low.p), int(low.q)), Fraction(int(high.p), int(high.q))
    width = ends[1] - ends[0]
    quarters = [ends[0] + width * k / 4 for k in range(5)]
    digits = 0
    while Fraction(1, 10**digits) > width and digits < 40:
        digits += 1
    for places in (max(0, digits - 2), max(0, digits - 1), digits, digits + 1):
        step = Fraction(1, 10**places)
        for quarter in quarters:
            nearest = round(quarter / step) * step
            found += [Rational(x.numerator, x.denominator) for x in (nearest - step, nearest, nearest + step)]
    return [*dict.fromkeys(found), *(Rational(q.numerator, q.denominator) for q in quarters)]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search for a counterexample found.

    Attributes:
        witness: one for every value of the hyperparameters.
        points: one at the hyperparameters as set.
    """

    witness: Witness | None = None
    points: tuple[Expr, ...] | None = None


def find_witness(
    v: Expr,
    z: Symbol,
    test: Test,
    tuples: Iterable[tuple[Expr, ...]],
    settings: Mapping[Symbol, Expr],
    deadline: Deadline,
    *,
    where: Sequence[Relational] = (),
    bits: int = 256,
) -> Search:
    """Return a counterexample, shown by exact or ball arithmetic, if there is one among the tuples.

    Where the function has hyperparameters, a counterexample must hold for every value of them: the points are then
    scaled by a hyperparameter or its inverse, and the inequality proved. For other symbols one value is enough.

    Args:
        v: the function of z.
        z: its variable.
        test: what is positive at a counterexample.
        tuples: the points to try.
        settings: the hyperparameters' values as set.
        deadline: what is left of the time of the check.
        where: conditions that a counterexample must meet.
        bits: of precision; two values that agree to these are not told apart.
    """
    ordered = sorted(tuples, key=_complexity)
    last = Search()
    for context in contexts(v, z, settings, where):
        here = [relation.subs(context) for relation in where]
        found = _search(v.subs(context), z, test, ordered, settings, deadline, here, bits)
        if found.witness is not None:
            shown = {str(symbol): str(value) for symbol, value in context.items()}
            return Search(points=found.points, witness={**found.witness, **shown})
        last = found if found.points is not None else last
    return last


def contexts(
    v: Expr, z: Symbol, settings: Mapping[Symbol, Expr], where: Sequence[Relational]
) -> Iterator[dict[Symbol, Expr]]:
    """Yield values for the symbols that are neither z nor hyperparameters, a few simple ways."""
    free = v.free_symbols.union(*(relation.free_symbols for relation in where))
    symbols = sorted(free - {z, *settings}, key=str)
    choices = [[n for n in [*_beyond(symbol, where), *_VALUES] if _can_be(symbol, n)] for symbol in symbols]
    count = 0
    for values in islice(product(*choices), _MOST_TRIED):
        context = dict(zip(symbols, values, strict=True))
        if count < _MOST_CONTEXTS and all(relation.subs(context) != sympy.false for relation in where):
            count += 1
            yield context


def _beyond(symbol: Symbol, where: Sequence[Relational]) -> list[Rational]:
    """Return numbers at and beside those that conditions compare the symbol with."""
    ends = [relation.rhs if relation.lhs == symbol else relation.lhs for relation in where if symbol in relation.args]
    return [end + step for end in ends if end.is_Rational for step in (0, 1, -1)]


def _search(
    v: Expr,
    z: Symbol,
    test: Test,
    ordered: Sequence[tuple[Expr, ...]],
    settings: Mapping[Symbol, Expr],
    deadline: Deadline,
    where: Sequence[Relational],
    bits: int,
) -> Search:
    """Return a counterexample at the hyperparameters as set, and one for every value of them."""
    patience = deadline.at_most(_SECONDS)
    values = _Values(v.subs(dict(settings)), z, bits)
    set_where = [relation.subs(dict(settings)) for relation in where]
    failing: tuple[Expr, ...] | None = None
    tried = 0
    for points in ordered:
        if deadline.left() == 0 or tried == _MOST_GENERALISATIONS:
            break
        if not values.fails(test, points) or not _meets(points, z, set_where):
            continue
        failing = failing or points
        tried += 1
        general = _for_every_value(v, z, test, points, settings, patience, where)
        if general is not None:
            return Search(points=points, witness=_witness(v, z, general))
    return Search(points=failing)


class _Values:
    """The values of a function of z alone, each computed once."""

    def __init__(self, v: Expr, z: Symbol, bits: int) -> None:
        self._v, self._z, self._bits = v, z, bits
        self._known: dict[Expr, arb | None] = {}

    def fails(self, test: Test, points: Sequence[Expr]) -> bool:
        """Return whether balls show that the test is positive."""
        values = {point: self._value(point) for point in points}
        if any(value is None for value in values.values()):
            return False
        with flint.ctx.workprec(self._bits):
            return bool(test(lambda point: values[point], points) > 0)

    def _value(self, point: Expr) -> arb | None:
        if point not in self._known:
            try:
                with flint.ctx.workprec(self._bits):
                    self._known[point] = ball(value_at(self._v, {self._z: fmpq(int(point.p), int(point.q))}))
            except UncoveredError:
                self._known[point] = None
        return self._known[point]


def _complexity(points: Sequence[Expr]) -> tuple[int, ...]:
    return (sum(len(str(point)) for point in points), *(abs(int(point.q)) for point in points))


def _for_every_value(
    v: Expr,
    z: Symbol,
    test: Test,
    points: Sequence[Expr],
    settings: Mapping[Symbol, Expr],
    deadline: Deadline,
    where: Sequence[Relational],
) -> Sequence[Expr] | None:
    """Return the points, scaled so that they refute for every value of the hyperparameters, or None."""
    free = sorted(v.free_symbols - {z}, key=str)
    if not free:
        return points
    if any(relation.has(z) for relation in where):
        return None  # scaled points may leave the region
    conditions = [relation for relation in where if isinstance(relation, Relational)]
    singles = [power for symbol in free for power in (1 / symbol, symbol)]
    products = [one * other for one, other in combinations(singles, 2) if one * other != 1]
    for scale in [sympy.S.One, *singles, *products]:
        scaled = [point * scale / scale.subs(dict(settings)) for point in points]
        gap = test(lambda point: v.subs(z, point), scaled)
        elsewhere = [{symbol: settings[symbol] * factor for symbol in free} for factor in _OTHER_SETTINGS]
        allowed = [place for place in elsewhere if _holds_at(conditions, place)]
        if any(sign(gap, place) != 1 for place in allowed):
            continue
        if _is_positive_number_times_powers(gap, free):
            return scaled
        if nonnegative(gap, conditions, deadline, strictly=True).status is Status.PROVED:
            return scaled
    return None


def times_powers(expression: Expr, symbol: Symbol) -> Iterator[Expr]:
    """Yield an expression times small powers of a symbol, each multiplied out in two ways."""
    terms = sympy.Add.make_args(expression)
    for power in (0, 1, -1, 2, -2):
        yield sympy.Add(*(term * symbol**power for term in terms))
        if power:
            yield sympy.expand(expression * symbol**power)


def _is_positive_number_times_powers(gap: Expr, symbols: Sequence[Symbol]) -> bool:
    """Return whether an expression is a positive number times powers of positive symbols."""
    for symbol in symbols:
        gap = next((each for each in times_powers(gap, symbol) if symbol not in each.free_symbols), gap)
    return not gap.free_symbols and all(symbol.is_positive for symbol in symbols) and sign(gap) == 1


def _can_be(symbol: Symbol, value: Rational) -> bool:
    return not (
        (symbol.is_integer and not value.is_integer)
        or (symbol.is_positive and value <= 0)
        or (symbol.is_nonnegative and value < 0)
        or (symbol.is_nonpositive and value > 0)
        or (symbol.is_negative and value >= 0)
    )


def _holds_at(where: Sequence[Relational], place: Mapping[Symbol, Expr]) -> bool:
    return all(relation.subs(dict(place)) == sympy.true for relation in where)


def _meets(points: Sequence[Expr], z: Symbol, where: Sequence[Relational]) -> bool:
    """Return whether all points, and the symbols as set, meet the conditions."""
    return all(_holds_at(where, {z: point}) for point in points)


def _witness(v: Expr, z: Symbol, points: Sequence[Expr]) -> Witness:
    names = [f"z{i + 1}" for i in range(len(points))]
    values = [_value(v, z, point) for point in points]
    return {
        **{name: str(point) for name, point in zip(names, points, strict=True)},
        **{f"v({name})": _shown(value) for name, value in zip(names, values, strict=True)},
    }


def _value(v: Expr, z: Symbol, point: Expr) -> Expr:
    value = v.subs(z, point)
    plain = value.is_rational_function(*value.free_symbols) and not value.has(sympy.Piecewise, sympy.exp, sympy.log)
    return sympy.cancel(sympy.together(value)) if plain else value


def _shown(value: Expr) -> str:
    return str(value) if value.is_Rational or value.free_symbols else f"{value} ~ {sympy.N(value, 8)}"
