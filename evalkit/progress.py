"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

from evalkit.tables import printable

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts finished items of a run and shows how many are left; used in a `with` statement."""

    def __init__(self, *, show: bool = True) -> None:
        self.total = self.done = self._skipped = 0
        self._started = self._last_line = time.monotonic()
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
            console = Console(file=self._stream, markup=False, highlight=False)
            self._bar = Bar(*columns, console=console, transient=True)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, total: int, finished: int = 0) -> None:
        """Begin to count to `total` items, of which an earlier start of the run has finished some."""
        self.total, self.done, self._skipped = total, finished, finished
        self._started = self._last_line = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task("loading the model", total=total, completed=finished)

    def skip(self, items: int) -> None:
        """Leave items that an earlier start has finished out of the estimate of the time left."""
        self._skipped += items

    def say(self, message: str) -> None:
        """Show a line, without what a terminal would obey."""
        message = "\n".join(map(printable, message.split("\n")))
        if self._bar is not None:
            self._bar.console.print(message)
        elif self._show:
            print(message, file=self._stream, flush=True)

    def reach(self, done: int, what: str) -> None:
        """Show that `done` items are finished, now within the subtask `what`."""
        self.done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=what)
        elif self._show and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.say(f"  {what}: {done} of {self.total} items{self._left()}")

    def _left(self) -> str:
        """Return the time left, by the pace since the start; "" before anything is finished."""
        elapsed, fresh = time.monotonic() - self._started, self.done - self._skipped
        if fresh < 1:
            return ""
        seconds = round(elapsed / fresh * (self.total - self.done))
        return f", about {seconds} s left" if seconds < 100 else f", about {round(seconds / 60)} min left"
