"""One inequality put to every engine in turn: coefficients and nlsat, then ball arithmetic along the line."""

from collections.abc import Sequence
from dataclasses import dataclass

import flint
import sympy
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.branch import Interval, course
from halotheory.proving.enclose import UncoveredError, ball, sign, value_at
from halotheory.proving.nonnegative import Answer, identically_zero, nonnegative

_QUICK, _PATIENT = 0.5, 3.0  # seconds
_OUTWARD = Rational(1, 2**80)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was found of one inequality.

    Attributes:
        status: REFUTED means "may fail, look here", as for `Answer`.
        method: what settled it, or what was tried.
        hint: values of the symbols where it may fail.
        interval: an interval of the one variable on which ball arithmetic shows that it fails.
    """

    status: Status
    method: str
    hint: dict[Symbol, Rational]
    interval: Interval | None = None


def decide(expression: Expr, where: Sequence[Relational], deadline: Deadline, *, strictly: bool = False) -> Decision:
    """Decide whether expression >= 0 (or > 0) at every real point that satisfies the conditions, and is real there.

    Args:
        expression: built of rationals, powers, exp, log, atan, erf and tanh.
        where: conditions on its symbols.
        deadline: what is left of the time of the check.
        strictly: ask for > 0.
    """
    if expression.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return Decision(status=Status.UNDECIDED, method=f"'{expression}' is no real number", hint={})
    if not expression.free_symbols:
        return _of_number(expression, strictly=strictly)
    variable = next(iter(expression.free_symbols)) if len(expression.free_symbols) == 1 else None
    patience = deadline.at_most(_PATIENT if variable is None else _QUICK)
    answer = nonnegative(expression, where, patience, strictly=strictly, thorough=variable is None)
    if variable is None or answer.status is Status.PROVED:
        return _of(answer)
    low, high = range_of(variable, where)
    found = course(expression, variable, low, high, deadline.at_most(_PATIENT), strictly=strictly)
    closed = [
        end for end in _closed_ends(variable, where, low, high) if not _holds_at(expression, variable, end, strictly)
    ]
    if found.status is Status.REFUTED or (found.status is Status.PROVED and not closed):
        return Decision(
            status=found.status, method=found.method, hint=_middle(variable, found.negative), interval=found.negative
        )
    last = nonnegative(expression, where, deadline.at_most(_PATIENT), strictly=strictly)
    if last.status is Status.PROVED:
        return _of(last)
    return Decision(status=Status.UNDECIDED, method=f"{last.method}; {found.method}", hint=dict(last.hint or {}))


def _of(answer: Answer) -> Decision:
    return Decision(status=answer.status, method=answer.method, hint=dict(answer.hint or {}))


def _of_number(expression: Expr, *, strictly: bool) -> Decision:
    found = 0 if identically_zero(expression) else sign(expression)
    if found is None:
        return Decision(status=Status.UNDECIDED, method=f"the sign of {expression} is open", hint={})
    holds = found > 0 or (found == 0 and not strictly)
    return Decision(status=Status.PROVED if holds else Status.REFUTED, method="evaluated exactly", hint={})


def _closed_ends(
    variable: Symbol, where: Sequence[Relational], low: Rational | None, high: Rational | None
) -> list[Rational]:
    """Return the rational ends of the range that belong to it."""
    bounds = [relation for relation in where if relation.lhs == variable and relation.rhs in (low, high)]
    strict = {bound.rhs for bound in bounds if isinstance(bound, (sympy.StrictGreaterThan, sympy.StrictLessThan))}
    closed = {bound.rhs for bound in bounds if isinstance(bound, (sympy.GreaterThan, sympy.LessThan))}
    if sympy.S.Zero in (low, high) and not variable.is_positive and not variable.is_negative:
        closed |= {sympy.S.Zero} if variable.is_nonnegative or variable.is_nonpositive else set()
    return [end for end in closed - strict if end.is_Rational]


def _holds_at(expression: Expr, variable: Symbol, place: Rational, strictly: bool) -> bool:
    found = sign(expression, {variable: place})
    return found is not None and (found > 0 or (found == 0 and not strictly))


def _middle(variable: Symbol, interval: Interval | None) -> dict[Symbol, Rational]:
    return {} if interval is None else {variable: (interval[0] + interval[1]) / 2}


def range_of(variable: Symbol, where: Sequence[Relational]) -> tuple[Rational | None, Rational | None]:
    """Return an interval that holds every value of a symbol that the conditions allow, as small as is easily seen."""
    low: Rational | None = sympy.S.Zero if variable.is_nonnegative else None
    high: Rational | None = sympy.S.Zero if variable.is_nonpositive else None
    for relation in where:
        if relation.lhs != variable:
            continue
        bottom, top = _enclosed(relation.rhs, where)
        if bottom is not None and isinstance(relation, (sympy.StrictGreaterThan, sympy.GreaterThan)):
            low = bottom if low is None else max(low, bottom)
        if top is not None and isinstance(relation, (sympy.StrictLessThan, sympy.LessThan)):
            high = top if high is None else min(high, top)
    return low, high


def _enclosed(bound: Expr, where: Sequence[Relational]) -> tuple[Rational | None, Rational | None]:
    """Return rational numbers below and above a bound: a closed expression, or a symbol that is bounded itself."""
    if bound.is_Rational:
        return bound, bound
    if bound.is_Symbol:
        return range_of(bound, [relation for relation in where if relation.rhs.is_Rational])
    if bound.free_symbols:
        return None, None
    try:
        with flint.ctx.workprec(256):
            value = ball(value_at(bound, {}))
            mantissa, exponent = value.mid().man_exp()
            middle = Rational(int(mantissa)) * Rational(2) ** int(exponent)
            margin = _OUTWARD * max(1, abs(middle))
            fits = bool(value.rad() < flint.arb(2) ** -90 * max(1, abs(float(middle))))
    except UncoveredError:
        return None, None
    return (middle - margin, middle + margin) if fits else (None, None)
