"""The public commands, run as a user would type them, with a record of each."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

INTERRUPTED = 130


class DemoError(Exception):
    """Something a user can set right, in one line."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has run.

    Attributes:
        line: as it was typed.
        seconds: wall time.
    """

    line: str
    seconds: float


def run_command(
    words: list[str], record: Path, *, stdout: Path | None = None, accepted: tuple[int, ...] = (0,)
) -> None:
    """Run `halotheory`, `trainer` or `evalkit` with this interpreter; its progress goes to standard error.

    Args:
        words: the command.
        record: a JSON-lines file of `Finished` commands, which gets one more line; a command that stands there
            keeps the time of its first run, since a repeated one finds its work done.
        stdout: a file for what the command prints; with none it is not kept.
        accepted: exit statuses that are results, not failures.

    Raises:
        DemoError: the command failed, and has said why.
        KeyboardInterrupt: it was interrupted, after it saved what it had.
    """
    line = shlex.join(words) + (f" > {shlex.quote(str(stdout))}" if stdout else "")
    print(f"\n  $ {line}", flush=True)
    began = time.monotonic()
    # so small a model is no faster on more threads, and with more would end elsewhere on every machine
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    with _signals_passed_on() as running:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=subprocess.PIPE, process_group=0, env=environment
        )
        running.append(process)
        printed, _ = process.communicate()
    if process.returncode in {INTERRUPTED, -signal.SIGINT, -signal.SIGTERM}:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
        raise KeyboardInterrupt
    if process.returncode not in accepted:
        raise DemoError(f"`{shlex.join(words[:2])} ...` ended with status {process.returncode}; its message is above")
    if stdout:
        temporary = stdout.with_name(stdout.name + ".part")
        temporary.write_bytes(printed)
        temporary.replace(stdout)
    seconds = time.monotonic() - began
    print(f"    {seconds:.1f} s", flush=True)
    if line not in {one.line for one in read_record(record)}:
        with record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(Finished(line=line, seconds=round(seconds, 1)))) + "\n")


def read_record(record: Path) -> list[Finished]:
    """Return the commands that have run, in order."""
    if not record.exists():
        return []
    return [Finished(**json.loads(line)) for line in record.read_text(encoding="utf-8").splitlines()]


@contextmanager
def _signals_passed_on() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Give a list for the running command, which gets every Ctrl-C once: it lives in a process group of its own."""
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: object) -> None:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield running
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
