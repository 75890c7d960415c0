"""What is drawn of a verdict: curves and points as numbers, before any file format."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import sympy
from sympy import Expr

from halotheory.errors import HaloTheoryError
from halotheory.findings import Finding, Status, Verdict
from halotheory.proving.shape import Z
from halotheory.reporting.implied import implied_value, numbers, read_value
from halotheory.reporting.plot import kahneman_tversky
from halotheory.reporting.typeset import parsed

_REACHES = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_FADED = 0.1  # of the steepest slope
_STEPS = 401
_LABEL = re.compile(r"([+-]\d)(?: times (.+?))?( with v\(-z\))? for (desirable|undesirable)")


Role = Literal["main", "second", "third", "quiet"]
Scale = Literal["linear", "log"]

Observed = Mapping[str, Sequence[tuple[float, float]]]
"""By what is observed: pairs of a log-ratio and the loss there; where the loss is not finite, NaN."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line through points; NaN breaks it.

    Attributes:
        name: for the legend.
        x: places.
        y: values, as many.
        role: decides colour and dashes.
        marked: with a dot at each point, where the line between them is a guess.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    role: Role = "main"
    marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One system of axes.

    Attributes:
        title: what is drawn.
        x_label: with unit.
        y_label: with unit.
        curves: lines.
        points: marked points with a name.
        said: the panel in words, for those who do not see it.
        x_scale: whether equal steps across are equal differences or equal ratios.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    points: Sequence[tuple[str, float, float]] = ()
    said: str = ""
    x_scale: Scale = "linear"


def panels(verdict: Verdict, observed: Observed | None = None) -> list[Panel]:
    """Return the panels of a verdict: a HALO's value, slope and gradient weights, or the counterexamples.

    Args:
        verdict: what was decided.
        observed: the loss by log-ratio, to be drawn where there is no value function.

    Returns:
        Panels; none where nothing can be drawn over z alone.
    """
    if verdict.construction is None:
        return [*_counterexamples(verdict), *([_observed(observed)] if observed else [])]
    try:
        value = implied_value(verdict)
        others = sorted(value.as_set.free_symbols - {Z}, key=str)
        v = value.as_set.subs(dict.fromkeys(others, 1))
        slope = sympy.diff(v, Z)
        reach = _reach(slope)
        z = np.linspace(-reach, reach, _STEPS)
        heights, slopes = numbers(v, z) - numbers(v, np.zeros(())), numbers(slope, z)
    except HaloTheoryError:
        return []
    x_label = "z, the implied reward minus the reference point"
    example = f" at {', '.join(map(str, others))} = 1" if others else ""
    human = kahneman_tversky(z)
    scale = np.nanmax(np.abs(heights[np.isfinite(heights)])) / np.max(np.abs(human))
    return [
        Panel(
            title=f"Value{example}",
            x_label=x_label,
            y_label="v(z) - v(0)",
            curves=[
                Curve(name="Kahneman-Tversky (Eq. 4), scaled to fit", x=z, y=scale * human, role="quiet"),
                Curve(name=verdict.loss, x=z, y=heights),
            ],
            said=f"v(z) - v(0) runs from {heights[0]:.3g} at z = {-reach:g} to {heights[-1]:.3g} at z = {reach:g}, "
            "beside the Kahneman-Tversky value function scaled to the same size.",
        ),
        Panel(
            title=f"Slope{example}",
            x_label=x_label,
            y_label="v'(z)",
            curves=[Curve(name="v'(z)", x=z, y=_clipped(slopes))],
            said=f"v'(z) is {slopes[0]:.3g} at z = {-reach:g}, {slopes[_STEPS // 2 + 1]:.3g} next to 0 "
            f"and {slopes[-1]:.3g} at z = {reach:g}.",
        ),
        Panel(
            title=f"Gradient weight of an example{example}",
            x_label=x_label,
            y_label="|dL / d log π(y|x)|",
            curves=_weights(verdict, slope, z),
            said="How strongly an example pulls on its log-probability, by z.",
        ),
    ]


def _observed(observed: Observed) -> Panel:
    curves = [
        Curve(name=name, x=np.array(points)[:, 0], y=np.array(points)[:, 1], role="second" if i else "main")
        for i, (name, points) in enumerate(observed.items())
    ]
    return Panel(
        title="The loss of one example",
        x_label="log-ratio, nats; everything else equal",
        y_label="loss",
        curves=curves,
        said="The loss of one example as its log-ratio moves and all else stays, observed by running the code.",
    )


def _reach(slope: Expr) -> float:
    """Return how far to draw: until the slope has faded on one side, if it does."""
    z = np.linspace(-_REACHES[0], _REACHES[0], _STEPS)
    for reach in _REACHES:
        sizes = np.abs(numbers(slope, z * reach / _REACHES[0]))
        sizes = sizes[np.isfinite(sizes)]
        if len(sizes) and min(sizes[0], sizes[-1]) <= _FADED * np.percentile(sizes, 99):
            return reach
    return _REACHES[0]


def _weights(verdict: Verdict, slope: Expr, z: np.ndarray) -> list[Curve]:
    """Return |dL / d log pi(y|x)| for each label; in a pair it is the same for both outputs."""
    assert verdict.construction is not None
    size = parsed(verdict.construction.normalizer, verdict.hyperparameters)
    settings = {symbol: verdict.hyperparameters.get(str(symbol), 1.0) for symbol in size.free_symbols} if size else {}
    factor = float(size.subs(settings)) if size is not None else 1.0
    weights = np.abs(numbers(slope, z)) * factor
    labels = _LABEL.findall(verdict.construction.sign)
    if not labels:
        both = "chosen and rejected" if "output:" in verdict.construction.reference_point else "every example"
        return [Curve(name=both, x=z, y=_clipped(weights))]
    curves = []
    for _, scale, mirrored, label in labels:
        times = parsed(scale, verdict.hyperparameters) if scale else sympy.S.One
        at = {symbol: verdict.hyperparameters.get(str(symbol), 1.0) for symbol in times.free_symbols} if times else {}
        y = (weights[::-1] if mirrored else weights) * (float(times.subs(at)) if times is not None else 1.0)
        curves.append(Curve(name=label, x=z, y=_clipped(y), role="main" if label == "desirable" else "second"))
    return curves


def _clipped(values: np.ndarray) -> np.ndarray:
    """Return the values without the far ends of a pole, so that the rest can be seen."""
    finite = np.abs(values[np.isfinite(values)])
    if not len(finite) or not finite.any():
        return values
    top = 4 * float(np.percentile(finite, 95))
    return np.where(np.abs(values) > top, np.nan, values) if np.max(finite) > 3 * top else values


def _counterexamples(verdict: Verdict) -> Iterator[Panel]:
    for finding in verdict.conditions:
        points = witness_points(finding, verdict.hyperparameters)
        if finding.status is not Status.REFUTED or len(points) < 2:
            continue
        x, y = (np.array(axis) for axis in zip(*[(z, v) for _, z, v in points], strict=True))
        ends = slice(None, None, len(x) - 1)  # the chord, beside the function
        said = "; ".join(f"{name} = {z:.6g} has v = {v:.6g}" for name, z, v in points)
        yield Panel(
            title=f"Counterexample: {finding.name.replace('_', ' ')}",
            x_label="z",
            y_label="v(z)",
            curves=[
                Curve(name="chord", x=x[ends], y=y[ends], role="quiet"),
                *_examined(verdict, finding, x),
            ],
            points=points,
            said=f"{finding.statement}: {said}.",
        )


def _examined(verdict: Verdict, finding: Finding, x: np.ndarray) -> list[Curve]:
    """Return the function that the finding is about, around its points; nothing where it cannot be drawn."""
    span = float(x[-1] - x[0])
    z = np.linspace(float(x[0]) - span / 2, float(x[-1]) + span / 2, _STEPS)
    try:
        v = read_value((finding.witness or {})["v(z)"], verdict.hyperparameters).as_set
        return [] if v.free_symbols - {Z} else [Curve(name="v(z)", x=z, y=numbers(v, z))]
    except (HaloTheoryError, KeyError):
        return []


def witness_points(finding: Finding, hyperparameters: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return the points (name, z, v(z)) of a witness at the hyperparameters as set; none where it has no such."""
    witness = finding.witness or {}
    found = []
    for name in witness:
        if re.fullmatch(r"z\d", name) and f"v({name})" in witness:
            place, value = (_number(witness[key], hyperparameters) for key in (name, f"v({name})"))
            if place is not None and value is not None:
                found.append((name, place, value))
    return found


def _number(text: str, hyperparameters: Mapping[str, float]) -> float | None:
    expression = parsed(text.partition(" ~ ")[0], hyperparameters)
    if expression is None:
        return None
    value = expression.subs({symbol: hyperparameters.get(str(symbol), symbol) for symbol in expression.free_symbols})
    try:
        return float(value) if math.isfinite(float(value)) else None
    except (TypeError, OverflowError):
        return None
