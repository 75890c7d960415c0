"""A loss file checked in a child process: whatever the file does ends in a verdict or in one line of error."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from halotheory.errors import HaloTheoryError
from halotheory.findings import Construction, Finding, Status, Verdict

DEFAULT_TIMEOUT = 60.0
"""Seconds that importing and checking a file may take."""

DEFAULT_MEMORY = 4.0
"""Gibibytes by which a file may grow the process."""

_START = 120.0  # seconds to start the child and import the checker, before the file's own time begins
_GRACE = 2.0  # seconds in which a check whose time is over may still say "undecided"
_FAREWELL = 5.0  # seconds for the child to kill what it started
_DUMP = 0.3  # seconds for the child to say where it is
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from halotheory.child import main; main()"

Progress = Callable[[str, float], None]
"""Told a few times a second what the child is doing, and for how many seconds it has been."""


def is_file(spec: str) -> bool:
    """Return whether a loss is named by its file (`my_loss.py`, `my_loss.py:name`), not as a built-in."""
    return _path(spec).suffix == ".py"


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What a child process found of a file.

    Attributes:
        verdict: what was decided.
        observed: the loss of one example by its log-ratio, where it was asked for.
    """

    verdict: Verdict
    observed: Mapping[str, Sequence[tuple[float, float]]]


def check_file_isolated(spec: str, **options: Any) -> Verdict:
    """Return the verdict on the loss in a file; the options and errors are those of `examine_file_isolated`."""
    return examine_file_isolated(spec, **options).verdict


def examine_file_isolated(
    spec: str,
    *,
    settings: Mapping[str, float] | None = None,
    strict: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    memory: float = DEFAULT_MEMORY,
    lenient: bool = False,
    observe: bool = False,
    progress: Progress | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Examined:
    """Return what was found of the loss in a file, which is imported and run in a child process only.

    A file that loops, exits, crashes, eats memory or starts processes ends in an error that names what it was doing
    and, where it can be found, its line; all processes that it started are killed. What it prints goes to the
    standard error of this process. This keeps accidents away from the caller; it is no wall against an attack.

    Args:
        spec: a file, or `file.py:name`.
        settings: hyperparameters to change.
        strict: count a HALO that needs a relaxation as none.
        timeout: seconds for importing and checking the file, after which what is open stays undecided.
        memory: gibibytes that the file and its check may take (enforced on Linux).
        lenient: pass over settings that the loss does not have.
        observe: whether to run the loss over log-ratios, too.
        progress: told what is going on.
        meanwhile: called once, while the child starts.

    Raises:
        HaloTheoryError: no such file, a loss that cannot be read, or a child that gave no answer.
    """
    if not _path(spec).is_file():
        raise HaloTheoryError(f"{_path(spec)}: no such file")
    request = {
        "loss": spec,
        "settings": dict(settings or {}),
        "strict": strict,
        "timeout": timeout,
        "memory": memory,
        "lenient": lenient,
        "observe": observe,
    }
    with _Child(request) as child:
        meanwhile()
        answer = child.answer(timeout, progress or (lambda stage, seconds: None))
    if "verdict" in answer:
        return Examined(verdict=verdict_from(answer["verdict"]), observed=answer["observed"])
    error = HaloTheoryError(_explained(answer, spec, timeout))
    if "trace" in answer:
        error.add_note(f"In the child process:\n{answer['trace']}")
    raise error


def verdict_from(printed: Mapping[str, Any]) -> Verdict:
    """Return the record whose `as_dict` this is."""
    conditions = [Finding(**{**found, "status": Status(found["status"])}) for found in printed["conditions"]]
    made = printed["construction"]
    construction = None if made is None else Construction(**made)
    return Verdict(**{**printed, "conditions": conditions, "construction": construction})


class _Child:
    """The child process, from its start to the end of everything that it started."""

    def __init__(self, request: Mapping[str, object]) -> None:
        self._secret = os.urandom(16).hex()
        self._request = {**request, "secret": self._secret}
        self._frames: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._dump: list[str] = []

    def __enter__(self) -> "_Child":
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with _standard_error() as errors:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own code
                [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(self._request).encode() + b"\n")
            self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask the child to end, which kills what it started; then see to it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            _kill_group(self._process.pid)
            self._process.wait()
        self._reader.join(_FAREWELL)
        if not self._reader.is_alive():
            self._process.stdout.close()

    def answer(self, timeout: float, progress: Progress) -> dict[str, Any]:
        """Return what the child said last, or what kept it from saying anything."""
        stage, worker = "starting", None
        began = time.monotonic()
        end = began + _START
        while True:
            frame = self._next(end, stage, began, progress)
            if frame is None:
                where = self._where(worker)
                return {"silent": stage, "dump": where}
            if "stage" not in frame:
                return {"stage": stage, "dump": self._dump, **frame}
            if worker is None:
                worker, began = frame.get("pid"), time.monotonic()
            stage = frame["stage"]
            end = began + timeout + (_GRACE if stage == "checking the loss" else 0)

    def _next(self, end: float, stage: str, began: float, progress: Progress) -> dict[str, Any] | None:
        """Return the next thing said, or None at the end of time."""
        while (now := time.monotonic()) < end:
            with contextlib.suppress(queue.Empty):
                return self._frames.get(timeout=min(0.25, end - now))
            progress(stage, time.monotonic() - began)
        return None

    def _where(self, worker: int | None) -> list[str]:
        """Return the lines in which a silent child tells where it is."""
        if worker is not None and hasattr(signal, "SIGUSR1"):
            with contextlib.suppress(OSError):
                os.kill(worker, signal.SIGUSR1)
                time.sleep(_DUMP)
        return self._dump

    def _read(self) -> None:
        """Sort the lines of the child: what it says, and what faulthandler dumps."""
        assert self._process.stdout is not None
        for line in _lines(self._process.stdout):
            text = line.decode(errors="replace").strip()
            head, said, message = text.partition(f"{self._secret} ")
            if said:
                self._frames.put(json.loads(message))
            elif head:
                self._dump = [*self._dump[-200:], text]
        self._frames.put({"ended": None})


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    with contextlib.suppress(ValueError, OSError):  # closed while reading
        yield from stream


@contextlib.contextmanager
def _standard_error() -> Iterator[int | IO[bytes]]:
    """Yield where the child's prints go: descriptor 2, or nowhere if it is closed."""
    try:
        os.fstat(2)
    except OSError:
        yield subprocess.DEVNULL
    else:
        yield 2


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.killpg(pid, signal.SIGKILL)


def _path(spec: str) -> Path:
    head, colon, tail = spec.rpartition(":")
    return Path(head if colon and tail.isidentifier() else spec)


def _explained(answer: Mapping[str, Any], spec: str, timeout: float) -> str:
    """Return one line for an answer that is no verdict."""
    if "memory" in answer:
        place = re.match(r".*?\.py:\d+", answer["error"])
        return (
            f"{place[0] if place else _path(spec)}: needed more than {answer['memory']:g} GiB of memory, "
            f"while {answer['stage']}; a loss handles a few numbers only, build nothing large in its file"
        )
    if "error" in answer:
        return answer["error"]
    if "fault" in answer:
        return f"{spec}: the checker failed, which is a fault of its own: {answer['fault']}; --debug shows where"
    place = _place(answer["dump"], _path(spec))
    if "silent" in answer:
        doing, seconds = answer["silent"], _START if answer["silent"] == "starting" else timeout
        return f"{place}: no answer within {seconds:g} s, while {doing}; a loop without end?"
    return f"{place}: {_ending(answer['ended'])}, while {answer['stage']}; a loss file must not end the process"


def _place(dump: list[str], path: Path) -> str:
    """Return the file, with the line that a dump names last for it."""
    for line in dump:
        found = re.match(r'File "(.*)", line (\d+) in', line)
        if found and _same(found[1], path):
            return f"{path}:{found[2]}"
    return str(path)


def _same(one: str, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _ending(status: int | None) -> str:
    if status is None:
        return "the process was killed"
    if status >= 0:
        return f"the process ended with exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    remark = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"the process ended with {name}{remark}"
