"""HumanEval: completions of functions, run in a sandbox against the problem's test."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.running.benchmarks import Answered
from evalkit.running.journal import Journal
from evalkit.sandbox import Ending, Limits, Sandbox, check_function, find_sandbox, stub

METRIC = "pass@1"
_OTHER_K = (2, 5, 10, 20, 50, 100)
_SECONDS_BETWEEN_LINES = 15.0
_VERSION = 1  # of the procedure; part of the key of each stored verdict

Verdict = Mapping[str, str]
"""How one completion ended: `ending` (an `evalkit.sandbox.Ending`) and `reason`, one line."""


@dataclass(frozen=True, kw_only=True)
class CodeExecution:
    """The user's permission to run code that a model writes, and how it is run.

    Attributes:
        sandbox: see `evalkit.sandbox.find_sandbox`.
        workers: completions at a time; None for one per processor.
        limits: of each completion. lm-eval's scorer gives one 3 s on the wall clock; here it is 3 s of processor time.
        journal: a file that keeps verdicts as they come, and what was run before; None to keep none.
        say: shows a line of progress.
    """

    sandbox: str = "auto"
    workers: int | None = None
    limits: Limits = field(default_factory=Limits)
    journal: Path | None = None
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise EvalkitError(f"--code-workers {self.workers}: must be at least 1")


def score_items(items: Sequence[Answered], execution: CodeExecution) -> list[dict[str, Any]]:
    """Return the fields of each item's row: its score, the share of completions that pass, and what became of each.

    With n completions of which c pass, the score is c / n, and `other_scores` has pass@k = 1 - C(n-c, k) / C(n, k)
    for larger k (Chen et al. 2021, arXiv 2107.03374, equation 1). An item with a completion that could not be judged
    has no score.

    Args:
        items: problems with their completions.
        execution: how they are run.

    Raises:
        EvalkitError: no sandbox works here.
    """
    sandbox = find_sandbox(execution.sandbox)
    if sandbox.kind == "none":
        execution.say(
            "warning: --sandbox none: code that the model wrote runs as you; only its time and memory are limited"
        )
    pairs = [(item.doc, response) for item in items for response in item.responses]
    verdicts = iter(run_completions(pairs, sandbox, execution))
    return [_fields([next(verdicts) for _ in item.responses], sandbox) for item in items]


def run_completions(
    pairs: Sequence[tuple[Mapping[str, Any], str]], sandbox: Sandbox, execution: CodeExecution
) -> list[Verdict]:
    """Return the verdict on each (problem, completion); equal pairs run once, and those of the journal not again."""
    keys = [_key(problem, completion, sandbox, execution.limits) for problem, completion in pairs]
    todo = dict(zip(keys, pairs, strict=True))
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(execution.journal)) if execution.journal is not None else None
        known: dict[str, Verdict] = dict(journal.answers) if journal is not None else {}
        missing = {key: pair for key, pair in todo.items() if key not in known}
        say = _counter(len(missing), execution.say)
        for key, verdict in _judged(missing, sandbox, execution):
            known[key] = verdict
            if journal is not None and verdict["ending"] != Ending.ERROR:  # an error is tried again
                journal.append({key: verdict})
            say()
    return [known[key] for key in keys]


def judge(problem: Mapping[str, Any], completion: str, sandbox: Sandbox, limits: Limits) -> Verdict:
    """Return the verdict on one completion of a problem.

    Args:
        problem: `prompt`, `test`, `entry_point`, as the data has them.
        completion: what the model wrote after the prompt.
        sandbox: where it runs.
        limits: what it may use.
    """
    prompt = str(problem["prompt"])
    try:
        outcome = check_function(
            sandbox,
            program=prompt + completion,
            entry_point=str(problem["entry_point"]),
            definitions=stub(prompt),
            test=str(problem["test"]),
            limits=limits,
        )
    except (ValueError, OSError) as error:  # a prompt that is none; no more processes, files or memory on the machine
        return {"ending": Ending.ERROR.value, "reason": str(error)}
    return {"ending": outcome.ending.value, "reason": outcome.reason}


def _judged(
    missing: Mapping[str, tuple[Mapping[str, Any], str]], sandbox: Sandbox, execution: CodeExecution
) -> Iterator[tuple[str, Verdict]]:
    """Yield verdicts as they come, from a few threads that each watch one sandbox."""
    left = iter(missing.items())
    running: dict[Future[Verdict], str] = {}
    workers = execution.workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        while True:
            while len(running) < workers and (entry := next(left, None)) is not None:
                key, (problem, completion) = entry
                running[pool.submit(judge, problem, completion, sandbox, execution.limits)] = key
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()


def _fields(verdicts: Sequence[Verdict], sandbox: Sandbox) -> dict[str, Any]:
    shown: dict[str, Any] = {"metric": METRIC, "higher_is_better": True, "sandbox": sandbox.kind}
    shown |= {"verdicts": [dict(verdict) for verdict in verdicts]}
    errors = [verdict["reason"] for verdict in verdicts if verdict["ending"] == Ending.ERROR]
    if errors:
        return {"score": None, "error": f"not judged: {errors[0]}"} | shown
    scores = [float(verdict["ending"] == Ending.PASSED) for verdict in verdicts]
    if len(scores) == 1:
        return {"score": scores[0], "other_scores": {}} | shown
    samples = {"num_samples": len(scores), "sample_scores": scores}
    return {"score": sum(scores) / len(scores), "other_scores": _pass_at_larger_k(scores)} | samples | shown


def _pass_at_larger_k(scores: Sequence[float]) -> dict[str, float]:
    from evalkit.statistics import pass_at_k

    number, correct = len(scores), round(sum(scores))
    return {f"pass@{k}": float(pass_at_k([number], [correct], k)[0]) for k in _OTHER_K if k <= number}


def _key(problem: Mapping[str, Any], completion: str, sandbox: Sandbox, limits: Limits) -> str:
    """Return what a stored verdict goes by: everything that decides it."""
    content = {column: str(problem[column]) for column in ("prompt", "test", "entry_point")}
    settings = [_VERSION, sandbox.kind, asdict(limits)]
    text = json.dumps([content, completion, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _counter(total: int, say: Callable[[str], None]) -> Callable[[], None]:
    """Return what is called after each completion and says now and then how many are left."""
    started = last = time.monotonic()
    done = 0

    def count() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            left = round((now - started) / done * (total - done))
            say(f"  ran {done} of {total} completions, about {left} s left")

    return count
