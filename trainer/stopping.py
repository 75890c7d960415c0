"""A polite stop: the first signal ends the run after its step, a second SIGINT at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.progress import say


@contextmanager
def told_to_stop() -> Iterator[list[int]]:
    """Give a list that fills when SIGINT, SIGTERM or SIGHUP arrives; a second SIGINT interrupts at once.

    SIGHUP, which a closed terminal sends, stays ignored where it is ignored, as under nohup.
    """
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        if number == signal.SIGINT and signal.SIGINT in told:
            raise KeyboardInterrupt
        told.append(number)
        if len(told) == 1:
            say("stopping after this step, with a checkpoint; a second Ctrl-C gives that up")

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        yield told
        return
    before = {number: signal.signal(number, tell) for number in _polite()}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _polite() -> list[signal.Signals]:
    """Return the signals that ask for an end; Windows has no SIGHUP."""
    asked = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in asked if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN]
