"""Output whose reader may go away, as when `tee` dies or a terminal is closed: the work goes on without."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

_NOBODY_READS = {errno.EPIPE, errno.EIO}
"""What a pipe without a reader answers, and a terminal that was closed."""


@contextlib.contextmanager
def going_on_unheard() -> Iterator[None]:
    """Let nothing that the body prints end it for want of a reader, or of room in a log file."""
    output: Any = _Forgiving(sys.stdout)
    errors: Any = _Forgiving(sys.stderr)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        yield


class _Forgiving:
    """A stream that drops what cannot be written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._forgiven():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._forgiven():
            self._stream.flush()

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _NOBODY_READS:
                self._lead_nowhere()
        except RuntimeError:  # a signal came amid a write that waits, and its handler writes too
            pass

    def _lead_nowhere(self) -> None:
        """Let what waits in the buffer and all that follows go nowhere, also what libraries write by themselves."""
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
