"""For which values of one hyperparameter a verdict holds: an interval around its value, and a value on each side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sympy import Expr, Rational, Symbol
from sympy.core.relational import GreaterThan, LessThan, Relational

from halotheory.deadline import Deadline

_FACTORS = (2, 5, 20, 100)
_BISECTIONS = 12

Same = Callable[[Expr], bool | None]
"""Whether the verdict at a value is the same; None where it is open."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One end of the region.

    Attributes:
        bound: a simple value up to which the verdict was found.
        differs_at: a value beyond at which the verdict is another.
    """

    bound: Rational
    differs_at: Rational


def region(
    symbol: Symbol,
    value: Rational,
    same: Same,
    proved: Callable[[Sequence[Relational]], bool],
    deadline: Deadline,
) -> str | None:
    """Return in words for which values of a hyperparameter a verdict holds, or None where no other verdict was met.

    Args:
        symbol: of the hyperparameter.
        value: as set, > 0.
        same: asked at single values.
        proved: asked whether the verdict is proved wherever some relations hold, the other hyperparameters as set.
        deadline: after which no further values are tried.
    """
    below, above = (_side(symbol, value, same, deadline, up=up) for up in (False, True))
    found = [side for side in (below, above) if side is not None]
    if not found:
        return None
    relations = [GreaterThan(symbol, below.bound)] if below is not None else []
    relations += [LessThan(symbol, above.bound)] if above is not None else []
    differs = "another verdict at " + ", ".join(f"{symbol} = {side.differs_at}" for side in found)
    if not proved(relations):
        return differs
    low = f"{below.bound} <= " if below is not None else ""
    high = f" <= {above.bound}" if above is not None else ""
    inside = f"{low}{symbol}{high}" if above is not None else f"{symbol} >= {relations[0].rhs}"
    return f"{inside} ({differs})"


def _side(symbol: Symbol, value: Rational, same: Same, deadline: Deadline, *, up: bool) -> Side | None:
    inside, outside = value, None
    for factor in _FACTORS:
        tried = value * factor if up else value / factor
        answer = same(tried) if deadline.left() > 0 else None
        if answer is None:
            return None
        if not answer:
            outside = tried
            break
        inside = tried
    if outside is None:
        return None
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        answer = same(middle) if deadline.left() > 0 else None
        if answer is None:
            break
        inside, outside = (middle, outside) if answer else (inside, middle)
    bound = _simplest(inside, outside)
    if same(bound) is not True:
        bound = inside
    return Side(bound=bound, differs_at=_beyond(bound, outside, same))


def _beyond(bound: Rational, outside: Rational, same: Same) -> Rational:
    """Return a simple value beyond the bound at which the verdict differs."""
    for step in (bound, bound / 2, bound / 10):
        simple = bound + step if outside > bound else bound - step
        if simple > 0 and same(simple) is False:
            return simple
    return outside


def _simplest(one: Rational, other: Rational) -> Rational:
    """Return the fraction of smallest denominator between two numbers, ends included."""
    low, high = sorted((Fraction(int(one.p), int(one.q)), Fraction(int(other.p), int(other.q))))
    for denominator in range(1, 10**6):
        numerator = -((-low.numerator * denominator) // low.denominator)
        if Fraction(numerator, denominator) <= high:
            return Rational(numerator, denominator)
    return one
