"""Is a function of one variable at least zero on an interval? Branch and bound with balls, ends by expansion."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import flint
from flint import arb, fmpq
from sympy import Expr, Rational, Symbol

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.enclose import UncoveredError, sign
from halotheory.proving.program import Program
from halotheory.proving.tails import End, sign_near

_MOST_BOXES = 60_000
_PRECISIONS = (64, 192, 768, 3072, 8192)  # bits
_MOST_STEPS, _PLAIN = 40, 1e-12
_NARROW = Fraction(1, 2**44)

Interval = tuple[Rational, Rational]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was found of a function on an interval.

    Attributes:
        status: REFUTED where a place was found, by ball arithmetic, at which the function is negative.
        method: what settled it, or what was tried.
        negative: an interval on all of which the function is negative.
    """

    status: Status
    method: str
    negative: Interval | None = None


def course(
    expression: Expr,
    z: Symbol,
    low: Rational | None,
    high: Rational | None,
    deadline: Deadline,
    *,
    strictly: bool = False,
) -> Course:
    """Return whether a function is at least zero (or positive) everywhere between two places, ends not included.

    Args:
        expression: of z alone, free of Piecewise.
        z: the variable.
        low: where the interval begins; None for minus infinity.
        high: where it ends; None for infinity.
        deadline: what is left of the time of the check.
        strictly: ask for > 0.
    """
    try:
        search = _Search(expression, z, deadline, strictly=strictly)
        return search.settle(low, high)
    except UncoveredError as error:
        return Course(status=Status.UNDECIDED, method=f"ball arithmetic does not cover {error}")


@dataclass(frozen=True)
class _Box:
    low: Fraction
    high: Fraction
    level: int = 0  # of precision

    @property
    def middle(self) -> Fraction:
        return (self.low + self.high) / 2


@dataclass
class _Search:
    """The state of one branch and bound."""

    expression: Expr
    z: Symbol
    deadline: Deadline
    strictly: bool
    boxes: int = 0
    cleared: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    negative: Interval | None = None
    reason: str = ""
    range: tuple[Rational | None, Rational | None] = (None, None)

    def __post_init__(self) -> None:
        self.program = Program(self.expression, self.z)

    def settle(self, low: Rational | None, high: Rational | None) -> Course:
        self.range = (low, high)
        bounds = [self._end(end, side) for end, side in ((low, 1), (high, -1))]
        if self.negative is None and None not in bounds:
            inner = [bound for bound in bounds if bound is not None]
            if inner[0] < inner[1]:
                self._search(inner[0], inner[1], whole=(low, high))
        if self.negative is not None:
            with flint.ctx.workprec(_PRECISIONS[1]):
                self._deepen()
            return Course(
                status=Status.REFUTED, method="ball arithmetic: negative on an interval", negative=self.negative
            )
        if self.reason:
            return Course(status=Status.UNDECIDED, method=f"ball arithmetic: {self.reason}")
        ends = " and expansions at the ends" if None in (low, high) or self.cleared else ""
        return Course(status=Status.PROVED, method=f"ball arithmetic on {self.boxes} boxes{ends}")

    def _end(self, at: Rational | None, side: int) -> Fraction | None:
        """Return where the search begins or ends; what lies beyond an infinite end is settled here."""
        if at is not None:
            return Fraction(int(at.p), int(at.q))
        found = sign_near(self.expression, self.z, End(at=None, side=-side))
        if found is None or (self.strictly and found[0] == 0):
            self.reason = f"open as {self.z} tends to {'-' if side > 0 else ''}infinity"
            return None
        if found[0] < 0:
            start = Rational(found[1])
            self.negative = (-2 * start, -start) if side > 0 else (start, 2 * start)
            self._bring_inside(start)
        return Fraction(-side * found[1])

    def _bring_inside(self, start: Rational) -> None:
        """Move an interval far out on which the function is negative into the range that is asked for."""
        low, high = self.range
        if low is not None and high is None:
            first = max(start, low + 1)
            self.negative = (first, 2 * first)
        if high is not None and low is None:
            last = min(-start, high - 1)
            self.negative = (2 * last, last)

    def _search(self, low: Fraction, high: Fraction, *, whole: tuple[Rational | None, Rational | None]) -> None:
        for at, side in ((whole[0], 1), (whole[1], -1)):
            if at is not None and self._sign_at(at) != 1:
                self._clear(at, [side])
        stack = [_Box(low, high)]
        while stack and self.negative is None and not self.reason:
            box = stack.pop()
            self.boxes += 1
            if self.boxes > _MOST_BOXES or self.deadline.left() == 0:
                self.reason = f"open after {self.boxes} boxes"
            elif not any(a <= box.low and box.high <= b for a, b in self.cleared):
                stack += self._split(box)

    def _split(self, box: _Box) -> Sequence[_Box]:
        """Return what is left to settle of a box."""
        with flint.ctx.workprec(_PRECISIONS[box.level]):
            if self._holds(box) or self.negative is not None:
                return ()
            level = self._level(box)
        if box.high - box.low < _NARROW * max(1, abs(box.middle)):
            self._touch(box)
            return ()
        cuts = [cut for pair in self.cleared for cut in pair if box.low < cut < box.high]
        middle = cuts[0] if cuts else box.middle
        return (_Box(middle, box.high, level), _Box(box.low, middle, level))

    def _holds(self, box: _Box) -> bool:
        """Return whether the function is at least zero on a box; where it is negative is noted."""
        whole = _ball(box.low).union(_ball(box.high))
        value = self.program.over(whole)
        if value is not None and self._fine(value):
            return True
        if value is not None and value < 0:
            self._note(box.low, box.high)
            return False
        return self._holds_by_slope(box, whole) or self._holds_between(box)

    def _holds_between(self, box: _Box) -> bool:
        """Return whether the function is at least zero on a box that is too wide for balls."""
        low = self.program.between(_ball(box.low), _ball(box.high))
        return low is not None and self._fine(low)

    def _holds_by_slope(self, box: _Box, whole: arb) -> bool:
        """Return whether the function's slope and a value show that it is at least zero on a box."""
        expanded = self.program.expanded(whole)
        if expanded is None:
            return False
        slope = expanded[1]
        middle = self.program.over(_ball(box.middle))
        if middle is not None and self._fine(middle + slope * (whole - _ball(box.middle))):
            return True
        if slope > 0 or slope < 0:
            end = self.program.over(_ball(box.low if slope > 0 else box.high))
            return end is not None and self._fine(end)
        return False

    def _level(self, box: _Box) -> int:
        """Return the precision at which the sign in the middle shows; a negative one is noted."""
        for level in range(box.level, len(_PRECISIONS)):
            with flint.ctx.workprec(_PRECISIONS[level]):
                value = self.program.over(_ball(box.middle))
                if value is not None and value > 0:
                    return level
                if value is not None and value < 0:
                    self._around(box.middle, (box.high - box.low) / 2)
                    return level
        return box.level

    def _around(self, place: Fraction, width: Fraction) -> None:
        """Note an interval around a place at which the function is negative."""
        for k in range(1, 200):
            low, high = place - width / 2**k, place + width / 2**k
            value = self.program.over(_ball(low).union(_ball(high)))
            if value is not None and value < 0:
                self._note(low, high)
                return

    def _deepen(self) -> None:
        """Move from a place where the function is barely negative to one where it is plainly so."""
        assert self.negative is not None
        low, high = (_fraction(end) for end in self.negative)
        place, width = (low + high) / 2, high - low
        value = self.program.over(_ball(place))
        for _ in range(_MOST_STEPS):
            if value is None or value < -_PLAIN:
                break
            steps = [side * width * Fraction(2) ** k for side in (-1, 1) for k in range(-6, 40, 2)]
            best = place
            for other in [place + step for step in steps if self._inside(place + step)]:
                found = self.program.over(_ball(other))
                if found is not None and found < value:
                    best, value = other, found
            if best == place:
                break
            place = best
        if place != (low + high) / 2:
            self._around(place, width)

    def _inside(self, place: Fraction) -> bool:
        low, high = self.range
        return (low is None or _fraction(low) < place) and (high is None or place < _fraction(high))

    def _note(self, low: Fraction, high: Fraction) -> None:
        self.negative = (_rational(low), _rational(high))

    def _fine(self, value: arb) -> bool:
        return bool(value > 0) if self.strictly else bool(value >= 0)

    def _touch(self, box: _Box) -> None:
        """Settle a box too narrow to split: the function may be zero at a simple number inside."""
        place = _rational(simplest(box.low, box.high))
        sides = [side for side, end in ((-1, self.range[0]), (1, self.range[1])) if place != end]
        if self.strictly or self._sign_at(place) not in (0, 1) or not self._clear(place, sides):
            self.reason = f"open near {self.z} = {float(box.middle):.12g}"

    def _clear(self, at: Rational, sides: Sequence[int]) -> bool:
        """Settle what lies beside a place by expansion there; return whether all sides are at least zero."""
        fine = True
        for side in sides:
            end = End(at=at, side=side)
            found = sign_near(self.expression, self.z, end)
            if found is None or (self.strictly and found[0] == 0):
                fine = False
                continue
            low, high = end.beyond(found[1])
            assert low is not None
            assert high is not None
            if found[0] < 0:
                self._negative_beside(*self._clipped(low, high))
                return False
            self.cleared.append((_fraction(low), _fraction(high)))
        return fine

    def _clipped(self, low: Rational, high: Rational) -> Interval:
        """Return the part of an interval that lies in the range."""
        ends = self.range
        return low if ends[0] is None else max(low, ends[0]), high if ends[1] is None else min(high, ends[1])

    def _negative_beside(self, low: Rational, high: Rational) -> None:
        """Note an interval inside an open one on which the function is negative."""
        with flint.ctx.workprec(_PRECISIONS[-1]):
            self._around(_fraction((low + high) / 2), _fraction(high - low) / 2)

    def _sign_at(self, place: Rational) -> int | None:
        return sign(self.expression, {self.z: place})


def _ball(number: Fraction) -> arb:
    return arb(fmpq(number.numerator, number.denominator))


def _rational(number: Fraction) -> Rational:
    return Rational(number.numerator, number.denominator)


def _fraction(number: Rational) -> Fraction:
    return Fraction(int(number.p), int(number.q))


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """Return the number with the smallest denominator between two, ends included."""
    if low <= 0 <= high:
        return Fraction(0)
    if high < 0:
        return -simplest(-high, -low)
    whole = low.numerator // low.denominator
    if whole == low or whole + 1 <= high:
        return Fraction(whole if whole == low else whole + 1)
    return whole + 1 / simplest(1 / (high - whole), 1 / (low - whole))
