"""A place where unknown Python can run and do no harm."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.sandbox.backends import BACKENDS
from evalkit.sandbox.processes import Pipe, Process, Stream, watch
from evalkit.sandbox.records import Ending, Limits, Outcome

REPORT_BYTES = 65_536
_MEMORY_STATUS, _SETUP_STATUS = 77, 125  # of inside/roles.py, inside/launch.py
_OUT_OF_TIME_STATUS = 128 + 24  # SIGXCPU


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """A way to isolate programs that was found to work here; made by `find_sandbox`.

    Attributes:
        kind: `bubblewrap`, `namespaces` or `none`.
    """

    kind: str

    def run(self, program: str, *, limits: Limits | None = None) -> Outcome:
        """Return how a Python program ended. Exit status 0 passes; a hostile program can have that for nothing.

        Args:
            program: source code, run as `__main__` in an empty folder that vanishes afterwards.
            limits: what it may use.
        """
        limits = limits or Limits()
        started = time.monotonic()
        with Pipe() as pipe:
            spec = {"role": "run", "program": program, "report": pipe.write}
            with self.start(spec, [pipe.write], limits) as process:
                pipe.close_write()
                report = Stream(pipe.read, REPORT_BYTES)
                in_time = watch([report, process.stdout, process.stderr], limits.wall_seconds, lambda: False)
                ending, reason = _ending(process, in_time, report, limits)
        return Outcome(
            ending=ending,
            reason=reason,
            stdout=process.stdout.text(),
            stderr=process.stderr.text(),
            seconds=time.monotonic() - started,
        )

    @contextlib.contextmanager
    def start(self, spec: Mapping[str, Any], pass_fds: Sequence[int], limits: Limits) -> Iterator[Process]:
        """Start a process that does what `spec` says, and kill it in the end.

        Args:
            spec: `role` and what that needs, see inside/roles.py.
            pass_fds: pipes that the process may use.
            limits: what it may use.
        """
        with self._folder() as folder:
            start = BACKENDS[self.kind](limits.scratch_bytes)
            full = {**spec, "isolate": start.isolate, "user": start.user, "limits": limits.inside()}
            process = Process(start.command, full, pass_fds, limits.output_bytes, folder)
            try:
                yield process
            finally:
                process.close()

    def _folder(self) -> contextlib.AbstractContextManager[str]:
        """Return the folder that a program starts in; an isolated one moves to a place of its own."""
        if self.kind != "none":
            return contextlib.nullcontext("/")
        return tempfile.TemporaryDirectory(prefix="evalkit-scratch-", ignore_cleanup_errors=True)


def _ending(process: Process, in_time: bool, report: Stream, limits: Limits) -> tuple[Ending, str]:
    if process.stdout.full or process.stderr.full:
        return Ending.TOO_MUCH_OUTPUT, f"more than {limits.output_bytes} bytes"
    status = process.exit_status(1.0 if in_time else 0.0)
    if status is None:
        return Ending.TIMED_OUT, f"after {limits.wall_seconds:g} s"
    if not report.tail.startswith(b"ready"):
        lines = process.stderr.text().strip().splitlines()
        return Ending.ERROR, f"the sandbox did not start: {lines[-1] if lines else f'exit status {status}'}"
    if status == 0:
        return Ending.PASSED, ""
    if status == _MEMORY_STATUS:
        return Ending.OUT_OF_MEMORY, f"more than {limits.memory_bytes} bytes"
    if status == _OUT_OF_TIME_STATUS:
        return Ending.TIMED_OUT, f"after {limits.seconds:g} s of processor time"
    return Ending.FAILED, f"exit status {status}"
