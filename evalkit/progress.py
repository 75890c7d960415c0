"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts finished items of a run and shows how many are left; used in a `with` statement."""

    def __init__(self, total: int, *, show: bool = True) -> None:
        self.total, self.done = total, 0
        self._started = self._last_line = time.monotonic()
        self._skipped = 0
        self._stream = sys.stderr
        self._show = show
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        if self._show and self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(file=self._stream), transient=True)
            self._task = self._bar.add_task("starting", total=self.total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, message: str) -> None:
        """Show a line."""
        if self._show:
            self._bar.console.print(message) if self._bar is not None else self._line(message)

    def skip(self, items: int) -> None:
        """Count items that an earlier start of this run has finished."""
        self._skipped += items
        self.reach(self.done + items, "")

    def reach(self, done: int, what: str) -> None:
        """Show that `done` items are finished, now within the subtask `what`."""
        self.done = done
        if not self._show:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=what or "starting")
        elif what and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._line(f"  {what}: {done} of {self.total} items, about {self._left()} left")

    def _left(self) -> str:
        elapsed, fresh = time.monotonic() - self._started, self.done - self._skipped
        seconds = round(elapsed / max(fresh, 1) * (self.total - self.done))
        return f"{seconds} s" if seconds < 100 else f"{round(seconds / 60)} min"

    def _line(self, message: str) -> None:
        self._last_line = time.monotonic()
        print(message, file=self._stream, flush=True)
