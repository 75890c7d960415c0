"""Tables on a terminal, plain columns in a pipe, and the cells that every report shares."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_NAMES = {"run", "subset", "run - baseline", "method"}


def printable(text: str) -> str:
    """Return a line without characters that a terminal or a page would obey instead of show: escapes, directions."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def print_table(stream: TextIO, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a rich table on a terminal, else columns with two spaces between them."""
    if stream.isatty():
        _print_rich(stream, title, header, rows)
        return
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    if title:
        print(title, file=stream)
    for row in (header, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip(), file=stream)
    if title:
        print(file=stream)


def _print_rich(stream: TextIO, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose names fold; in a terminal too narrow even for that its lines wrap, and nothing is lost."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    needed = 2 * len(header)
    for number, column in enumerate(header):
        cells = [row[number] for row in (header, *rows)]
        foldable = column in _NAMES
        # of a name, a word of more than 24 characters is broken, a shorter one never
        least = min(24, max(len(word) for cell in cells for word in cell.split() or [""])) if foldable else None
        table.add_column(column, overflow="fold", no_wrap=not foldable, min_width=least)
        needed += least or max(map(len, cells))
    for row in rows:
        table.add_row(*row)
    console = Console(file=stream, markup=False)
    if console.width < needed:
        console = Console(file=stream, markup=False, width=needed)
    console.print(table)


def score_cells(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return score, interval and number of items of an estimate's fields."""
    return f"{found['score']:.4f}", interval_cell(found["interval"]), str(found["n"])


def interval_cell(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    """Return an interval to four places, with signs where it is of a difference; "none" where there is none."""
    if interval is None:
        return "none"
    low, high = interval
    return f"[{low:+z.4f}, {high:+z.4f}]" if signed else f"[{low:.4f}, {high:.4f}]"


def difference_cells(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return difference, interval and wins:losses of a paired difference's fields."""
    interval = interval_cell(found["interval"], signed=True)
    return f"{found['difference']:+z.4f}", interval, f"{found['wins']}:{found['losses']}"


def percent(level: float) -> str:
    """Return a level such as 0.95 as people write it: 95%, or 0.9875 where it is no whole number of percent."""
    return f"{level:.0%}" if round(level * 100, 6).is_integer() else f"{level}"


def p_cell(value: float) -> str:
    """Return a p-value to four places."""
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"
