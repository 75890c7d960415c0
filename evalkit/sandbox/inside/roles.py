"""What a process in the sandbox does: run a program, serve calls of a function, or check a function over there."""

import builtins
import io
import os
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from . import codec

MESSAGE = 500  # characters of an error that are kept
MEMORY = 77  # exit status of a program that ran out of memory


class Channel:
    """Lines of values to and from another process."""

    def __init__(self, read: int | None, write: int) -> None:
        self._read: BinaryIO | None = os.fdopen(read, "rb") if read is not None else None
        self._write = os.fdopen(write, "wb", buffering=0)

    def send(self, line: bytes) -> None:
        """Write a line, however long.

        Raises:
            OSError: the other side is gone.
        """
        view = memoryview(line)
        while view:
            view = view[self._write.write(view) :]

    def expect_ready(self) -> bool:
        """Return whether the other side says that its limits hold and its program is next."""
        return self._line(16) == b"ready\n"

    def receive(self) -> Any:
        """Return the next value.

        Raises:
            EOFError: the other side is gone.
            codec.CannotCrossError: what came is not a value.
        """
        line = self._line(codec.MAX_BYTES + 1)
        if not line.endswith(b"\n"):
            raise EOFError
        return codec.loads(line)

    def _line(self, limit: int) -> bytes:
        assert self._read is not None
        return self._read.readline(limit)


def run(spec: Mapping[str, Any]) -> None:
    """Run a program as `__main__`, and end with 0, 1 after an exception, or `MEMORY`."""
    ready(spec["report"])
    os.close(spec["report"])
    namespace = {"__name__": "__main__", "__builtins__": builtins}
    try:
        exec(compile(spec["program"], "<program>", "exec"), namespace)  # noqa: S102 (what the sandbox is for)
    except MemoryError as error:
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(MEMORY)


def serve(spec: Mapping[str, Any]) -> None:
    """Define a program's function and answer calls of it, until there are no more."""
    channel = Channel(spec["calls"], spec["report"])
    ready(spec["report"])
    namespace: dict[str, Any] = {}  # no __name__, as code_eval runs completions
    try:
        exec(compile(spec["program"], "<completion>", "exec"), namespace)  # noqa: S102 (what the sandbox is for)
        if (function := namespace.get(spec["entry_point"])) is None:
            raise NameError(f"name {spec['entry_point']!r} is not defined")
    except BaseException as error:
        channel.send(_raised(error))
        return
    channel.send(codec.dumps(("defined",)))
    while True:
        try:
            arguments, keywords = channel.receive()
        except EOFError:
            return
        channel.send(_answer(function, arguments, keywords))


def _answer(function: Any, arguments: Any, keywords: Any) -> bytes:
    try:
        return codec.dumps(("returned", function(*arguments, **keywords)))
    except BaseException as error:
        return _raised(error)


def _raised(error: BaseException) -> bytes:
    kind = "error" if isinstance(error, Exception) else "stop"
    try:
        message = str(error)[:MESSAGE]
    except BaseException:
        message = ""
    return codec.dumps((kind, type(error).__name__[:100], message))


class CompletionError(Exception):
    """The function raised an exception that is not one of Python's own."""


class _Failed(BaseException):
    """The function cannot be called any more, or gave no value: failed, whatever `except Exception` a test has."""


class _NotTested(BaseException):
    """The test cannot be held here: neither passed nor failed."""


def check(spec: Mapping[str, Any]) -> None:
    """Hold a test against the function that another process serves, and report how it ended."""
    report = Channel(None, spec["report"])
    sys.stdout = io.StringIO()  # what tests print is for nobody
    channel = Channel(spec["replies"], spec["calls"])
    started = channel.expect_ready()
    ready(spec["report"])
    verdict = _verdict(spec, channel) if started else ("error", "the sandbox of the completion did not start:")
    report.send(codec.dumps(verdict))


def _verdict(spec: Mapping[str, Any], channel: Channel) -> tuple[str, str]:
    namespace: dict[str, Any] = {}
    try:
        exec(compile(spec["definitions"] + "\n" + spec["test"], "<test>", "exec"), namespace)  # noqa: S102 (data's test)
        test = namespace["check"]
    except BaseException as error:
        return "error", f"the test cannot be defined: {type(error).__name__}: {error}"[:MESSAGE]
    candidate = _Candidate(channel)
    namespace[spec["entry_point"]] = candidate
    try:
        candidate.wait()
        test(candidate)
    except _NotTested as error:
        return "error", str(error)[:MESSAGE]
    except BaseException as error:
        name = "" if isinstance(error, _Failed) else f"{type(error).__name__}: "
        return "failed", f"{name}{error}"[:MESSAGE].rstrip(": ")
    return "passed", ""


class _Candidate:
    """Calls the function of the other process, by value."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def wait(self) -> None:
        """Wait until the program has defined the function."""
        self._result()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            line = codec.dumps((arguments, keywords), strict=True)
        except codec.CameBackError as error:  # that is the function's doing, not the test's
            raise _Failed(str(error)) from None
        except codec.CannotCrossError as error:
            raise _NotTested(f"the test passes what cannot cross to another process: {error}") from None
        try:
            self._channel.send(line)
        except OSError:
            raise _Failed("the completion ended its process") from None
        return self._result()

    def _result(self) -> Any:
        try:
            reply = self._channel.receive()
        except (EOFError, OSError):
            raise _Failed("the completion ended its process") from None
        except codec.CannotCrossError as error:
            raise _Failed(f"the completion sent no value: {error}") from None
        match reply:
            case ("returned", value):
                return value
            case ("defined",):
                return None
            case ("error", str(kind), str(message)):
                raise _python_error(kind)(message)
            case ("stop", str(kind), str(message)):
                raise _Failed(f"{kind}: {message}")
        raise _Failed("the completion sent no reply")


def _python_error(name: str) -> type[Exception]:
    kind = getattr(builtins, name, None)
    refused = (UnicodeError, StopIteration, StopAsyncIteration)  # cannot be made of a message; would end a test's loop
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, refused):
        return kind
    return CompletionError


def ready(report: int) -> None:
    """Tell that the limits hold and that what was asked for is next."""
    os.write(report, b"ready\n")
    sys.stdout.flush()


ROLES = {"run": run, "serve": serve, "check": check}
