"""How a command ends: results on standard output, one-line errors on standard error, the exit status."""

import sys
import traceback
from collections.abc import Sequence
from typing import cast

import typer

DONE, ANSWER_IS_NO, BAD_INPUT, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130

# typer's usage errors share a base class that has no public name of its own
_USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[2])


def run(app: typer.Typer, input_error: type[Exception], arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of one command line.

    Bad usage and `input_error` become one line on standard error and status 2, an interruption status 130;
    anything else is a bug and shows its traceback. `--debug` anywhere on the line shows every traceback.

    Args:
        app: the commands.
        input_error: the package's base error.
        arguments: the words after the program's name; those of this process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    bare = not words and len(app.registered_commands) > 1  # a program of one command needs no words
    try:
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


def _one_line(error: BaseException) -> str:
    format_message = getattr(error, "format_message", None)
    message = format_message() if format_message else str(error)
    return " ".join(message.split())


def _fail(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
