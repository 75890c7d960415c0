"""The search for counterexamples: simple points, found in floats, believed only after a rigorous evaluation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, islice, product
from typing import Any

import sympy
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.enclose import sign
from halotheory.findings import Status, Witness
from halotheory.nonnegative import nonnegative

_SIMPLE = [Rational(*n) for n in ((0, 1), (1, 1), (1, 2), (2, 1), (5, 1), (10, 1), (1, 10), (20, 1), (50, 1), (100, 1))]
_NEAR = [Rational(1, 10**k) for k in range(5)]
_MOST_CONFIRMATIONS, _MOST_GENERALISATIONS = 20, 4
_VALUES = [Rational(*n) for n in ((10, 1), (1, 1), (1, 10), (-1, 1), (-10, 1), (-20, 1), (1, 4), (0, 1))]
_MOST_CONTEXTS = 1000
_OTHER_SETTINGS = (Rational(1, 7), Rational(1, 2), Rational(3), Rational(20))

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


def rising_pairs(hints: Sequence[Rational]) -> Iterator[tuple[Expr, ...]]:
    """Yield pairs z1 < z2, the simplest first."""
    yield from combinations(sorted(_candidates(hints)), 2)


def midpoint_triples(hints: Sequence[Rational]) -> Iterator[tuple[Expr, ...]]:
    """Yield triples 0 < z1 < z2 < z3 with z2 in the middle."""
    positive = sorted(point for point in _candidates(hints) if point > 0)
    for low, high in combinations(positive, 2):
        yield low, (low + high) / 2, high


def find_witness(
    v: Expr,
    z: Symbol,
    test: Test,
    tuples: Iterator[tuple[Expr, ...]],
    settings: Mapping[Symbol, Expr],
    deadline: Deadline,
    where: Sequence[Relational] = (),
) -> Witness | None:
    """Return a counterexample, confirmed by exact or ball arithmetic, or None.

    Where the function has hyperparameters, a counterexample must hold for every value of them: the points are then
    scaled by a hyperparameter or its inverse, and the inequality proved.

    Args:
        v: the function of z.
        z: its variable.
        test: what is positive at a counterexample.
        tuples: the points to try.
        settings: the hyperparameters' values as set.
        deadline: what is left of the time of the check.
        where: conditions that a counterexample must meet.
    """
    context = _context(v, z, settings, where)
    if context is None:
        return None
    v = v.subs(context)
    where = [relation.subs(context) for relation in where]
    at_settings = v.subs(dict(settings))
    in_floats = sympy.lambdify(z, at_settings, modules="math")
    most = _MOST_GENERALISATIONS if v.free_symbols - {z} else _MOST_CONFIRMATIONS
    confirmations = 0
    for points in sorted(tuples, key=_complexity):
        if deadline.left() == 0 or confirmations == most:
            return None
        if not _meets(points, z, settings, where) or not _likely(in_floats, test, points):
            continue
        confirmations += 1
        if sign(test(lambda point: at_settings.subs(z, point), points)) == 1:
            general = _for_every_value(v, z, test, points, settings, deadline, where)
            if general is not None:
                return {**_witness(v, z, general), **{str(symbol): str(value) for symbol, value in context.items()}}
    return None


def _candidates(hints: Sequence[Rational]) -> set[Rational]:
    near = {hint + side * step for hint in hints for step in [*_NEAR, Rational(0)] for side in (-1, 1)}
    return {*_SIMPLE, *(-point for point in _SIMPLE), *near}


def _complexity(points: Sequence[Expr]) -> tuple[int, ...]:
    return (sum(len(str(point)) for point in points), *(abs(int(point.q)) for point in points))


def _likely(v: Callable[[float], float], test: Test, points: Sequence[Expr]) -> bool:
    """Return whether the test looks positive in floats."""
    try:
        return bool(test(lambda point: v(float(point)), points) > 0)
    except (ArithmeticError, ValueError, TypeError):
        return False


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
    singles = [power for symbol in free for power in (1 / symbol, symbol)]
    products = [one * other for one, other in combinations(singles, 2) if one * other != 1]
    for scale in [sympy.S.One, *singles, *products]:
        scaled = [point * scale / scale.subs(dict(settings)) for point in points]
        gap = test(lambda point: v.subs(z, point), scaled)
        elsewhere = [{symbol: settings[symbol] * factor for symbol in free} for factor in _OTHER_SETTINGS]
        if any(_not_positive(gap, other) for other in elsewhere):
            continue
        if z in _free(where):
            continue  # scaled points may leave the region
        if (
            nonnegative(
                gap, [relation for relation in where if isinstance(relation, Relational)], deadline, strictly=True
            ).status
            is Status.PROVED
        ):
            return scaled
    return None


def _context(
    v: Expr, z: Symbol, settings: Mapping[Symbol, Expr], where: Sequence[Relational]
) -> dict[Symbol, Expr] | None:
    """Return a value for each symbol that is neither z nor a hyperparameter, or None where none is found."""
    symbols = sorted(v.free_symbols - {z, *settings}, key=str)
    choices = [[value for value in _VALUES if _can_be(symbol, value)] for symbol in symbols]
    for values in islice(product(*choices), _MOST_CONTEXTS):
        context = dict(zip(symbols, values, strict=True))
        if all(relation.subs(context) != sympy.false for relation in where):
            return context
    return None


def _can_be(symbol: Symbol, value: Rational) -> bool:
    return not (
        (symbol.is_positive and value <= 0)
        or (symbol.is_nonnegative and value < 0)
        or (symbol.is_nonpositive and value > 0)
        or (symbol.is_negative and value >= 0)
    )


def _meets(points: Sequence[Expr], z: Symbol, settings: Mapping[Symbol, Expr], where: Sequence[Relational]) -> bool:
    return all(relation.subs({**settings, z: point}) == sympy.true for relation in where for point in points)


def _free(where: Sequence[Relational]) -> set[Any]:
    return {symbol for relation in where for symbol in relation.free_symbols}


def _not_positive(gap: Expr, point: Mapping[Symbol, Expr]) -> bool:
    value = sympy.N(gap.subs(dict(point)))
    return not (value.is_real and value > 0)


def _witness(v: Expr, z: Symbol, points: Sequence[Expr]) -> Witness:
    names = [f"z{i + 1}" for i in range(len(points))]
    values = [sympy.cancel(sympy.together(v.subs(z, point))) for point in points]
    return {
        **{name: str(point) for name, point in zip(names, points, strict=True)},
        **{f"v({name})": _shown(value) for name, value in zip(names, values, strict=True)},
    }


def _shown(value: Expr) -> str:
    return str(value) if value.is_Rational or value.free_symbols else f"{value} ~ {sympy.N(value, 8)}"
