"""The boundary of a statement as a table and as a curve."""

import math
import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from halotheory.reporting.figures import Curve, Panel, Role, Scale
from halotheory.reporting.typeset import decimal, parsed
from halotheory.theorems.claims import Boundary

_ROLES: Sequence[Role] = ("main", "second", "third", "quiet")
_DECADES = 1.5  # of a positive axis, from which on it is logarithmic


def columns(boundary: Boundary) -> list[str]:
    """Return the names of what the points tell, in the order of their first appearance."""
    return list(dict.fromkeys(name for point in boundary.points for name in point))


def panel(boundary: Boundary) -> Panel | None:
    """Return the boundary drawn along its axes, or None where it has none or its points are no numbers."""
    if len(boundary.axes) < 2:
        return None
    across, up, *apart = boundary.axes
    named: dict[str, list[tuple[float, float]]] = {}
    for point in boundary.points:
        x, y = number(point.get(across, "")), number(point.get(up, ""))
        if x is not None and y is not None:
            named.setdefault(f"{apart[0]} = {point.get(apart[0], '')}" if apart else up, []).append((x, y))
    curves = [
        Curve(name=name, x=np.array(points)[:, 0], y=np.array(points)[:, 1], role=_ROLES[i % len(_ROLES)], marked=True)
        for i, (name, points) in enumerate(named.items())
    ]
    if not any(len(curve.x) > 1 for curve in curves):
        return None
    x = np.concatenate([curve.x for curve in curves])
    return Panel(
        title=re.split(r"[.;:] ", boundary.statement)[0].rstrip("."),
        x_label=across,
        y_label=up,
        curves=curves,
        said="; ".join(_told(curve, across, up) for curve in curves) + ".",
        x_scale=_scale(x),
    )


def number(text: str) -> float | None:
    """Return the number that a text stands for, of an enclosure "[low, high]" its middle, or None where it is none."""
    enclosed = re.fullmatch(r"\[(.+), (.+)\]", text)
    if enclosed:
        ends = [number(end) for end in enclosed.groups()]
        return None if None in ends else sum(end for end in ends if end is not None) / 2
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        pass
    expression = parsed(text)
    shown = None if expression is None else decimal(expression, 15)
    return float(shown) if shown is not None and math.isfinite(float(shown)) else None


def _scale(x: np.ndarray) -> Scale:
    return "log" if np.all(x > 0) and math.log10(x.max() / x.min()) > _DECADES else "linear"


def _told(curve: Curve, across: str, up: str) -> str:
    first, last = (f"{up} {curve.y[i]:.4g} at {across} {curve.x[i]:.4g}" for i in (0, -1))
    return f"{curve.name}: from {first} to {last}"
