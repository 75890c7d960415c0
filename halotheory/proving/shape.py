"""The shape that the definition asks of a value function: non-decreasing, concave in gains, not constant."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Finding, Status, Witness, undecided
from halotheory.proving import falsify
from halotheory.proving.decide import Decision, decide, range_of
from halotheory.proving.nonnegative import identically_zero
from halotheory.proving.pieces import NotTakenApartError, Piece, Seam, take_apart

Z = Symbol("z", real=True)
"""The argument of every value function: the implied reward minus the reference point."""


_SECONDS = 2.0
_INEQUALITIES = (sympy.StrictGreaterThan, sympy.StrictLessThan, sympy.GreaterThan, sympy.LessThan)
_PRECISIONS = (256, 4096)  # bits
_SPAN = Rational(10)  # of the line that is looked at where a piece has no end


@dataclass(frozen=True, kw_only=True)
class _Goal:
    """An inequality to prove: expression >= 0 (or > 0) where the conditions hold.

    Attributes:
        beside: the seam that it is about, as a number or in hyperparameters.
    """

    expression: Expr
    where: Sequence[Relational]
    strictly: bool = False
    beside: Expr | None = None


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """A condition on the shape of v.

    Attributes:
        name: of the condition.
        statement: what it says.
        failure: what a counterexample shows.
        goals: what has to be proved, and how that is said.
        test: what is positive at a counterexample.
        tuples: from points to the tuples that may be counterexamples.
    """

    name: str
    statement: str
    failure: str
    goals: Callable[[Expr, Deadline, Sequence[Relational]], tuple[list[_Goal], str]]
    test: falsify.Test
    tuples: Callable[[Sequence[Rational]], Iterable[tuple[Expr, ...]]]


def non_decreasing(
    v: Expr, settings: Mapping[Symbol, Expr], deadline: Deadline, *, where: Sequence[Relational] = ()
) -> Finding:
    """Return whether v is non-decreasing on the line, for every value of its hyperparameters.

    Proved piece by piece: v' >= 0 inside, and no downward jump at a seam. A refutation names z1 < z2 with
    v(z1) > v(z2).

    Args:
        v: of `Z`, hyperparameters and context. A proof is for every value of all of them.
        settings: the hyperparameters' values as set, where a counterexample is looked for first; a refutation is for
            every value of them, but for one value of the symbols that it does not name.
        deadline: what is left of the time of the check.
        where: under which conditions on the symbols, and on `Z`.
    """
    return _examined(_RISING, v, settings, deadline, where)


def concave_in_gains(
    v: Expr, settings: Mapping[Symbol, Expr], deadline: Deadline, *, where: Sequence[Relational] = ()
) -> Finding:
    """Return whether v is concave on (0, oo), for every value of its hyperparameters.

    Proved piece by piece: v'' <= 0 inside; at a seam v is continuous and its slope does not rise. A refutation
    names z1 < z2 < z3, z2 in the middle, with v(z2) < (v(z1) + v(z3)) / 2. Arguments as for `non_decreasing`.
    """
    return _examined(_CONCAVE, v, settings, deadline, where)


def _examined(
    condition: _Condition,
    v: Expr,
    settings: Mapping[Symbol, Expr],
    deadline: Deadline,
    where: Sequence[Relational],
) -> Finding:
    """Return what is found of a condition: a plain counterexample, else a proof, else one where proofs failed."""
    quick = _falsified(condition, v, settings, deadline, where, falsify.simple_points(), _PRECISIONS[0])
    if quick.witness is not None:
        return _refuted(condition, quick.witness)
    tried = ["fails as set, but a counterexample for every value was not found"]
    if quick.points is None:
        stretched = rescaled(v, settings, where)
        decisions, method = _proofs(condition, stretched, deadline, where)
        if all(decision.status is Status.PROVED for decision in decisions):
            method = method if stretched == v else f"{method} for {stretched}, which is v stretched"
            return _proved(condition.name, condition.statement, method, decisions)
        tried = [decision.method for decision in decisions if decision.status is not Status.PROVED]
    points = [*falsify.simple_points(), *_places(condition, v, settings, deadline, where)]
    for bits in _PRECISIONS:
        found = _falsified(condition, v, settings, deadline, where, points, bits)
        if found.witness is not None:
            return _refuted(condition, found.witness)
    return undecided(condition.name, condition.statement, "; ".join([*dict.fromkeys(tried), "no counterexample found"]))


def _proofs(
    condition: _Condition, v: Expr, deadline: Deadline, where: Sequence[Relational]
) -> tuple[list[Decision], str]:
    """Return the decisions on what has to be proved, up to the first that is no proof."""
    try:
        goals, method = condition.goals(v, deadline, where)
    except NotTakenApartError as error:
        return [Decision(status=Status.UNDECIDED, method=f"cannot be taken apart: {error}", hint={})], ""
    decisions: list[Decision] = []
    for goal in goals:
        decisions.append(decide(goal.expression, goal.where, deadline, strictly=goal.strictly))
        if decisions[-1].status is not Status.PROVED:
            break
    return decisions, method


def _places(
    condition: _Condition,
    v: Expr,
    settings: Mapping[Symbol, Expr],
    deadline: Deadline,
    where: Sequence[Relational],
) -> list[Rational]:
    """Return points at and near the places where, at the hyperparameters as set, the condition seems to fail."""
    points: list[Rational] = []
    for context in falsify.contexts(v, Z, settings, where):
        values = {**settings, **context}
        here = [relation.subs(values) for relation in where]
        fixed = [relation for relation in here if isinstance(relation, Relational)]
        try:
            goals, _ = condition.goals(v.subs(values), deadline, fixed)
        except NotTakenApartError:
            continue
        for goal in goals:
            points += _points_of(goal, deadline)
    return points


def _points_of(goal: _Goal, deadline: Deadline) -> list[Rational]:
    decision = decide(goal.expression, goal.where, deadline, strictly=goal.strictly)
    if decision.status is Status.PROVED:
        return []
    if decision.interval is not None:
        return falsify.points_inside(*decision.interval)
    if goal.beside is None and not decision.hint:
        return _points_along(goal)
    places = [decision.hint[Z]] if Z in decision.hint else []
    if goal.beside is not None:
        places.append(_number(goal.beside, goal.where))
    return [point for place in places for point in falsify.points_near(place)]


def _points_along(goal: _Goal) -> list[Rational]:
    """Return points of a whole piece."""
    low, high = range_of(Z, goal.where)
    if low is None:
        low = -_SPAN if high is None else min(high, sympy.S.Zero) - _SPAN
    return falsify.points_inside(low, low + _SPAN if high is None else high)


def _number(place: Expr, where: Sequence[Relational]) -> Rational:
    """Return a rational number close to a seam."""
    if place.is_Rational:
        return place
    if place.is_Symbol:
        place = next(bound.rhs for bound in where if bound.lhs == place and bound.rhs.is_Rational)
    return Rational(str(sympy.N(place, 30))).limit_denominator(10**9)


def _falsified(
    condition: _Condition,
    v: Expr,
    settings: Mapping[Symbol, Expr],
    deadline: Deadline,
    where: Sequence[Relational],
    points: Sequence[Rational],
    bits: int,
) -> falsify.Search:
    tuples = condition.tuples(points)
    return falsify.find_witness(v, Z, condition.test, tuples, settings, deadline, where=where, bits=bits)


def _rising_goals(v: Expr, deadline: Deadline, where: Sequence[Relational]) -> tuple[list[_Goal], str]:
    pieces, seams = take_apart(v, Z, deadline, under=where)
    goals = [
        *_domain(pieces, seams),
        *(_Goal(expression=sympy.diff(piece.expression, Z), where=piece.where) for piece in pieces),
    ]
    goals += [_Goal(expression=step, where=seam.where, beside=seam.at) for seam in seams for step in _steps(seam)]
    return goals, "v' >= 0" if not seams else f"v' >= 0 on {len(pieces)} pieces, no downward jump at their seams"


def _concave_goals(v: Expr, deadline: Deadline, where: Sequence[Relational]) -> tuple[list[_Goal], str]:
    pieces, seams = take_apart(v, Z, deadline, under=where, after=sympy.S.Zero)
    bends = [_Goal(expression=-sympy.diff(piece.expression, Z, 2), where=piece.where) for piece in pieces]
    corners = [_Goal(expression=goal, where=seam.where, beside=seam.at) for seam in seams for goal in _bends_down(seam)]
    method = "v'' <= 0" if not seams else "v'' <= 0 between the seams; continuous, with falling slope, at them"
    return [*_domain(pieces, seams), *bends, *corners], method


_RISING = _Condition(
    name="non_decreasing",
    statement="v is non-decreasing on the whole line",
    failure="v falls: z1 < z2, but v(z1) > v(z2)",
    goals=_rising_goals,
    test=falsify.decrease,
    tuples=falsify.rising_pairs,
)
_CONCAVE = _Condition(
    name="concave_in_gains",
    statement="v is concave on (0, oo)",
    failure="v sags: z2 is midway between z1 and z3, but v(z2) lies below the chord",
    goals=_concave_goals,
    test=falsify.sag,
    tuples=falsify.midpoint_triples,
)


def rescaled(v: Expr, settings: Mapping[Symbol, Expr], where: Sequence[Relational]) -> Expr:
    """Return v with as few symbols as stretching the line and scaling the values by positive numbers allow.

    Neither changes whether v is non-decreasing, or concave on (0, oo).
    """
    if any(relation.has(Z) for relation in where):
        return v
    for symbol in sorted(v.free_symbols - {Z}, key=str):
        if not symbol.is_positive:
            continue
        stretched = _uncluttered(v.subs(Z, Z / symbol), symbol)
        for candidate in falsify.times_powers(stretched, symbol):
            if symbol not in candidate.free_symbols:
                return rescaled(candidate, settings, where)
    return v


def _uncluttered(v: Expr, symbol: Symbol) -> Expr:
    """Return v with each condition multiplied by a power of a positive symbol that frees it from the symbol."""
    truths = {}
    for relation in v.atoms(Relational):
        difference = sympy.expand(relation.lhs - relation.rhs)
        for power in (1, -1, 2, -2):
            free = sympy.expand(difference * symbol**power)
            if symbol not in free.free_symbols and relation.has(symbol):
                truths[relation] = relation.func(free, 0)
                break
    return v.xreplace(truths)


def non_constant(
    v: Expr, settings: Mapping[Symbol, Expr], deadline: Deadline, *, where: Sequence[Relational] = ()
) -> Finding:
    """Return whether v takes two values, for every value of its hyperparameters."""
    if not where and equal_up_to_constant(v, sympy.S.Zero, deadline):  # (a step has slope 0 and two values)
        return Finding(
            name="non_constant",
            status=Status.REFUTED,
            method="v' simplifies to 0, and v does not jump",
            statement="v is constant",
            witness={"v": str(v)},
        )
    if not v.has(sympy.Piecewise):
        slope = _sloping(v, deadline, where)
    else:  # in a context, two values that differ for all hyperparameters are harder to find than a slope
        slope = _sloping_piece(v, deadline, where) if v.free_symbols - {Z, *settings} else None
    if slope is not None:
        return Finding(
            name="non_constant",
            status=Status.PROVED,
            method="the slope at one place",
            statement=f"v is not constant: v'({slope}) is not 0",
        )
    stretched = rescaled(v, settings, where)
    pairs = falsify.rising_pairs(falsify.simple_points())
    context = next(falsify.contexts(stretched, Z, settings, where), {})  # one context in which v varies is enough
    there = [relation for relation in (part.subs(context) for part in where) if relation != sympy.true]
    witness = falsify.find_witness(
        stretched.subs(context), Z, falsify.change, pairs, settings, deadline, where=there
    ).witness
    if witness is None:
        return undecided("non_constant", "v is not constant", "no two values told apart at simple points")
    shown = ", ".join(f"{name} = {value}" for name, value in witness.items())
    shown = shown if stretched == v else f"{shown} for {stretched}, which is v stretched"
    return Finding(
        name="non_constant",
        status=Status.PROVED,
        method="two values, told apart exactly",
        statement=f"v is not constant: {shown}",
    )


def _sloping(v: Expr, deadline: Deadline, where: Sequence[Relational]) -> Expr | None:
    """Return a place at which the slope of a smooth v is proved to differ from 0."""
    slope = sympy.diff(v, Z)
    for place in (sympy.S.Zero, sympy.S.One, *(1 / symbol for symbol in sorted(v.free_symbols - {Z}, key=str))):
        here = [relation.subs(Z, place) for relation in where]
        if any(relation == sympy.false for relation in here):
            continue
        fixed = [relation for relation in here if relation != sympy.true]
        squared = slope.subs(Z, place) ** 2
        if decide(squared, fixed, deadline.at_most(_SECONDS), strictly=True).status is Status.PROVED:
            return place
    return None


def _sloping_piece(v: Expr, deadline: Deadline, where: Sequence[Relational]) -> Expr | None:
    """Return a place inside of one of the pieces of v at which the slope is proved to differ from 0."""
    try:
        pieces, _ = take_apart(v, Z, deadline, under=where)
    except NotTakenApartError:
        return None
    fixed = [relation for relation in where if not relation.has(Z)]
    for piece in pieces:
        slope = sympy.diff(piece.expression, Z)
        if slope == 0:
            continue
        there = [relation for relation in (*where, *piece.where) if relation.has(Z)]
        there += [] if piece.low is None else [piece.low < Z]
        there += [] if piece.high is None else [piece.high > Z]
        for place in _inside(piece, v):
            needs = [relation.gts - relation.lts for relation in there if isinstance(relation, _INEQUALITIES)]
            least = [need.subs(Z, place) for need in needs] + [slope.subs(Z, place) ** 2]
            if len(needs) == len(there) and all(_positive(each, fixed, deadline) for each in least):
                return place
    return None


def _inside(piece: Piece, v: Expr) -> list[Expr]:
    """Return places that may lie in the piece: simple ones, the symbols', and those near its ends."""
    ends = [end for end in (piece.low, piece.high) if end is not None]
    symbols = sorted(v.free_symbols - {Z}, key=str)
    return [sympy.S.One, -sympy.S.One, *symbols, *(-symbol for symbol in symbols), *(end / 2 for end in ends)]


def _positive(expression: Expr, where: Sequence[Relational], deadline: Deadline) -> bool:
    expression = sympy.cancel(expression)
    return decide(expression, where, deadline.at_most(_SECONDS), strictly=True).status is Status.PROVED


def equal_up_to_constant(one: Expr, other: Expr, deadline: Deadline, *, where: Sequence[Relational] = ()) -> bool:
    """Return whether two functions of z are proved to differ by a constant; False proves nothing."""
    try:
        pieces, seams = take_apart(one - other, Z, deadline, under=where)
    except NotTakenApartError:
        return False
    gaps = [step for seam in seams for step in _steps(seam)]
    return all(_same_everywhere(sympy.diff(piece.expression, Z)) for piece in pieces) and all(
        _same_everywhere(gap) for gap in gaps
    )


def _steps(seam: Seam) -> tuple[Expr, Expr]:
    """Return how far the function rises onto the seam and from it."""
    left, middle, right = (part.subs(Z, seam.at) for part in (seam.left, seam.middle, seam.right))
    return middle - left, right - middle


def _bends_down(seam: Seam) -> list[Expr]:
    """Return what must be >= 0 for concavity at a seam: no jump either way, and no rise of the slope."""
    left, right = (sympy.diff(part, Z).subs(Z, seam.at) for part in (seam.left, seam.right))
    return [*_steps(seam), *(-step for step in _steps(seam)), left - right]


def _domain(pieces: Sequence[Piece], seams: Sequence[Seam]) -> list[_Goal]:
    """Return what must be > 0 for the logarithms and broken powers of the pieces, and the conditions, to be real."""
    goals = [
        _Goal(expression=part.subs(Z, seam.at) ** 2, where=seam.where, strictly=True, beside=seam.at)
        for seam in seams
        for part in seam.divisors
    ]
    for piece in pieces:
        powers = [part.base for part in piece.expression.atoms(sympy.Pow) if not part.exp.is_Integer]
        logarithms = [part.args[0] for part in piece.expression.atoms(sympy.log)]
        inner = dict.fromkeys(sorted([*powers, *logarithms], key=str))
        goals += [_Goal(expression=part, where=piece.where, strictly=True) for part in inner if not part.is_Rational]
        goals += [_Goal(expression=part, where=piece.where) for part in piece.needs]
        goals += [_Goal(expression=part**2, where=piece.where, strictly=True) for part in piece.divisors]
    return goals


def _same_everywhere(expression: Expr) -> bool:
    return not expression.has(sympy.Piecewise) and identically_zero(expression)


def _proved(name: str, statement: str, method: str, decisions: Sequence[Decision]) -> Finding:
    engines = dict.fromkeys(decision.method for decision in decisions)
    return Finding(name=name, status=Status.PROVED, method=f"{method} ({'; '.join(engines)})", statement=statement)


def _refuted(condition: _Condition, witness: Witness) -> Finding:
    return Finding(
        name=condition.name,
        status=Status.REFUTED,
        method="evaluated exactly",
        statement=condition.failure,
        witness=witness,
    )
