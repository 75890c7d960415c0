"""Losses whose reference point is a clamped estimate of E_Q[r]."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import sympy
from sympy import Expr, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.nonnegative import identically_zero, nonnegative
from halotheory.proving.shape import Z
from halotheory.reading.direction import Direction, branches, conditions_of, linear_forms, tidied
from halotheory.reading.outputs import Output, moving
from halotheory.reading.reference import Reading, readings

_MOST_CONDITIONS = 3
_SECONDS = 0.3


def estimated_readings(term: Expr, y: Output, among: Sequence[Output], *, kl: bool) -> Iterator[Reading]:
    """Yield the ways to read the term as a function of z with a reference point that is clamped.

    The term is split by the conditions that change when all rewards are raised alike: these are the clamp's. Where
    the clamp is idle the term must be a function F of z; where it holds, F of the reward minus the clamp's bound.

    Args:
        term: by value, in log-ratios.
        y: the output that is judged.
        among: every output of the batch.
        kl: whether the loss is given the reference point.
    """
    symbols = moving(among, kl=kl)
    conditions = _clamps(term, symbols)
    if not 0 < len(conditions) <= _MOST_CONDITIONS:
        return
    idle, held = [], []
    for truths in product((sympy.true, sympy.false), repeat=len(conditions)):
        case = dict(zip(conditions, truths, strict=True))
        if _possible(case):
            part = tidied(term.xreplace(case))
            own_only = not (part.free_symbols & set(symbols)) - {y.log_ratio}
            (held if own_only else idle).append(part)
    if not idle or not held:
        return
    bounds = [_bound(condition, symbols) for condition in conditions]
    for first in readings(idle[0], y, among, kl=kl):
        if all(_also(part, first, y, among, kl=kl) for part in idle[1:]) and all(
            any(_shifted(part, first, y, bound) for bound in bounds) for part in held
        ):
            yield replace(
                first,
                point=f"a clamped estimate of E_Q[r], {first.point}",
                relaxations=("estimated_reference_point",),
            )


def _clamps(term: Expr, symbols: Sequence[Symbol]) -> list[Relational]:
    """Return the conditions that raising all rewards alike may change."""
    return [condition for condition in conditions_of(term) if _shift(condition, symbols)]


def _shift(condition: Relational, symbols: Sequence[Symbol]) -> bool:
    if not condition.free_symbols & set(symbols):
        return False
    forms = list(linear_forms(condition.lhs - condition.rhs, frozenset(symbols)))
    return len(forms) == 1 and sympy.cancel(sympy.Add(*forms[0].values())) != 0


def _possible(case: Mapping[Relational, Expr]) -> bool:
    """Return whether the case may happen on more than the border of another."""
    told = [condition if truth == sympy.true else condition.negated for condition, truth in case.items()]
    strict = {sympy.LessThan: sympy.StrictLessThan, sympy.GreaterThan: sympy.StrictGreaterThan}
    where = [strict.get(condition.func, condition.func)(*condition.args, evaluate=False) for condition in told]
    return nonnegative(sympy.S.NegativeOne, where, Deadline(_SECONDS), thorough=False).status is not Status.PROVED


def _bound(condition: Relational, symbols: Sequence[Symbol]) -> Expr:
    """Return the common value of all rewards at which the condition changes."""
    difference = condition.lhs - condition.rhs
    form: Direction = next(linear_forms(difference, frozenset(symbols)))
    rest = tidied(difference.xreplace(dict.fromkeys(symbols, sympy.S.Zero)))
    return sympy.cancel(-rest / sympy.Add(*form.values()))


def _also(part: Expr, first: Reading, y: Output, among: Sequence[Output], *, kl: bool) -> bool:
    return any(
        other.normalizer == first.normalizer and same(other.shape, first.shape)
        for other in readings(part, y, among, kl=kl)
    )


def _shifted(part: Expr, first: Reading, y: Output, bound: Expr) -> bool:
    """Return whether the part is F(r - bound), with r = l * log-ratio."""
    at_bound = part.xreplace({y.log_ratio: (Z + bound * first.normalizer) / first.normalizer})
    return same(tidied(at_bound), first.shape)


def same(one: Expr, other: Expr) -> bool:
    """Return whether two functions of `Z` are shown to differ by a constant; False proves nothing."""
    difference = tidied(one - other)
    if Z not in difference.free_symbols:
        return True
    parts = list(branches(difference))
    if not parts or not all(identically_zero(sympy.diff(part, Z)) for part in parts):
        return False
    at_0 = [part.subs(Z, 0) for part in parts]
    return all(identically_zero(value - at_0[0]) for value in at_0[1:])
