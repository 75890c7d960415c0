"""An interval drawn as a strip: a line for the interval, a dot for the number, on an axis that rows share."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.statistics import Interval

WIDTH = 1000
"""Units of a strip's width; the browser stretches it to its column."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What the left and the right end of a strip stand for.

    Attributes:
        low: the left end.
        high: the right end, above it.
        zero: whether a line marks 0.
    """

    low: float
    high: float
    zero: bool

    def place(self, value: float) -> float:
        """Return where a number lies on the strip, from 0 to WIDTH."""
        share = (value - self.low) / (self.high - self.low)
        return round(WIDTH * min(1.0, max(0.0, share)), 1)


def axis(numbers: Iterable[float], *, zero: bool) -> Axis:
    """Return an axis with round ends that holds the numbers, and is centred on 0 where `zero` is marked."""
    found = list(numbers)
    if zero:
        reach = _rounded_up(max((abs(value) for value in found), default=0.0) or 0.01)
        return Axis(low=-reach, high=reach, zero=True)
    low, high = min(found, default=0.0), max(found, default=1.0)
    step = _rounded_up(max((high - low) / 4, 1e-3))
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return Axis(low=round(low, 10), high=round(high if high > low else low + step, 10), zero=False)


def _rounded_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return round(next(step for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9)) * power, 10)


def strip(on: Axis, value: float, interval: Interval | None, *, kind: str = "plain") -> Markup:
    """Return an SVG of a number with its interval, hidden from screen readers: the numbers stand beside it.

    Args:
        on: the axis that the rows of a table share.
        value: the number.
        interval: around it; without one there is only the dot.
        kind: a class of its colour: plain, better, worse.
    """
    parts = [f'<svg class="strip {kind}" viewBox="0 0 {WIDTH} 20" preserveAspectRatio="none" aria-hidden="true">']
    if on.zero:
        parts.append(f'<path class="zero" d="M{on.place(0)} 0V20"/>')
    if interval is not None:
        low, high = (on.place(end) for end in interval)
        parts.append(f'<path class="reach" d="M{low} 10H{high}"/><path class="end" d="M{low} 6V14M{high} 6V14"/>')
    parts.append(f'<path class="dot" d="M{on.place(value)} 10h0.01"/></svg>')
    return Markup("".join(parts))  # noqa: S704 (numbers and our own names only)
