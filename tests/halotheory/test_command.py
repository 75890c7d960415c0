"""How a command ends when it is interrupted."""

import signal
import time
from collections.abc import Callable

import typer

from halotheory.command import INTERRUPTED, run
from halotheory.errors import HaloTheoryError


class _Dying:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def _status_of(body: Callable[[], None]) -> int:
    program = typer.Typer()
    program.command()(body)
    return run(program, HaloTheoryError, [])


def test_an_interruption_ends_the_command() -> None:
    def only() -> None:
        signal.raise_signal(signal.SIGINT)

    assert _status_of(only) == INTERRUPTED


def test_an_interruption_waits_until_an_object_is_finalized() -> None:
    def only() -> None:
        del_me = _Dying()
        del del_me  # Python prints and forgets what is raised in here
        time.sleep(10)

    began = time.monotonic()
    assert _status_of(only) == INTERRUPTED
    assert time.monotonic() - began < 5


def test_an_interruption_that_waits_at_the_end_strikes_nobody() -> None:
    def only() -> None:
        del_me = _Dying()
        del del_me

    assert _status_of(only) == 0
    time.sleep(0.1)
