"""An experiment's result as text for a terminal, as a table, and as a page."""

import csv
import io
import math
from base64 import b64encode
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from halotheory import __version__
from halotheory.experiments.result import Comparison, Measurement, Result
from halotheory.experiments.statistics import Estimate
from halotheory.reporting.document import render_page
from halotheory.reporting.experiment_figure import draw, spoken

_COLOURS = {"higher": "green", "lower": "red", "not shown": "dim"}
_COLUMNS = ("condition", "contender", "measure", "mean", "low", "high", "count")


def render(result: Result) -> Group:
    """Return the whole result for a terminal: findings, means, paired differences, what was held equal."""
    parts: list[RenderableType] = [
        Text(result.question, style="bold"),
        *(Text(f"- {finding}") for finding in result.findings),
        Text("\nmeans, 95 % intervals", style="bold"),
        _inset(_table(*means(result))),
    ]
    if result.comparisons:
        parts += [
            Text("\npaired differences on the same worlds and data; p adjusted by Holm over all of them", style="bold"),
            _inset(_coloured(*differences(result))),
        ]
    parts += [Text("\nheld equal", style="bold"), *_listed(result.held_equal)]
    parts += [Text("\nnotes", style="bold"), *_listed(result.notes)] if result.notes else []
    return Group(*parts, Text(f"\n{result.seconds:.1f} s", style="dim"))


def table(result: Result) -> str:
    """Return the measurements as CSV."""
    written = io.StringIO()
    writer = csv.DictWriter(written, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in result.measurements:
        key, found = each.key, each.estimate
        writer.writerow(
            {
                "condition": key.condition,
                "contender": key.contender,
                "measure": key.measure,
                "mean": f"{found.mean:.6g}",
                "low": f"{found.low:.6g}",
                "high": f"{found.high:.6g}",
                "count": found.count,
            }
        )
    return written.getvalue()


def page(result: Result) -> str:
    """Return the result as a page that needs no network."""
    return render_page(
        "simulation.html.j2",
        result=result,
        drawing=b64encode(draw(result, ".svg")).decode("ascii"),
        spoken=spoken(result),
        means=means(result),
        differences=differences(result),
        version=__version__,
    )


Rows = tuple[Sequence[str], Sequence[Sequence[str]]]
"""A table's head and its rows."""


def means(result: Result) -> Rows:
    """Return the means with their intervals as a table."""
    return (result.axis, "", *measures(result.measurements)), list(_rows(result.measurements))


def differences(result: Result) -> Rows:
    """Return the paired differences as a table."""
    return (result.axis, "", "measure", "difference", "adjusted p", ""), list(map(_difference, result.comparisons))


def measures(measurements: Iterable[Measurement]) -> list[str]:
    """Return the names of measures in the order of their first appearance."""
    return list(dict.fromkeys(each.key.measure for each in measurements))


def interval(found: Estimate) -> str:
    """Return a mean with its interval."""
    places = decimals(found)
    return f"{found.mean:.{places}f} [{found.low:.{places}f}, {found.high:.{places}f}]"


def decimals(found: Estimate) -> int:
    """Return how many decimals to show: three, or two significant digits of half the interval."""
    half = (found.high - found.low) / 2
    return 3 if half <= 0 else min(6, max(3, 1 - math.floor(math.log10(half))))


def small(p_value: float) -> str:
    """Return a p-value; one that is tiny as such."""
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.4f}"


def _rows(measurements: Iterable[Measurement]) -> Iterable[list[str]]:
    names = measures(list(measurements))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for each in measurements:
        where = rows.setdefault((each.key.condition, each.key.contender), {})
        where[each.key.measure] = interval(each.estimate)
    for (condition, contender), found in rows.items():
        yield [condition, contender, *(found.get(name, "") for name in names)]


def _difference(each: Comparison) -> list[str]:
    first, second = each.first, each.second
    who = [name for name in ("condition", "contender") if getattr(first, name) != getattr(second, name)]
    whom = " less ".join(", ".join(getattr(key, name) for name in who) for key in (first, second))
    where = "" if "condition" in who else first.condition
    found = each.difference
    places = decimals(found)
    numbers = f"{found.mean:+.{places}f} [{found.low:+.{places}f}, {found.high:+.{places}f}]"
    return [where, whom, first.measure, numbers, small(each.adjusted), each.direction]


def _coloured(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    made = _table(head, ())
    for *words, direction in rows:
        made.add_row(*map(Text, words), Text(direction, _COLOURS[direction]))
    return made


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def _inset(made: Table) -> Padding:
    return Padding(made, (0, 0, 0, 2))


def _listed(sentences: Iterable[str]) -> list[Padding]:
    return [Padding(Text(f"- {sentence}"), (0, 0, 0, 2)) for sentence in sentences]
