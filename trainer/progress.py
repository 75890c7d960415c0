"""Progress on standard error: a live bar in a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Report(Protocol):
    """Told how far the work is."""

    def __call__(self, done: int, text: str) -> None:
        """Show that `done` units are done, and how things stand."""


def say(text: str) -> None:
    """Print one line on standard error."""
    print(text, file=sys.stderr, flush=True)


def silent(text: str) -> None:
    """Say nothing: another process speaks for all."""


@contextmanager
def progress(label: str, total: int, *, done: int = 0, show: bool = True, seconds: float = 10.0) -> Iterator[Report]:
    """Give a function that reports progress; `seconds` pass between plain lines, and the last unit has one."""
    if not show:
        yield lambda done, text: None
    elif sys.stderr.isatty():
        with _bar(label, total, done) as report:
            yield report
    else:
        yield _lines(label, total, done, seconds)


def _lines(label: str, total: int, first: int, seconds: float) -> Report:
    """Return a report by plain lines, with the time left as the units so far let expect."""
    began = last = time.monotonic()
    ended = False

    def report(done: int, text: str) -> None:
        nonlocal last, ended
        now = time.monotonic()
        ends = done == total and not ended
        if not ends and now - last < seconds:
            return
        last, ended = now, ended or ends
        left = ""
        if first < done < total:
            left = f"  {duration((now - began) / (done - first) * (total - done))} left"
        say(f"{label} {done}/{total}  {text}{left}")

    return report


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds: 1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _bar(label: str, total: int, done: int) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        TextColumn(label),
        BarColumn(bar_width=None, table_column=Column(ratio=1, max_width=40)),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=Console(stderr=True), expand=True) as bar:
        task = bar.add_task(label, total=total, completed=done, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)
