"""A judged run, from its plan to a run folder."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import evalkit
from evalkit.errors import EvalkitError
from evalkit.judging.asking import Asked, Call, ask_all
from evalkit.judging.budget import Budget, usage_of
from evalkit.judging.client import OPENAI, Client, find_key
from evalkit.judging.journal import Journal, open_journal
from evalkit.judging.notes import notes
from evalkit.judging.options import CHEAP, Spending
from evalkit.judging.plan import Estimate, Plan, calls_of, key_of
from evalkit.judging.preflight import Settings, preflight, settings_from_row
from evalkit.judging.quality import quality, rated_outcomes
from evalkit.judging.replies import Reply
from evalkit.judging.results import Outcome, criterion_results, outcomes_of, read_judgement, sample_rows
from evalkit.progress import Progress
from evalkit.run_folder import clear_run, finish_run, read_config, read_results, start_run

JOURNAL = "journal.jsonl"

_NOT_COMPARED = ("evalkit", "outputs", "against", "labels", "request")
"""Settings that may change between the start of a run and its resumption, or that it finds out by itself."""


class OutOfBudgetError(Exception):
    """Judging stopped at --max-cost; all replies are kept, and the same command with more goes on."""


def judge(
    plan: Plan, output: Path, spending: Spending, *, overwrite: bool = False, show_progress: bool = False
) -> dict[str, Any]:
    """Judge what a plan holds, and return what `output/results.json` then holds.

    Every reply is on disk before it counts. The same call goes on from there and asks only what has no answer;
    when the run is finished, it returns the stored results.

    Args:
        plan: see `evalkit.judging.plan.plan`.
        output: the run folder.
        spending: the limits; they decide no verdict.
        overwrite: drop what another run left in `output`, but for its journal, which has been paid for.
        show_progress: whether progress is shown on standard error.

    Raises:
        EvalkitError: another run in `output`, a server that cannot be used, a full disk.
        OutOfBudgetError: at `spending.max_cost`.
    """
    stored = _stored(plan, output, overwrite=overwrite)
    results = read_results(output) if stored is not None else None
    if results is not None and not results.get("unanswered", True):
        Progress(show=show_progress).say(f"{output}: judged before; these are its results (--overwrite judges again)")
        return results
    key = find_key(spending.key_name, plan.config["base_url"])
    estimate = plan.estimate()
    _confirm(plan, estimate, spending)  # before there is a bar, which would draw over the question
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(show=show_progress))
        progress.say(str(estimate))
        if overwrite:
            with _writing(output):
                clear_run(output)
        journal = stack.enter_context(open_journal(spending.journal or output / JOURNAL))
        if journal.dropped:
            progress.say(f"{journal.path}: {journal.dropped} broken line(s) dropped; those calls are asked again")
        run = _Run(plan=plan, output=output, spending=spending, journal=journal, progress=progress)
        settings, asked = asyncio.run(run.ask(key, _settings(stored)))
        return _finish(run, settings, asked)


def _stored(plan: Plan, output: Path, *, overwrite: bool) -> dict[str, Any] | None:
    """Return the settings of this very run if the folder holds it.

    Raises:
        EvalkitError: the folder holds another run, or other files.
    """
    if output.exists() and not output.is_dir():
        raise EvalkitError(f"{output}: a file; give a folder as --output")
    stored = None if overwrite else read_config(output)
    if stored is None:
        if _foreign(output) and not overwrite:
            raise EvalkitError(f"{output}: not empty, and not a judged run; use another --output")
        return None
    names = [name for name in {**plan.config, **stored} if name not in _NOT_COMPARED]
    changed = [name for name in names if stored.get(name) != plan.config.get(name)]
    if changed:
        raise EvalkitError(
            f"{output}: holds a run with other settings: {', '.join(changed)}; use another --output, or --overwrite"
        )
    return stored


def _settings(stored: Mapping[str, Any] | None) -> Settings | None:
    row = (stored or {}).get("request")
    return settings_from_row(row) if isinstance(row, dict) else None


def _foreign(output: Path) -> bool:
    """Whether a folder holds what no judged run has left there; a kill may leave a journal and a temporary file."""
    if not output.is_dir():
        return False
    return any(path.name != JOURNAL and path.suffix != ".tmp" for path in output.iterdir())


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Say in one line that files cannot be written."""
    try:
        yield
    except OSError as error:
        raise EvalkitError(
            f"{error.filename or output}: {error.strerror or error}; the replies are kept: mend that, and start the "
            "same command again"
        ) from error


def _confirm(plan: Plan, estimate: Estimate, spending: Spending) -> None:
    """Ask before much is spent.

    Raises:
        EvalkitError: the answer is no.
    """
    unknown = estimate.cost is None and plan.config["base_url"] == OPENAI
    dear = estimate.cost is not None and estimate.cost > CHEAP
    if spending.confirm is not None and (unknown or dear) and not spending.confirm(str(estimate)):
        raise EvalkitError("not confirmed; nothing was asked (--yes answers the question before it is put)")


class _Run:
    """What a run in progress holds."""

    def __init__(self, *, plan: Plan, output: Path, spending: Spending, journal: Journal, progress: Progress) -> None:
        self.plan = plan
        self.output = output
        self.spending = spending
        self.journal = journal
        self.progress = progress

    async def ask(self, key: str, settings: Settings | None) -> tuple[Settings, Asked]:
        """Ask what has no answer yet; return how requests are made, and what stays unanswered."""
        plan, spending = self.plan, self.spending
        client = Client(
            base_url=plan.config["base_url"],
            key=key,
            timeout=spending.timeout,
            give_up_after=spending.give_up_after,
            random=np.random.default_rng(plan.options.seed),
        )
        async with client:
            if settings is None:
                settings = await preflight(
                    client,
                    self.journal,
                    plan.config["base_url"],
                    plan.options.judge_model,
                    plan.criteria[0],
                    plan.options.settings,
                    explain=plan.options.explain,
                )
                with _writing(self.output):
                    start_run(self.output, {**plan.config, "request": settings.as_row()})
            calls = calls_of(plan, settings)
            done = sum(self.journal.find(key) is not None for key in calls)
            budget = Budget(most=spending.max_cost, price=plan.price, spent=self._spent(calls))
            self.progress.start(len(calls), done)
            self._show(done, budget)
            asked = await ask_all(
                list(calls.values()),
                client,
                self.journal,
                budget,
                concurrency=spending.concurrency,
                reached=lambda ended, budget: self._show(done + ended, budget),
            )
        if asked.out_of_budget:
            left = sum(self.journal.find(key) is None for key in calls)
            raise OutOfBudgetError(
                f"--max-cost {spending.max_cost:g}: ${budget.spent:.4f} spent, {left} of {len(calls)} calls not asked; "
                "the same command with a larger --max-cost goes on"
            )
        return settings, asked

    def _show(self, ended: int, budget: Budget) -> None:
        what = "judging" if self.plan.price is None else f"judging, ${budget.spent:.4f} spent"
        self.progress.reach(ended, what)

    def _spent(self, calls: Mapping[str, Call]) -> float:
        return usage_of(_answered(self.journal, calls), self.plan.price).cost or 0.0


def _answered(journal: Journal, calls: Mapping[str, Call]):
    for key, call in calls.items():
        reply = journal.find(key)
        if reply is not None:
            yield call.tokens_in, call.tokens_out, reply


def _criterion(plan: Plan, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    found = criterion_results(outcomes, plan.options.orders)
    if plan.labels and found["n"]:
        found["quality"] = quality(rated_outcomes(outcomes, plan.labels))
    return found


def _served(reply: Reply) -> str:
    """Return what the server calls the model and the system that answered."""
    return " ".join(part for part in (reply.model, reply.fingerprint) if part) or "not said"


def _finish(run: _Run, settings: Settings, asked: Asked) -> dict[str, Any]:
    """Write samples and results."""
    plan, journal, calls = run.plan, run.journal, calls_of(run.plan, settings)
    judgements = []
    for comparison in plan.comparisons:
        key = key_of(plan, settings, comparison)
        judgements.append(read_judgement(comparison, journal.find(key), asked.failed.get(key, "")))
    outcomes = outcomes_of(judgements)
    served = dict(sorted(Counter(_served(reply) for *_, reply in _answered(journal, calls)).items()))
    usage = usage_of(_answered(journal, calls), plan.price)
    results = {
        "evalkit": evalkit.__version__,
        "judge_model": plan.options.judge_model,
        "benchmarks": {name: _criterion(plan, found) for name, found in outcomes.items()},
        "matching": {
            "pairs": len(plan.pairs),
            "without_target": plan.matched.without_target,
            "ambiguous": plan.matched.ambiguous,
            "only_target": plan.matched.only_target,
        },
        "unanswered": len(asked.failed),
        "served": served,
        "usage": {**asdict(usage), "prices": None if plan.price is None else plan.price.source},
        "notes": notes(plan, outcomes, settings, usage, served),
    }
    with _writing(run.output):
        finish_run(run.output, results, [sample for found in outcomes.values() for sample in sample_rows(found)])
    return results
