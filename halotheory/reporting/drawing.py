"""Panels drawn as SVG for a page and as TikZ for a paper, with no library and the same bytes each time."""

import math
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files

import numpy as np

from halotheory.reporting.figures import Curve, Panel
from halotheory.reporting.typeset import INDEXED, polished

_WIDTH, _HEIGHT = 360, 260  # of a panel, in CSS pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 30, 46
_LEGEND = 15  # height of a line of the legend
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
        f'<text class="title" x="{_LEFT}" y="16">{_text(panel.title)}</text>',
    ]
    for value, at in frame.x_ticks:
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{_minus(value)}</text>')
    for value, at in frame.y_ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_minus(value)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">{_text(panel.x_label)}</text>')
    height = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text transform="translate(12 {height}) rotate(-90)" text-anchor="middle">{_text(panel.y_label)}</text>'
    )
    for curve in panel.curves:
        for line in frame.lines(curve):
            parts.append(f'<polyline class="{curve.role}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>')
    for name, x, y in panel.points:
        across, down = frame.place(x, y)
        parts.append(f'<circle class="point" cx="{across:.1f}" cy="{down:.1f}" r="4"/>')
        parts.append(f'<text x="{across + 7:.1f}" y="{down - 7:.1f}">{_text(name)}</text>')
    for i, curve in enumerate(panel.curves):
        down = _HEIGHT + 6 + _LEGEND * i
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
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    lines = [
        rf"\begin{{tikzpicture}}[x={_TIKZ}cm,y=-{_TIKZ}cm,font=\scriptsize]",
        rf"\node[anchor=south west,font=\small\bfseries] at ({_LEFT},{_TOP - 2}) {{{text(panel.title)}}};",
        rf"\draw[gray] ({_LEFT},{_TOP}) rectangle ({right},{bottom});",
    ]
    for value, at in frame.x_ticks:
        lines.append(rf"\draw[gray] ({at:.1f},{bottom}) -- +(0,4) node[below,black] {{${value:g}$}};")
    for value, at in frame.y_ticks:
        lines.append(rf"\draw[gray] ({_LEFT},{at:.1f}) -- +(-4,0) node[left,black] {{${value:g}$}};")
    lines.append(rf"\node at ({(_LEFT + right) / 2},{bottom + 34}) {{{text(panel.x_label)}}};")
    lines.append(rf"\node[rotate=90] at ({_LEFT - 48},{(_TOP + bottom) / 2}) {{{text(panel.y_label)}}};")
    for curve in panel.curves:
        for line in frame.lines(curve):
            points = " -- ".join(f"({x:.1f},{y:.1f})" for x, y in line[:: max(1, len(line) // 100)])
            lines.append(rf"\draw[{_STYLES[curve.role]}] {points};")
    for name, x, y in panel.points:
        across, down = frame.place(x, y)
        lines.append(rf"\fill ({across:.1f},{down:.1f}) circle[radius=3] node[above right] {{{text(name)}}};")
    for i, curve in enumerate(panel.curves):
        down = _HEIGHT + 10 + _LEGEND * i
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
        self.height = _HEIGHT + 8 + _LEGEND * len(panel.curves)
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
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

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
    """Return prose for an SVG, an index lowered."""
    lowered = r'\1<tspan dy="3" font-size="8">\2</tspan><tspan dy="-3">&#8203;</tspan>'
    return INDEXED.sub(lowered, escape(polished(text)))


def _minus(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
