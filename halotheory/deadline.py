"""The time that a check may take."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_AGAIN = 0.05  # seconds until an alarm that had to be let pass, or was swallowed, is raised again


class Deadline:
    """The time left to a check."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def at_most(self, seconds: float) -> "Deadline":
        """Return the deadline of a part that may take this long, and no longer than the whole."""
        return Deadline(min(seconds, self.left()))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the body after this long, even inside SymPy; in the main thread of Unix only.

    Limits nest: an outer one that is earlier holds, and goes on after the inner body.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if not finalizing(frame):
            raise TimeoutError

    outer, _ = signal.getitimer(signal.ITIMER_REAL)
    began = time.monotonic()
    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(min(seconds, outer or seconds), 1e-3), _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - began), 1e-3), _AGAIN)


def in_time(deadline: Deadline, do: Callable[[], T], late: T) -> T:
    """Return what `do` returns, or `late` where the deadline passes first, by whatever name the alarm surfaces.

    An interrupted library may turn the alarm into an exception of its own; one that comes in time is passed on.
    """
    try:
        with time_limit(deadline.left()):
            return do()
    except Exception:
        if deadline.left() > 0:
            raise
        return late


def finalizing(frame: FrameType | None) -> bool:
    """Return whether an object is being finalized, or garbage collected, where Python would swallow the exception.

    So it is where an object of z3 is being built: its finalizer would fail on what is not there yet; and where a
    thread is being started, which would not find itself among the started ones.
    """
    while frame is not None:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        callback = name in {"__del__", "gc_callback"} or file.endswith(("weakref.py", "_weakrefset.py"))
        built = name == "__init__" and file.endswith("z3.py")
        started = name == "start" and file.endswith("threading.py")
        if callback or built or started:
            return True
        frame = frame.f_back
    return False
