"""Gradient flow, enclosed: Taylor series of its solution, each with a bound on its remainder, in ball arithmetic."""

from collections.abc import Callable, Sequence
from typing import Any

import flint
from flint import arb, arb_series
from sympy import Rational

_BITS, _ORDER, _WIDER = 192, 14, 0.25

Number = Any
"""An `arb`, or a power series of them in time."""
Numbers = Sequence[Number]
Rates = Callable[[Numbers], Numbers]
"""From coordinates to their rates of change, built of +, -, *, / and exp."""


def positions(rates: Rates, start: Sequence[arb], step: Rational, count: int) -> list[list[arb]]:
    """Return balls that hold the solution of x' = rates(x) at the times step, 2 step, ..., count step.

    On each step a box is found that the solution cannot leave, as start + [0, step] rates(box) lies within it
    (Picard); the first coefficient that is left out of the Taylor series, taken of the whole box, bounds the rest.

    Args:
        rates: of the flow.
        start: the coordinates at time 0.
        step: of time, > 0.
        count: of steps.

    Raises:
        ArithmeticError: no box was found for a step.
    """
    found, place = [], list(start)
    with flint.ctx.workprec(_BITS):
        length = arb(step.p) / step.q
        for _ in range(count):
            place = _moved(rates, place, length)
            found.append(place)
    return found


def _moved(rates: Rates, place: list[arb], step: arb) -> list[arb]:
    inner, whole = _coefficients(rates, place, _ORDER), _coefficients(rates, _box(rates, place, step), _ORDER)
    return [
        sum((a[k] * step**k for k in range(_ORDER)), arb(0)) + rest[_ORDER] * step**_ORDER
        for a, rest in zip(inner, whole, strict=True)
    ]


def _box(rates: Rates, place: list[arb], step: arb) -> list[arb]:
    """Return balls that hold the solution at all times from 0 to a step."""
    passing, box = arb(step / 2, step / 2), list(place)
    for _ in range(10):
        try:
            found = _coefficients(rates, box, 1)
        except ValueError:  # the box has grown so wide that a denominator may be 0
            break
        reached = [x + passing * one[1] for x, one in zip(place, found, strict=True)]
        if all(whole.contains(part) for whole, part in zip(box, reached, strict=True)):
            return box
        box = [x + (part - x) * arb(1, _WIDER) for x, part in zip(place, reached, strict=True)]
    raise ArithmeticError(f"no enclosure of the flow within a step of {step}")


def _coefficients(rates: Rates, place: Sequence[arb], order: int) -> list[list[arb]]:
    """Return the Taylor coefficients of the solution from a place, by time, up to an order."""
    found = [[x] for x in place]
    cap = flint.ctx.cap
    try:
        for k in range(order):
            flint.ctx.cap = k + 1
            for known, rate in zip(found, rates([arb_series(one) for one in found]), strict=True):
                known.append(rate[k] / (k + 1))
    finally:
        flint.ctx.cap = cap
    return found
