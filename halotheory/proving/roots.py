"""All zeros of a function on the line, each between rational numbers of its own."""

from fractions import Fraction

import flint
from flint import arb, fmpq
from sympy import Expr, Rational, Symbol

from halotheory.deadline import Deadline
from halotheory.proving.branch import simplest
from halotheory.proving.enclose import sign
from halotheory.proving.program import Program
from halotheory.proving.tails import End, sign_near

_BITS = 768
_MOST_BOXES = 20_000
_NARROW, _FINE = Fraction(1, 2**60), Fraction(1, 2**100)

Bracket = tuple[Fraction, Fraction]


def roots(expression: Expr, z: Symbol, deadline: Deadline) -> list[Bracket] | None:
    """Return an interval around each zero, in order; both ends agree where the zero is a rational number found.

    Between the ends of an interval, the function is monotone and changes its sign. None where the zeros cannot be
    told apart, the function may not be real, or time is up.

    Args:
        expression: of z alone, free of Piecewise, not zero throughout.
        z: the variable.
        deadline: what is left of the time of the check.

    Raises:
        UncoveredError: an operation that is not covered.
    """
    ends = [sign_near(expression, z, End(at=None, side=side)) for side in (-1, 1)]
    if ends[0] is None or ends[1] is None or 0 in (ends[0][0], ends[1][0]):
        return None
    with flint.ctx.workprec(_BITS):
        return _between(expression, z, Fraction(-ends[0][1]), Fraction(ends[1][1]), deadline)


def _between(expression: Expr, z: Symbol, low: Fraction, high: Fraction, deadline: Deadline) -> list[Bracket] | None:
    program = Program(expression, z)
    found: list[Bracket] = []
    stack, count = [(low, high)], 0
    while stack:
        a, b = stack.pop()
        count += 1
        if count > _MOST_BOXES or deadline.left() == 0 or b - a < _NARROW * max(1, abs(a)):
            return None
        whole = _ball(a).union(_ball(b))
        value = program.over(whole)
        if value is not None and (value > 0 or value < 0):
            continue
        slope = program.expanded(whole)
        if slope is not None and (slope[1] > 0 or slope[1] < 0):
            bracket = _monotone(expression, z, a, b)
            if bracket == "open":
                return None
            if isinstance(bracket, tuple) and bracket not in found:
                found.append(bracket)
            continue
        stack += [((a + b) / 2, b), (a, (a + b) / 2)]
    return sorted(found)


def _monotone(expression: Expr, z: Symbol, low: Fraction, high: Fraction) -> Bracket | str | None:
    """Return the bracket of the zero of a function that is monotone here, None without a zero, or "open"."""
    signs = [_sign(expression, z, end) for end in (low, high)]
    if None in signs:
        return "open"
    if 0 in signs:
        end = (low, high)[signs.index(0)]
        return end, end
    if signs[0] == signs[1]:
        return None
    while high - low > _FINE * max(1, abs(low)):
        middle = simplest(low + (high - low) / 4, high - (high - low) / 4)
        side = _sign(expression, z, middle)
        if side is None:
            return "open"
        if side == 0:
            return middle, middle
        low, high = (middle, high) if side == signs[0] else (low, middle)
    return low, high


def _sign(expression: Expr, z: Symbol, place: Fraction) -> int | None:
    return sign(expression, {z: Rational(place.numerator, place.denominator)})


def _ball(number: Fraction) -> arb:
    return arb(fmpq(number.numerator, number.denominator))
