"""A function of unknown code held against a test that the code cannot reach.

The code runs in one sandbox and serves calls of its function; the test runs in another and calls it through two
pipes, by value. What the code can do is answer calls: the test, its expected values, the comparison and the verdict
are in a process that it neither shares nor sees.
"""

import ast
import contextlib
import json
import time

from evalkit.sandbox.processes import Pipe, Process, Stream, watch
from evalkit.sandbox.records import Ending, Limits, Outcome
from evalkit.sandbox.sandbox import REPORT_BYTES, Sandbox

_CHECKER = Limits(seconds=10)  # of the test's own process
ENDED = "the completion ended its process"  # as inside/roles.py says it
_KILLED, _OUT_OF_TIME = 128 + 9, 128 + 24


def check_function(
    sandbox: Sandbox,
    *,
    program: str,
    entry_point: str,
    definitions: str,
    test: str,
    limits: Limits | None = None,
) -> Outcome:
    """Return whether the function that a program defines passes a test.

    `PASSED` is returned only after `check` has returned. A test or a sandbox that does not work gives `ERROR`.

    Args:
        sandbox: where both run.
        program: source code that defines the function.
        entry_point: its name.
        definitions: source code of what the test uses besides; run with the test.
        test: source code that defines `check(candidate)`, which raises where the function is wrong. It passes and
            gets plain values (numbers, text, bytes, None, lists, tuples, sets, dictionaries, ranges, iterators).
        limits: what the program may use.
    """
    limits = limits or Limits()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        calls, replies, verdict = (stack.enter_context(Pipe()) for _ in range(3))
        checking = {"role": "check", "definitions": definitions, "test": test, "entry_point": entry_point}
        checking |= {"calls": calls.write, "replies": replies.read, "report": verdict.write}
        serving = {"role": "serve", "program": program, "entry_point": entry_point}
        serving |= {"calls": calls.read, "report": replies.write}
        checker_limits = _CHECKER.but(output_bytes=limits.output_bytes)
        fds = [calls.write, replies.read, verdict.write]
        candidate = stack.enter_context(sandbox.start(serving, [calls.read, replies.write], limits))
        checker = stack.enter_context(sandbox.start(checking, fds, checker_limits))
        for own in (calls, replies):
            own.close_read()
            own.close_write()
        verdict.close_write()
        report = Stream(verdict.read, REPORT_BYTES, REPORT_BYTES)
        ending, reason = _watched(checker, candidate, report, limits)
        stdout, stderr = candidate.stdout.text(), candidate.stderr.text()
    seconds = time.monotonic() - started
    return Outcome(ending=ending, reason=_shown(reason), stdout=stdout, stderr=stderr, seconds=seconds)


def stub(prompt: str) -> str:
    """Return a prompt that ends within a function, with that function made to do nothing: what tests may use of it.

    Raises:
        ValueError: the prompt is not the beginning of a program.
    """
    for rest in ("    pass\n", "", "  pass\n", "\tpass\n", "        pass\n"):
        text = f"{prompt}\n{rest}"
        with contextlib.suppress(SyntaxError, ValueError):
            ast.parse(text)
            return text
    raise ValueError("the prompt is not the beginning of a Python program")


def _watched(checker: Process, candidate: Process, report: Stream, limits: Limits) -> tuple[Ending, str]:
    streams = [report, candidate.stdout, candidate.stderr, checker.stdout, checker.stderr]
    in_time = watch(streams, limits.wall_seconds, lambda: _has_ended(report))
    lines = report.tail.splitlines()
    if not _has_ended(report) and (candidate.stdout.full or candidate.stderr.full):
        return Ending.TOO_MUCH_OUTPUT, f"more than {limits.output_bytes} bytes"
    if not lines:
        why = _last_line(checker) or (f"exit status {checker.exit_status(1.0)}" if in_time else "no answer in time")
        return Ending.ERROR, f"the sandbox of the test did not start: {why}"
    if len(lines) < 2 and not in_time:
        return Ending.TIMED_OUT, f"after {limits.wall_seconds:g} s"
    if len(lines) < 2:
        return _without_verdict(checker.exit_status(1.0))
    word, reason = json.loads(lines[1])["tuple"]
    if word == "error":
        return Ending.ERROR, " ".join(f"{reason} {_last_line(candidate) if reason.endswith(':') else ''}".split())
    if word == "passed":
        return Ending.PASSED, ""
    return _failed(candidate, reason, limits)


def _without_verdict(status: int | None) -> tuple[Ending, str]:
    """Return what it means that the test began and its process ended without a verdict."""
    if status == _OUT_OF_TIME:
        return Ending.TIMED_OUT, f"the test took {_CHECKER.seconds:g} s of processor time over the answers"
    if status in (None, _KILLED):
        return Ending.ERROR, "the process of the test was killed from outside"
    return Ending.FAILED, f"the process of the test broke over an answer: exit status {status}"


def _failed(candidate: Process, reason: str, limits: Limits) -> tuple[Ending, str]:
    if reason.startswith("MemoryError"):
        return Ending.OUT_OF_MEMORY, f"more than {limits.memory_bytes} bytes"
    if reason != ENDED:
        return Ending.FAILED, reason
    status = candidate.exit_status(1.0)
    if status == _OUT_OF_TIME:
        return Ending.TIMED_OUT, f"after {limits.seconds:g} s of processor time"
    return Ending.FAILED, f"{reason}: exit status {status}"


def _shown(reason: str) -> str:
    """Return a reason, which may be words of the program, as one line without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "�" for sign in " ".join(reason.split()))


def _has_ended(report: Stream) -> bool:
    return report.tail.count(b"\n") >= 2 or report.ended


def _last_line(process: Process) -> str:
    if not process.stderr.ended:
        watch([process.stderr], 1.0, lambda: False)
    lines = process.stderr.text().strip().splitlines()
    return lines[-1] if lines else ""
