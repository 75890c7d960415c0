"""Tables on a terminal, plain columns in a pipe, and the cells that every report shares."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO


def print_table(stream: TextIO, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a rich table on a terminal, else columns with two spaces between them."""
    if stream.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for column in header:
            foldable = column in {"run", "subset", "run - baseline", "method"}
            table.add_column(column, overflow="fold", no_wrap=not foldable)
        for row in rows:
            table.add_row(*row)
        Console(file=stream, markup=False).print(table)
        return
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    if title:
        print(title, file=stream)
    for row in (header, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip(), file=stream)
    if title:
        print(file=stream)


def score_cells(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return score, interval and number of items of an estimate's fields."""
    return f"{found['score']:.4f}", interval_cell(found["interval"]), str(found["n"])


def interval_cell(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    """Return an interval to four places, with signs where it is of a difference; "none" where there is none."""
    if interval is None:
        return "none"
    low, high = interval
    return f"[{low:+.4f}, {high:+.4f}]" if signed else f"[{low:.4f}, {high:.4f}]"


def difference_cells(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return difference, interval and wins:losses of a paired difference's fields."""
    interval = interval_cell(found["interval"], signed=True)
    return f"{found['difference']:+.4f}", interval, f"{found['wins']}:{found['losses']}"


def percent(level: float) -> str:
    """Return a level such as 0.95 as people write it: 95%, or 0.9875 where it is no whole number of percent."""
    return f"{level:.0%}" if round(level * 100, 6).is_integer() else f"{level}"


def p_cell(value: float) -> str:
    """Return a p-value to four places."""
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"
