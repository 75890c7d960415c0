"""How a command ends: results on standard output, one-line errors on standard error, the exit status."""

import _thread
import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TextIO, cast

import typer

from halotheory.deadline import finalizing

DONE, ANSWER_IS_NO, BAD_INPUT, UNDECIDED, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141

_AGAIN = 0.05  # seconds until an interruption that Python would have swallowed is tried again

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# typer's usage errors share a base class that has no public name of its own
_USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[2])


def run(app: typer.Typer, input_error: type[Exception], arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of one command line.

    Bad usage, `input_error` and a full disk become one line on standard error and status 2, an interruption status
    130, a reader of the output that went away status 141; anything else is a bug and shows its traceback. `--debug`
    anywhere on the line shows every traceback.

    Args:
        app: the commands.
        input_error: the package's base error.
        arguments: the words after the program's name; those of this process by default.
    """
    sys.stdout, sys.stderr = _opened(sys.stdout), _opened(sys.stderr)
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        status = _status(app, input_error, [word for word in words if word != "--debug"], debug=debug)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # whoever read the output has seen enough; typer then wants to exit
        _discard_output()
        return PIPE_CLOSED
    except OSError as error:
        if debug or error.errno not in _FULL:
            raise
        _discard_output()
        return _fail(f"{error.filename or 'standard output'}: cannot be written: {error.strerror}", BAD_INPUT)
    return status


def _status(app: typer.Typer, input_error: type[Exception], words: list[str], *, debug: bool) -> int:
    bare = not words and len(app.registered_commands) > 1  # a program of one command needs no words
    try:
        with _interruptible():
            status = app(args=["--help"] if bare else words, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (input_error, _USAGE_ERROR) as error:
        if debug:
            traceback.print_exc()
        return _fail(_one_line(error), BAD_INPUT)
    if status == INTERRUPTED:  # typer may also return it
        return _fail("interrupted", INTERRUPTED)
    return BAD_INPUT if bare else int(status or DONE)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C wait in the body while an object is being finalized, where Python would swallow it."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    waiting: list[threading.Timer] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not finalizing(frame):
            raise KeyboardInterrupt
        waiting.append(threading.Timer(_AGAIN, _interrupt_main))
        waiting[-1].daemon = True
        waiting[-1].start()

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for timer in waiting:
            timer.cancel()


def _interrupt_main() -> None:
    if hasattr(signal, "pthread_kill"):  # unlike the other, it wakes a thread that sleeps
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _opened(stream: TextIO | None) -> TextIO:
    """Return the stream; in place of one that was closed before the program began, nowhere."""
    return stream if stream is not None else open(os.devnull, "w", encoding="utf-8")


def _discard_output() -> None:
    """Let what is left in standard output's buffer go nowhere, so that leaving does not fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _one_line(error: BaseException) -> str:
    format_message = getattr(error, "format_message", None)
    message = format_message() if format_message else str(error)
    return " ".join(message.split())


def _fail(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
