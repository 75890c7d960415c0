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


@contextmanager
def progress(label: str, total: int, *, done: int = 0, show: bool = True, seconds: float = 10.0) -> Iterator[Report]:
    """Give a function that reports progress; `seconds` pass between plain lines, and the last unit has one."""
    if not show:
        yield lambda done, text: None
    elif sys.stderr.isatty():
        with _bar(label, total, done) as report:
            yield report
    else:
        last = time.monotonic()

        def report(done: int, text: str) -> None:
            nonlocal last
            if done == total or time.monotonic() - last >= seconds:
                last = time.monotonic()
                say(f"{label} {done}/{total}  {text}")

        yield report


@contextmanager
def _bar(label: str, total: int, done: int) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)
