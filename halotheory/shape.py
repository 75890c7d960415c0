"""The shape that the definition asks of a value function: non-decreasing, concave in gains, not constant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory import falsify
from halotheory.deadline import Deadline
from halotheory.findings import Finding, Status, Witness, undecided
from halotheory.nonnegative import Answer, identically_zero, nonnegative
from halotheory.pieces import NotPiecewiseLinearError, Piece, Seam, take_apart

Z = Symbol("z", real=True)
"""The argument of every value function: the implied reward minus the reference point."""


@dataclass(frozen=True, kw_only=True)
class _Goal:
    """An inequality to prove: expression >= 0 (or > 0) where the conditions hold."""

    expression: Expr
    where: Sequence[Relational]
    strictly: bool = False


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
    statement = "v is non-decreasing on the whole line"
    try:
        pieces, seams = take_apart(v, Z, deadline, under=where)
    except NotPiecewiseLinearError as error:
        return undecided("non_decreasing", statement, f"cannot be taken apart: {error}")
    goals = [_Goal(expression=sympy.diff(piece.expression, Z), where=piece.where) for piece in pieces]
    goals += [_Goal(expression=step, where=seam.where) for seam in seams for step in _steps(seam)]
    goals += _domain(pieces)
    answers = [_answer(goal, deadline) for goal in goals]
    if all(answer.status is Status.PROVED for answer in answers):
        method = "v' >= 0" if not seams else f"v' >= 0 on {len(pieces)} pieces, no downward jump at their seams"
        return _proved("non_decreasing", statement, method, answers)
    pairs = falsify.rising_pairs(_hints(answers, seams, settings))
    witness = falsify.find_witness(v, Z, falsify.decrease, pairs, settings, deadline, where)
    if witness is None:
        return undecided("non_decreasing", statement, _tried(answers))
    return _refuted("non_decreasing", "v falls: z1 < z2, but v(z1) > v(z2)", witness)


def concave_in_gains(
    v: Expr, settings: Mapping[Symbol, Expr], deadline: Deadline, *, where: Sequence[Relational] = ()
) -> Finding:
    """Return whether v is concave on (0, oo), for every value of its hyperparameters.

    Proved piece by piece: v'' <= 0 inside; at a seam v is continuous and its slope does not rise. A refutation
    names z1 < z2 < z3, z2 in the middle, with v(z2) < (v(z1) + v(z3)) / 2.
    """
    statement = "v is concave on (0, oo)"
    try:
        pieces, seams = take_apart(v, Z, deadline, also_at=[sympy.S.Zero], under=where)
    except NotPiecewiseLinearError as error:
        return undecided("concave_in_gains", statement, f"cannot be taken apart: {error}")
    gains = [piece for piece in pieces if sympy.StrictLessThan(Z, 0, evaluate=False) not in piece.where]
    inside = [seam for seam in seams if seam.at != 0 and _positive(seam)]
    goals = [_Goal(expression=-sympy.diff(piece.expression, Z, 2), where=piece.where) for piece in gains]
    goals += [_Goal(expression=goal, where=seam.where) for seam in inside for goal in _bends_down(seam)]
    goals += _domain(gains)
    answers = [_answer(goal, deadline) for goal in goals]
    if all(answer.status is Status.PROVED for answer in answers):
        method = "v'' <= 0" if not inside else "v'' <= 0 between the seams; continuous, with falling slope, at them"
        return _proved("concave_in_gains", statement, method, answers)
    triples = falsify.midpoint_triples(_hints(answers, inside, settings))
    witness = falsify.find_witness(v, Z, falsify.sag, triples, settings, deadline, where)
    if witness is None:
        return undecided("concave_in_gains", statement, _tried(answers))
    return _refuted(
        "concave_in_gains", "v sags: z2 is midway between z1 and z3, but v(z2) lies below the chord", witness
    )


def non_constant(
    v: Expr, settings: Mapping[Symbol, Expr], deadline: Deadline, *, where: Sequence[Relational] = ()
) -> Finding:
    """Return whether v takes two values, for every value of its hyperparameters."""
    if _same_everywhere(sympy.diff(v, Z)):
        return Finding(
            name="non_constant",
            status=Status.REFUTED,
            method="v' simplifies to 0",
            statement="v is constant",
            witness={"v": str(v)},
        )
    pairs = falsify.rising_pairs([])
    witness = falsify.find_witness(v, Z, falsify.change, pairs, settings, deadline, where)
    if witness is None and not v.has(sympy.Piecewise) and (slope := _sloping(v, deadline, where)) is not None:
        return Finding(
            name="non_constant",
            status=Status.PROVED,
            method="the slope at one place",
            statement=f"v is not constant: v'({slope}) is not 0",
        )
    if witness is None:
        return undecided("non_constant", "v is not constant", "no two values told apart at simple points")
    shown = ", ".join(f"{name} = {value}" for name, value in witness.items())
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
        if nonnegative(slope.subs(Z, place) ** 2, fixed, deadline, strictly=True).status is Status.PROVED:
            return place
    return None


def equal_up_to_constant(one: Expr, other: Expr, deadline: Deadline, *, where: Sequence[Relational] = ()) -> bool:
    """Return whether two functions of z are proved to differ by a constant; False proves nothing."""
    try:
        pieces, seams = take_apart(one - other, Z, deadline, under=where)
    except NotPiecewiseLinearError:
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


def _domain(pieces: Sequence[Piece]) -> list[_Goal]:
    """Return what must be > 0 for the logarithms of the pieces to be real."""
    return [
        _Goal(expression=log.args[0], where=piece.where, strictly=True)
        for piece in pieces
        for log in piece.expression.atoms(sympy.log)
        if log.has(Z)
    ]


def _positive(seam: Seam) -> bool:
    """Return whether a seam may lie in (0, oo); conditions among the seams decide where SymPy cannot."""
    return not (seam.at.is_nonpositive or sympy.StrictLessThan(seam.at, 0, evaluate=False) in seam.where)


def _answer(goal: _Goal, deadline: Deadline) -> Answer:
    return nonnegative(goal.expression, goal.where, deadline, strictly=goal.strictly)


def _same_everywhere(expression: Expr) -> bool:
    return not expression.has(sympy.Piecewise) and identically_zero(expression)


def _hints(answers: Sequence[Answer], seams: Sequence[Seam], settings: Mapping[Symbol, Expr]) -> list[Rational]:
    """Return places where a counterexample may be near: solutions of relaxed systems, and the seams."""
    solutions = [answer.hint[Z] for answer in answers if answer.hint and Z in answer.hint]
    corners = [seam.at.subs(dict(settings)) for seam in seams]
    return [*solutions, *(corner for corner in corners if corner.is_Rational)]


def _tried(answers: Sequence[Answer]) -> str:
    failures = dict.fromkeys(answer.method for answer in answers if answer.status is not Status.PROVED)
    return "; ".join([*failures, "no counterexample at simple points"])


def _proved(name: str, statement: str, method: str, answers: Sequence[Answer]) -> Finding:
    engines = dict.fromkeys(answer.method for answer in answers)
    return Finding(name=name, status=Status.PROVED, method=f"{method} ({'; '.join(engines)})", statement=statement)


def _refuted(name: str, statement: str, witness: Witness) -> Finding:
    return Finding(name=name, status=Status.REFUTED, method="evaluated exactly", statement=statement, witness=witness)
