"""The child process in which a loss file runs: what it may use, what it answers, and how all of it ends.

Two processes, so that nothing outlives a check. The first stays small: it starts the second, waits, and kills whatever
descends from it. The second imports the checker, bounds its own memory, runs the user's file, and answers.

Standard input carries the request, and its end says that the asking process is gone. Standard output carries lines that
begin with a secret of the request; whatever else is written there is a dump of faulthandler. The file's own standard
output is standard error.
"""

import contextlib
import faulthandler
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

_PR_SET_CHILD_SUBREAPER = 36  # Linux: orphans below this process become its children
_HIGH = 100  # the answers' descriptor, out of the way of code that writes to 3
_PATIENCE = 2.0  # seconds for descendants to die
_LOOK = 0.02  # seconds between two looks at the second process


def main() -> NoReturn:
    """Answer the one request on standard input, and leave nothing behind."""
    request = json.loads(_first_line(0))
    answers = _kept_apart()
    if not hasattr(os, "fork"):
        _work(request, answers)
    _adopt_orphans()
    worker = os.fork()
    if worker == 0:
        os.setpgid(0, 0)  # a file that kills its group kills itself alone
        _work(request, answers)
    status = _wait(worker)
    _kill_descendants(worker)
    if status is not None:
        _say(answers, request["secret"], {"ended": os.waitstatus_to_exitcode(status)})
    os._exit(0)


def _work(request: Mapping[str, Any], answers: int) -> NoReturn:
    """Run the check and answer; end without running what the user's file left to run at exit."""
    me, secret, leave = os.getpid(), request["secret"], os._exit

    def say(message: Mapping[str, object]) -> None:
        if os.getpid() == me:  # a fork of the user's file comes back here too
            _say(answers, secret, message)

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    faulthandler.enable(answers, all_threads=False)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, answers, all_threads=True)
    try:
        say(_answer(request, say))
    except BaseException as error:
        say(_failure(error, request))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    leave(0)


def _answer(request: Mapping[str, Any], say: Any) -> dict[str, object]:
    import torch

    from halotheory.checking import check
    from halotheory.contract import load_loss

    torch.set_num_threads(1)
    _bound_memory(request["memory"])
    say({"stage": "importing the file", "pid": os.getpid()})
    began = time.monotonic()
    loss = load_loss(request["loss"])
    settings = request["settings"]
    if request["lenient"]:
        settings = {name: value for name, value in settings.items() if name in loss.hyperparameters}
    say({"stage": "checking the loss"})
    spent, timeout = time.monotonic() - began, request["timeout"]
    left = timeout if spent < timeout / 10 else round(max(timeout - spent, 0.1), 1)
    verdict = check(loss, settings=settings, strict=request["strict"], timeout=left)
    observed: Any = {}
    if request["observe"]:
        from halotheory.reporting.observed import observe

        say({"stage": "observing the loss"})
        observed = observe(loss.with_settings(settings))
    return {"verdict": verdict.as_dict(), "observed": observed}


def _failure(error: BaseException, request: Mapping[str, Any]) -> dict[str, object]:
    """Return what to tell of an error: bad input in its own words, lack of memory, or a fault of the checker's."""
    from halotheory.errors import HaloTheoryError

    trace = "".join(traceback.format_exception(error))
    if _lacks_memory(error):
        return {"memory": request["memory"], "error": str(error), "trace": trace}
    if isinstance(error, HaloTheoryError):
        return {"error": str(error), "trace": trace}
    if not isinstance(error, Exception):  # KeyboardInterrupt and its like, which only the file can have raised
        last = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{last.filename}:{last.lineno}: raised {type(error).__name__}", "trace": trace}
    return {"fault": f"{type(error).__name__}: {' '.join(str(error).split())}", "trace": trace}


def _lacks_memory(error: BaseException | None) -> bool:
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def _bound_memory(gibibytes: float) -> None:
    """Let the process grow by this much, and no further; where the system has no such bound, do nothing."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as pages:
            used = int(pages.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    bound = used + int(gibibytes * 2**30)
    for limit, value in ((resource.RLIMIT_AS, bound), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


def _kept_apart() -> int:
    """Return a descriptor for answers, and let standard output be standard error from here on."""
    answers = _duplicate(1)
    os.dup2(2, 1)
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    return answers


def _duplicate(descriptor: int) -> int:
    try:
        import fcntl
    except ImportError:
        return os.dup(descriptor)
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)


def _first_line(descriptor: int) -> bytes:
    """Return the one line that is ever sent."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(descriptor, 65536)
        if not part:
            os._exit(0)
        line += part
    return line


def _say(descriptor: int, secret: str, message: Mapping[str, object]) -> None:
    """Write one line; where the reader is gone, nothing is left to say."""
    line = f"\n{secret} {json.dumps(message)}\n".encode()
    with contextlib.suppress(OSError):
        while line:
            line = line[os.write(descriptor, line) :]


def _adopt_orphans() -> None:
    """Make this process the parent of whatever the user's file leaves behind, a daemon too (Linux)."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait(worker: int) -> int | None:
    """Return how the second process ended; None where the asking process was done first."""
    while True:
        readable, _, _ = select.select([0], [], [], _LOOK)
        if readable:
            return None
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid == worker:
            return status


def _kill_descendants(worker: int) -> None:
    """Kill the second process and all below it; orphans of the killed become children, met in the next round."""
    with contextlib.suppress(OSError):
        os.killpg(worker, signal.SIGKILL)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        for pid in _children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not reaped:
            time.sleep(1e-3)


def _children() -> list[int]:
    """Return this process's living children, from /proc; none where the system has no such folder."""
    me, found = str(os.getpid()), []
    for number in os.listdir("/proc") if os.path.isdir("/proc") else []:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{number}/stat", encoding="utf-8") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
            if parent == me and state != "Z":
                found.append(int(number))
    return found
