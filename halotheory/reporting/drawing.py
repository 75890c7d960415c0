"""Panels drawn as SVG for a page and as TikZ for a paper, with no library and the same bytes each time."""

import math
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from textwrap import wrap

import numpy as np

from halotheory.reporting.figures import Curve, Panel
from halotheory.reporting.typeset import prose

_WIDTH, _HEIGHT = 360, 260  # of a panel, in CSS pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 30, 46
_LEGEND = 15  # height of a line of the legend
_LINE, _TITLE = 16, 36  # height of a line of the title, and its most characters
_TIKZ = 0.018  # centimetres per pixel
_STYLES = {
    "main": "very thick",
    "second": "very thick, dashed",
    "third": "very thick, dash dot",
    "quiet": "thin, densely dotted",
}


def svg(panel: Panel) -> str:
    """Return one panel as an SVG element whose colours follow the page: classes main, second, quiet, axis."""
    frame = _Frame(panel)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {frame.height}" role="img" aria-label="{escape(panel.said, quote=True)}">',
        f"<title>{escape(panel.title)}</title>",
    ]
    for i, line in enumerate(frame.title):
        parts.append(f'<text class="title" x="{_LEFT}" y="{16 + _LINE * i}">{_text(line)}</text>')
    for value, at in frame.x_ticks:
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{frame.top}" y2="{frame.bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{frame.bottom + 15}" text-anchor="middle">{_minus(value)}</text>')
    for value, at in frame.y_ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_minus(value)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{frame.bottom + 34}" text-anchor="middle">{_text(panel.x_label)}</text>')
    height = (frame.top + frame.bottom) / 2
    parts.append(
        f'<text transform="translate(12 {height}) rotate(-90)" text-anchor="middle">{_text(panel.y_label)}</text>'
    )
    for curve in panel.curves:
        for line in frame.lines(curve):
            parts.append(f'<polyline class="{curve.role}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>')
            dots = line if curve.marked else ()
            parts += [f'<circle class="{curve.role}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in dots]
    for name, x, y in panel.points:
        across, down = frame.place(x, y)
        parts.append(f'<circle class="point" cx="{across:.1f}" cy="{down:.1f}" r="4"/>')
        parts.append(f'<text x="{across + 7:.1f}" y="{down - 7:.1f}">{_text(name)}</text>')
    for i, curve in enumerate(panel.curves):
        down = frame.bottom + 52 + _LEGEND * i
        parts.append(f'<line class="{curve.role}" x1="{_LEFT}" x2="{_LEFT + 26}" y1="{down - 4}" y2="{down - 4}"/>')
        parts.append(f'<text x="{_LEFT + 32}" y="{down}">{_text(curve.name)}</text>')
    return "\n".join([*parts, "</svg>"])


def picture(panel: Panel) -> str:
    """Return one panel as an SVG file on white, with the light colours of the pages."""
    style = files("halotheory.reporting").joinpath("templates", "figure.css").read_text(encoding="utf-8")
    opened = f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * _WIDTH}" '
    ground = f'\n<style>\n{style}</style>\n<rect width="100%" height="100%" fill="white"/>'
    return svg(panel).replace("<svg ", opened, 1).replace(">", f">{ground}", 1) + "\n"


def tikz(panel: Panel, text: Callable[[str], str]) -> str:
    """Return one panel as a tikzpicture; plain TikZ draws it.

    Args:
        panel: what to draw.
        text: turns plain text into LaTeX.
    """
    frame = _Frame(panel)
    right, bottom = _WIDTH - _RIGHT, frame.bottom
    title = r"\\".join(map(text, frame.title))
    lines = [
        rf"\begin{{tikzpicture}}[x={_TIKZ}cm,y=-{_TIKZ}cm,font=\scriptsize]",
        rf"\node[anchor=south west,font=\small\bfseries,align=left] at ({_LEFT},{frame.top - 2}) {{{title}}};",
        rf"\draw[gray] ({_LEFT},{frame.top}) rectangle ({right},{bottom});",
    ]
    for value, at in frame.x_ticks:
        lines.append(rf"\draw[gray] ({at:.1f},{bottom}) -- +(0,4) node[below,black] {{${value:g}$}};")
    for value, at in frame.y_ticks:
        lines.append(rf"\draw[gray] ({_LEFT},{at:.1f}) -- +(-4,0) node[left,black] {{${value:g}$}};")
    lines.append(rf"\node at ({(_LEFT + right) / 2},{bottom + 34}) {{{text(panel.x_label)}}};")
    lines.append(rf"\node[rotate=90] at ({_LEFT - 48},{(frame.top + bottom) / 2}) {{{text(panel.y_label)}}};")
    for curve in panel.curves:
        for line in frame.lines(curve):
            points = " -- ".join(f"({x:.1f},{y:.1f})" for x, y in line[:: max(1, len(line) // 100)])
            lines.append(rf"\draw[{_STYLES[curve.role]}] {points};")
            dots = line if curve.marked else ()
            lines += [rf"\fill ({x:.1f},{y:.1f}) circle[radius=2.5];" for x, y in dots]
    for name, x, y in panel.points:
        across, down = frame.place(x, y)
        lines.append(rf"\fill ({across:.1f},{down:.1f}) circle[radius=3] node[above right] {{{text(name)}}};")
    for i, curve in enumerate(panel.curves):
        down = bottom + 56 + _LEGEND * i
        lines.append(rf"\draw[{_STYLES[curve.role]}] ({_LEFT},{down}) -- +(26,0) node[right] {{{text(curve.name)}}};")
    return "\n".join([*lines, r"\end{tikzpicture}"])


class _Frame:
    """Where data lie on the paper."""

    def __init__(self, panel: Panel) -> None:
        x = _all([curve.x for curve in panel.curves], [point[1] for point in panel.points])
        y = _all([curve.y for curve in panel.curves], [point[2] for point in panel.points])
        room = 0.12 if panel.points else 0.0
        self._logarithmic = panel.x_scale == "log"
        self._x, self._y = _span(np.log10(x) if self._logarithmic else x, room), _span(y, max(room, 0.05))
        self.title = wrap(panel.title, _TITLE)
        self.top = _TOP + _LINE * (len(self.title) - 1)
        self.bottom = self.top + _HEIGHT - _TOP - _BOTTOM
        self.height = self.bottom + _BOTTOM + 8 + _LEGEND * len(panel.curves)
        x_ticks = _powers(*self._x) if self._logarithmic else _ticks(*self._x)
        self.x_ticks = [(value, self._across(value)) for value in x_ticks]
        self.y_ticks = [(value, self._down(value)) for value in _ticks(*self._y)]

    def place(self, x: float, y: float) -> tuple[float, float]:
        return self._across(x), self._down(y)

    def _across(self, x: float) -> float:
        share = ((math.log10(x) if self._logarithmic else x) - self._x[0]) / (self._x[1] - self._x[0])
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def _down(self, y: float) -> float:
        share = (y - self._y[0]) / (self._y[1] - self._y[0])
        return self.bottom - share * (self.bottom - self.top)

    def lines(self, curve: Curve) -> list[list[tuple[float, float]]]:
        """Return the curve on the paper, broken where a value is missing."""
        found: list[list[tuple[float, float]]] = [[]]
        for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True):
            if math.isfinite(y):
                found[-1].append(self.place(x, y))
            elif found[-1]:
                found.append([])
        return [line for line in found if line]


def _all(arrays: Sequence[np.ndarray], others: Sequence[float]) -> np.ndarray:
    values = np.concatenate([*arrays, np.array(others, dtype=float)])
    return values[np.isfinite(values)]


def _span(values: np.ndarray, room: float) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    wide = high - low or abs(high) or 1.0
    return low - room * wide, high + room * wide


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers within a span: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    return [round(n * step, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Return powers of ten, at most seven, between two exponents of ten."""
    exponents = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    return [10.0**exponent for exponent in exponents[:: -(-len(exponents) // 7) or 1]]


def _text(text: str) -> str:
    """Return prose for an SVG, indices lowered and exponents raised."""
    return prose(
        text,
        escape,
        lambda head, below: f"{head}{_shifted(below, 3)}",
        lambda above: _shifted(above, -4),
    )


def _shifted(text: str, down: int) -> str:
    back = f'<tspan dy="{-down}">&#8203;</tspan>'  # what follows is moved back, with a space of no width
    return f'<tspan dy="{down}" font-size="8">{escape(text)}</tspan>{back}'


def _minus(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
