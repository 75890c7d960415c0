"""A function over many inputs in several threads, which end with the one that reads their results."""

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

Input = TypeVar("Input")
Output = TypeVar("Output")


def in_threads(
    function: Callable[[Input], Output], inputs: Sequence[Input], threads: int
) -> Generator[tuple[Input, Output], None, None]:
    """Yield (input, output) as outputs come. When the reader stops, no further input is begun.

    The threads are daemons: an interrupted process does not wait for the calls in flight.

    Args:
        function: called from several threads at once.
        inputs: taken in order.
        threads: at most so many calls at a time.

    Raises:
        Exception: what the function raises.
    """
    waiting: queue.SimpleQueue[Input] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Input, Output] | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()
    for one in inputs:
        waiting.put(one)

    def work() -> None:
        while not stopped.is_set():
            try:
                one = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((one, function(one)))
            except BaseException as error:
                done.put(error)
                return

    for _ in range(min(threads, len(inputs))):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in inputs:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        stopped.set()
