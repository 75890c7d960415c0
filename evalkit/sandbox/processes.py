"""Sandboxed processes seen from outside: started, watched against the clock and their output's size, killed."""

import contextlib
import json
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TAIL = 16_384  # bytes of output that are kept
_CHUNK = 1 << 16


class Pipe:
    """A pipe whose two ends are closed once each; used in a `with` statement."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self._open = {self.read, self.write}

    def close_read(self) -> None:
        """Close the end to read from, if it is open."""
        self._close(self.read)

    def close_write(self) -> None:
        """Close the end to write to, if it is open."""
        self._close(self.write)

    def _close(self, end: int) -> None:
        if end in self._open:  # closing a number twice would close what another thread has opened since
            self._open.remove(end)
            os.close(end)

    def __enter__(self) -> "Pipe":
        return self

    def __exit__(self, *error: object) -> None:
        self.close_read()
        self.close_write()


class Stream:
    """The end of what came out of a pipe, and how much came."""

    def __init__(self, descriptor: int, limit: int, keep: int = TAIL) -> None:
        self.descriptor, self.limit, self.keep = descriptor, limit, keep
        self.size = 0
        self.ended = False
        self.tail = b""

    def read(self) -> bool:
        """Take what is there; return whether more may come."""
        chunk = os.read(self.descriptor, _CHUNK)
        self.size += len(chunk)
        self.tail = (self.tail + chunk)[-self.keep :]
        self.ended = not chunk
        return not self.ended

    @property
    def full(self) -> bool:
        """Whether more came than may."""
        return self.size > self.limit

    def text(self) -> str:
        """Return the end of it, as far as it is text."""
        return self.tail.decode("utf-8", "replace")


class Process:
    """A sandboxed process that was given what to do on standard input; everything in it dies with `close`."""

    def __init__(
        self, command: Sequence[str], spec: Mapping[str, Any], pass_fds: Sequence[int], output_bytes: int, folder: str
    ) -> None:
        self._popen = subprocess.Popen(  # noqa: S603 (running what is not trusted, in a sandbox, is its purpose)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            env=_ENVIRONMENT,
            cwd=folder,
            start_new_session=True,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self.stdout = Stream(self._popen.stdout.fileno(), output_bytes)
        self.stderr = Stream(self._popen.stderr.fileno(), output_bytes)
        try:
            with contextlib.suppress(BrokenPipeError), self._popen.stdin as pipe:
                pipe.write(json.dumps(spec).encode("ascii"))
        except BaseException:
            self.close()
            raise

    def exit_status(self, seconds: float = 0.0) -> int | None:
        """Return the exit status (128 + the signal for one killed), waiting for it at most so long; None if it runs.

        The process stays known to the system until `close`, so that its number cannot become another's.
        """
        descriptor = os.pidfd_open(self._popen.pid)
        try:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(1000 * seconds):
                return None
        finally:
            os.close(descriptor)
        ended = os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status

    def close(self) -> None:
        """Kill the process, and with process 1 of its process table all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


_ENVIRONMENT = {"PATH": "/nowhere", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}  # noqa: S108


def watch(streams: Sequence[Stream], seconds: float, finished: Callable[[], bool]) -> bool:
    """Read streams until they end, one of them is full, or `finished` says so; return whether time was left.

    Args:
        streams: what to read; nothing is read beyond a stream's limit.
        seconds: on the wall clock.
        finished: asked after each reading.
    """
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.descriptor, selectors.EVENT_READ, stream)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in selector.select(left):
                if not key.data.read():
                    selector.unregister(key.fd)
                if key.data.full or finished():
                    return True
    return True
