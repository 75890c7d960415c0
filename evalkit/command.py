"""How a command of evalkit ends: one line on standard error, the exit status."""

import sys
import traceback
from collections.abc import Sequence
from typing import cast

import typer

from evalkit.errors import EvalkitError
from evalkit.tables import printable

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130

# BadParameter, its parent UsageError, and the parent of every message that typer means for users
_SHOWN_TO_USERS = cast("type[Exception]", typer.BadParameter.__mro__[2])


def run_command(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of one command line: 0, 2 for bad usage or bad input, 130 when interrupted.

    Anything else that is raised is a bug and shows its traceback; `--debug` shows every traceback.

    Args:
        app: the commands.
        arguments: the words after the program's name; those of this process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        status = app(args=words or ["--help"], standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (EvalkitError, _SHOWN_TO_USERS) as error:
        if debug:
            traceback.print_exc()
        shown = getattr(error, "format_message", error.__str__)
        return _end(" ".join(shown().split()), BAD_INPUT)
    if status == INTERRUPTED:  # typer may also return it
        return _end("interrupted; the same command goes on from here", INTERRUPTED)
    return int(status or DONE) if words else BAD_INPUT


def _end(message: str, status: int) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)  # it may quote a server or a file
    return status
