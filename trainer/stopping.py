"""A polite stop: the first signal ends the run after its step, a second SIGINT at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.progress import say


@contextmanager
def told_to_stop() -> Iterator[list[int]]:
    """Give a list that fills when SIGINT or SIGTERM arrives; a second SIGINT interrupts at once."""
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        if number == signal.SIGINT and signal.SIGINT in told:
            raise KeyboardInterrupt
        if not told:
            say("stopping after this step")
        told.append(number)

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        yield told
        return
    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
