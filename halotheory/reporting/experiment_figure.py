"""The figure of an experiment: panels with intervals, and what was found as its title."""

import io
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from halotheory.experiments.result import Map, Panel, Result, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; line styles and markers tell them apart in print
_LOOKS = [
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1)), "D"),
    ("#E69F00", ":", "v"),
    ("#56B4E9", (0, (3, 1, 1, 1)), "P"),
    ("#000000", (0, (1, 1)), "X"),
]
_WIDTH, _HEIGHT, _LINE = 4.6, 3.6, 0.22  # of a panel and of a line of the title, inches
_CHARACTERS = 11.5  # of the title, per inch
_MOST = 4  # findings that a title holds
_STYLE: Any = {"svg.hashsalt": "halotheory", "svg.fonttype": "path", "font.size": 10, "axes.titlesize": 10}


def draw(result: Result, suffix: str) -> bytes:
    """Return the figure as a file has it; the bytes depend on the result alone.

    Args:
        result: what was found.
        suffix: .svg, .png or .pdf.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    maps = [panel for panel in result.panels if isinstance(panel, Map)]
    charts = [panel for panel in result.panels if isinstance(panel, Panel)]
    columns = len({panel.title for panel in maps}) if maps else _columns_of(len(charts))
    rows = -(-len(result.panels) // columns)
    wide = 2.6 if maps else _WIDTH
    width = max(6.4, wide * columns)
    title = [line for finding in titles(result) for line in wrap(finding, int(width * _CHARACTERS))]
    height = rows * (2.5 if maps else _HEIGHT) + _LINE * len(title)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle("\n".join(title), x=0.01, ha="left", fontsize=11)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=bool(maps), sharey=bool(maps))
        for axes, panel in zip(grid.flat, result.panels, strict=False):
            _draw_map(axes, panel) if isinstance(panel, Map) else _draw_panel(axes, panel)
        for axes in grid.flat[len(result.panels) :]:
            axes.set_visible(False)
        if maps:
            _explain_maps(figure, grid, maps)
        return _written(figure, suffix)


def _columns_of(count: int) -> int:
    return count if count <= 3 else -(-count // 2)


def titles(result: Result) -> list[str]:
    """Return the findings that the title holds, each a sentence."""
    found = [f"{finding[0].upper() if ' ' in finding[:2] else finding[0]}{finding[1:]}." for finding in result.findings]
    rest = len(found) - _MOST
    return found if rest <= 0 else [*found[:_MOST], f"And {rest} more."]


def spoken(result: Result) -> str:
    """Return the figure in words, for those who do not see it."""
    return " ".join(titles(result))


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    if panel.guide is not None:
        axes.axhline(panel.guide, color="0.7", linewidth=0.8, zorder=0)
    if isinstance(panel.series[0].x[0], str):
        _draw_dots(axes, panel)
    else:
        _draw_lines(axes, panel)
    axes.set_title(panel.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_lines(axes: "Axes", panel: Panel) -> None:
    looks = _cycled(len(panel.series), skipped=int(panel.guide is not None))
    for series, (colour, style, marker) in zip(panel.series, looks, strict=True):
        x = np.array(series.x, dtype=float)
        mean, low, high = _columns(series)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, mean, color=colour, linestyle=style, marker=marker, markersize=4, linewidth=1.6, label=series.name)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    _scale(axes, panel)
    axes.legend(frameon=False, fontsize=9)


def _scale(axes: "Axes", panel: Panel) -> None:
    x = sorted({float(place) for series in panel.series for place in series.x})
    if panel.x_scale != "linear" and len(x) > 1:
        axes.set_xscale(panel.x_scale)
    if len(x) <= 12:
        axes.set_xticks(x, [f"{100 * place:g}" if panel.percent else f"{place:g}" for place in x])
        axes.minorticks_off()


def _draw_dots(axes: "Axes", panel: Panel) -> None:
    """Draw a row for each name, the first one on top; several series beside each other."""
    names = [str(name) for name in panel.series[0].x]
    step = 0.7 / len(panel.series)
    for i, (series, (colour, _, marker)) in enumerate(zip(panel.series, _cycled(len(panel.series)), strict=True)):
        mean, low, high = _columns(series)
        y = -np.arange(len(names)) - step * (i - (len(panel.series) - 1) / 2)
        axes.errorbar(
            mean,
            y,
            xerr=np.stack([mean - low, high - mean]),
            fmt=marker,
            color=colour,
            markersize=5,
            capsize=3,
            linewidth=1.4,
            label=series.name,
        )
    axes.set_yticks(-np.arange(len(names)), names)
    axes.set_ylim(-len(names) + 0.4, 0.6)
    axes.set_xlabel(panel.x_label)
    if len(panel.series) > 1:
        axes.legend(frameon=False, fontsize=9)


def _draw_map(axes: "Axes", panel: Map) -> None:
    axes.pcolormesh(panel.x, panel.y, panel.values, cmap="cividis", vmin=0, vmax=1, shading="nearest", rasterized=True)
    if panel.values.min() < 0.5 < panel.values.max():
        axes.contour(panel.x, panel.y, panel.values, levels=[0.5], colors="white", linewidths=1.5)
    if panel.curve is not None:
        axes.plot(*panel.curve, color=_LOOKS[1][0], linestyle=":", linewidth=1.8)
    axes.set_xscale("log")
    axes.set_xlim(panel.x.min(), panel.x.max())
    axes.set_ylim(panel.y.min(), panel.y.max())


def _explain_maps(figure: "Figure", grid: Any, maps: Sequence[Map]) -> None:
    """Name columns, rows, axes and colours, once each."""
    columns = grid.shape[1]
    for i, axes in enumerate(grid[0]):
        axes.set_title(maps[i].title)
    for i, axes in enumerate(grid[:, 0]):
        axes.set_ylabel("\n".join(wrap(maps[i * columns].row, 26)), fontsize=9)
    figure.supxlabel(maps[0].x_label, fontsize=10)
    figure.supylabel(maps[0].y_label, fontsize=10)
    bar = figure.colorbar(grid[0, 0].collections[0], ax=grid, shrink=0.7)
    bar.set_label("probability of the majority's output (white line: 1/2; dotted: 1/2 of DPO)")


def _cycled(count: int, *, skipped: int = 0) -> list[Any]:
    """Return a look for each series; of differences the first contender's is skipped, so that looks stay with names."""
    return [_LOOKS[(i + skipped) % len(_LOOKS)] for i in range(count)]


def _columns(series: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.array([(each.mean, each.low, each.high) for each in series.estimates])
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _written(figure: "Figure", suffix: str) -> bytes:
    content = io.BytesIO()
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}[suffix]
    figure.savefig(content, format=suffix[1:], metadata=metadata, dpi=200)
    return content.getvalue()
