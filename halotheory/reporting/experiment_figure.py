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
_WIDTH, _HEIGHT, _LINE = 4.6, 3.4, 0.22  # of a panel and of a line of the title, inches
_MAP_WIDTH, _MAP_HEIGHT = 2.3, 1.9
_CHARACTERS = 11.5  # of the title, per inch
_LABEL = 36  # characters in a line of a label beside a panel
_MOST = 3  # findings that a title holds
_APART = 4.0  # between the markers of series that share a place across, points
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
    wide, high = (_MAP_WIDTH, _MAP_HEIGHT) if maps else (_WIDTH, _HEIGHT)
    width = max(6.4, wide * columns)
    title = [line for claim in titles(result) for line in wrap(claim, int(width * _CHARACTERS))]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, rows * high + _LINE * (len(title) + 1)), layout="constrained")
        figure.suptitle("\n".join(title), x=0.01, ha="left", fontsize=11)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=bool(maps), sharey=bool(maps))
        for axes, panel in zip(grid.flat, result.panels, strict=False):
            _draw_map(axes, panel) if isinstance(panel, Map) else _draw_panel(axes, panel)
        for axes in grid.flat[len(result.panels) :]:
            axes.set_visible(False)
        if maps:
            _explain_maps(figure, grid, maps)
        else:
            figure.supxlabel(_explained(charts), x=0.01, ha="left", fontsize=9, color="0.35")
        return _written(figure, suffix)


def _columns_of(count: int) -> int:
    return count if count <= 3 else -(-count // 2)


def _explained(charts: Sequence[Panel]) -> str:
    """Return what markers and bars are."""
    count = charts[0].series[0].estimates[0].count
    return f"markers: means of {count} replications; bars: Student's t intervals of 95 %, not adjusted"


def titles(result: Result) -> list[str]:
    """Return what the title says, each a sentence: the claim, or the first findings."""
    if result.claim:
        return [f"{result.claim[0].upper()}{result.claim[1:]}."]
    found = [f"{finding}." for finding in result.findings]
    rest = len(found) - _MOST
    return found if rest <= 0 else [*found[:_MOST], f"{rest} more in the list of findings."]


def spoken(result: Result) -> str:
    """Return the figure in words, for those who do not see it."""
    return " ".join(titles(result))


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    if panel.guide is not None:
        axes.axhline(panel.guide, color="0.5", linewidth=0.8, zorder=0)
    if isinstance(panel.series[0].x[0], str):
        _draw_dots(axes, panel)
    else:
        _draw_lines(axes, panel)
    axes.set_title(panel.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_lines(axes: "Axes", panel: Panel) -> None:
    """Draw a line with bars for each series, side by side where they share places, so that no bar hides another."""
    from matplotlib.transforms import ScaledTranslation

    assert axes.figure is not None
    looks = _cycled(len(panel.series), skipped=int(panel.guide is not None))
    for i, (series, (colour, style, marker)) in enumerate(zip(panel.series, looks, strict=True)):
        mean, low, high = _columns(series)
        aside = _APART * (i - (len(panel.series) - 1) / 2) / 72
        axes.errorbar(
            np.array(series.x, dtype=float),
            mean,
            yerr=np.stack([mean - low, high - mean]),
            color=colour,
            linestyle=style,
            marker=marker,
            markersize=4.5,
            linewidth=1.5,
            elinewidth=1.1,
            capsize=2.5,
            label=series.name,
            transform=axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans),
        )
        axes.update_datalim([(float(x), y) for y in (*low, *high) for x in series.x])  # not done for moved artists
    axes.margins(x=0.06)
    axes.autoscale_view()
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel("\n".join(wrap(panel.y_label, _LABEL)))
    _scale(axes, panel)
    axes.legend(frameon=False, fontsize=9, title=panel.legend or None, title_fontsize=9, alignment="left")


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
    from matplotlib.patheffects import Normal, Stroke

    axes.pcolormesh(panel.x, panel.y, panel.values, cmap="cividis", vmin=0, vmax=1, shading="nearest", rasterized=True)
    if panel.values.min() < 0.5 < panel.values.max():
        axes.contour(panel.x, panel.y, panel.values, levels=[0.5], colors="white", linewidths=2.5)
    if panel.curve is not None:
        outlined = [Stroke(linewidth=2.6, foreground="white"), Normal()]
        axes.plot(*panel.curve, color="black", linestyle=":", linewidth=1.4, path_effects=outlined)
    axes.set_xscale("log")
    axes.set_xlim(panel.x.min(), panel.x.max())
    axes.set_ylim(panel.y.min(), panel.y.max())


def _explain_maps(figure: "Figure", grid: Any, maps: Sequence[Map]) -> None:
    """Name columns, rows, axes and colours, once each."""
    columns = grid.shape[1]
    for i, axes in enumerate(grid[0]):
        axes.set_title(maps[i].title)
    for i, axes in enumerate(grid[:, 0]):
        axes.set_ylabel("\n".join(wrap(maps[i * columns].row, 22)), fontsize=9)
    figure.supxlabel(maps[0].x_label, fontsize=10)
    figure.supylabel(maps[0].y_label, fontsize=10)
    bar = figure.colorbar(grid[0, 0].collections[0], ax=grid, shrink=0.6, pad=0.03)
    bar.set_label("probability of the majority's output\n(solid white line: 1/2; dotted: 1/2 of DPO)")


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
