"""Two models' outputs annotated by a judge behind an OpenAI-compatible server, each reply kept as it arrives."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.alpaca.annotations import BENCHMARK, Annotations, Judgement
from evalkit.alpaca.annotator import Annotator
from evalkit.alpaca.order import model_shown_first
from evalkit.alpaca.outputs import Outputs, Pair, match
from evalkit.errors import EvalkitError
from evalkit.judging.asking import Asked, Call, ask_all
from evalkit.judging.budget import MESSAGE_TOKENS, Budget, Price, find_price, token_counter, usage_of
from evalkit.judging.client import OPENAI, BadRequestError, Client, UnansweredError, checked_url, find_key
from evalkit.judging.journal import Journal, open_journal, request_key
from evalkit.judging.judge import OutOfBudgetError
from evalkit.judging.options import CHEAP, Spending
from evalkit.progress import Progress
from evalkit.run_folder import clear_run, read_config, start_run

JOURNAL = "journal.jsonl"
BOTH, SEEDED = "both", "seeded"
TEST = Pair(key="", instruction="What is the capital of France?", baseline_output="No idea.", output="Paris.")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What decides the verdicts.

    Attributes:
        judge_model: its name at the server; the annotator's own by default.
        base_url: of the server.
        orders: `both`, or `seeded`: one per instruction, the one that alpaca_eval draws.
        limit: only so many instructions.
        allow_partial: judge the instructions that both files have, and leave the others out.
    """

    judge_model: str | None = None
    base_url: str = OPENAI
    orders: str = BOTH
    limit: int | None = None
    allow_partial: bool = False

    def __post_init__(self) -> None:
        if self.orders not in (BOTH, SEEDED):
            raise EvalkitError(f"--orders {self.orders}: choose both or seeded")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, before it is.

    Attributes:
        pairs: judged.
        model: whose outputs they are.
        baseline: what they are compared with.
        annotator: the judge's definition.
        judge_model: its name at the server.
        orders: see `Options`.
        config: for config.yaml.
        price: of a token; None where it is not known.
    """

    pairs: tuple[Pair, ...]
    model: str
    baseline: str
    annotator: Annotator
    judge_model: str
    orders: str
    config: Mapping[str, Any]
    price: Price | None

    def shown(self) -> Iterator[tuple[Pair, bool]]:
        """Yield each pair in each order, with whether the model's output comes first.

        Equal outputs are a tie of which nobody is asked, as in alpaca_eval.
        """
        for pair in self.pairs:
            if pair.output == pair.baseline_output:
                continue
            for first in (True, False) if self.orders == BOTH else (model_shown_first(pair.instruction),):
                yield pair, first

    def body(self, pair: Pair, first: bool, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request that shows a pair in an order."""
        one, other = (pair.output, pair.baseline_output) if first else (pair.baseline_output, pair.output)
        return {
            "model": self.judge_model,
            "messages": self.annotator.prompt(pair.instruction, one, other),
            **request,
        }

    def key(self, pair: Pair, first: bool, request: Mapping[str, Any]) -> str:
        """Return the hash under which the reply is kept."""
        return request_key(self.config["base_url"], self.body(pair, first, request))

    def calls(self, request: Mapping[str, Any]) -> dict[str, Call]:
        """Return the requests by key, each once."""
        count, _ = token_counter(self.judge_model)
        return {
            self.key(pair, first, request): Call(
                key=self.key(pair, first, request),
                body=(body := self.body(pair, first, request)),
                tokens_in=sum(count(message["content"]) + MESSAGE_TOKENS for message in body["messages"]),
                tokens_out=int(request.get("max_tokens") or request.get("max_completion_tokens") or 1),
            )
            for pair, first in self.shown()
        }


def plan(model: Outputs, baseline: Outputs, annotator: Annotator, options: Options, spending: Spending) -> Plan:
    """Return what annotating a model's outputs takes; nothing is asked yet.

    Raises:
        EvalkitError: files that do not match, an address or a budget that cannot be used.
    """
    pairs = match(model, baseline, limit=options.limit, allow_partial=options.allow_partial)
    base_url = checked_url(options.base_url)
    judge_model = options.judge_model or annotator.model
    price = find_price(judge_model, price_in=spending.price_in, price_out=spending.price_out, listed=base_url == OPENAI)
    if spending.max_cost is not None and price is None:
        raise EvalkitError(f"--max-cost: the price of {judge_model} is not known; give --price-in and --price-out")
    name = annotator.name if judge_model == annotator.model else f"{annotator.name}, {judge_model}"
    config = {
        "benchmark": BENCHMARK,
        "model": model.model,
        "baseline": baseline.model,
        "reference": baseline.model,
        "judge": name if options.orders == SEEDED else f"{name}, both orders",
        "judge_model": judge_model,
        "annotator": annotator.name,
        "alpaca_eval": annotator.library,
        "base_url": base_url,
        "orders": options.orders,
        "limit": options.limit,
        "outputs_sha256": _digest(model.texts),
        "reference_sha256": _digest(baseline.texts),
    }
    return Plan(
        pairs=tuple(pairs),
        model=model.model,
        baseline=baseline.model,
        annotator=annotator,
        judge_model=judge_model,
        orders=options.orders,
        config=config,
        price=price,
    )


def _digest(texts: Mapping[str, str]) -> str:
    rows = "".join(f"{key}\0{text}\0" for key, text in sorted(texts.items()))
    return hashlib.sha256(rows.encode("utf-8", "surrogatepass")).hexdigest()


def annotate(
    planned: Plan, output: Path, spending: Spending, *, overwrite: bool = False, show_progress: bool = False
) -> tuple[Annotations, dict[str, Any]]:
    """Ask the judge what it has not answered yet; return the annotations, and what they took.

    Every reply is on disk before it counts, so that a run that was killed goes on with what has no reply. A pair
    without a verdict in every order that it is to be shown in has none.

    Args:
        planned: see `plan`.
        output: the run folder, where the replies are kept.
        spending: the limits; they decide no verdict.
        overwrite: drop another run in the folder, but for the replies, which have been paid for.
        show_progress: whether progress is shown on standard error.

    Raises:
        EvalkitError: another run in the folder, a server that cannot be used, a full disk.
        OutOfBudgetError: at `spending.max_cost`.
    """
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(show=show_progress))
        request = _stored_request(planned, output, overwrite=overwrite)
        journal = stack.enter_context(open_journal(spending.journal or output / JOURNAL))
        asked = Asked()
        calls = planned.calls(request or planned.annotator.settings)
        if request is None or any(journal.find(key) is None for key in calls):
            _confirm(planned, calls, journal, spending, progress)
            key = find_key(spending.key_name, planned.config["base_url"])
            request, asked = asyncio.run(_ask(planned, output, spending, journal, progress, key, request))
        return _read(planned, journal, request, asked)


def _stored_request(planned: Plan, output: Path, *, overwrite: bool) -> dict[str, Any] | None:
    """Return how requests are made if this very run has begun in the folder.

    Raises:
        EvalkitError: another run has.
    """
    stored = read_config(output)
    if stored is None:
        return None
    changed = [name for name in planned.config if stored.get(name) != planned.config[name]]
    if not changed and isinstance(stored.get("request"), dict):
        return stored["request"]
    if not overwrite:
        raise EvalkitError(
            f"{output}: holds another run (it differs in {', '.join(changed)}); use another --output, or --overwrite"
        )
    clear_run(output)
    return None


def _confirm(
    planned: Plan, calls: Mapping[str, Call], journal: Journal, spending: Spending, progress: Progress
) -> None:
    """Say what is about to be asked, and ask before much is spent.

    Raises:
        EvalkitError: the answer is no.
    """
    left = [call for key, call in calls.items() if journal.find(key) is None]
    tokens_in, tokens_out = sum(call.tokens_in for call in left), sum(call.tokens_out for call in left)
    cost = None if planned.price is None else planned.price.cost(tokens_in, tokens_out)
    shown = "price unknown" if cost is None else f"about ${cost:.2f}"
    estimate = f"{len(planned.pairs)} instructions, {len(left)} calls to make, {tokens_in} tokens in: {shown}"
    progress.say(estimate)
    dear = cost > CHEAP if cost is not None else planned.config["base_url"] == OPENAI
    if spending.confirm is not None and dear and not spending.confirm(estimate):
        raise EvalkitError("not confirmed; nothing was asked (--yes answers the question before it is put)")


async def _ask(
    planned: Plan,
    output: Path,
    spending: Spending,
    journal: Journal,
    progress: Progress,
    key: str,
    request: dict[str, Any] | None,
) -> tuple[dict[str, Any], Asked]:
    """Ask what has no reply yet; return how requests are made, and what stays unanswered."""
    client = Client(
        base_url=planned.config["base_url"],
        key=key,
        timeout=spending.timeout,
        give_up_after=spending.give_up_after,
        random=np.random.default_rng(0),
    )
    async with client:
        if request is None:
            request = await _preflight(planned, client, journal)
            start_run(output, {**planned.config, "request": request})
        calls = planned.calls(request)
        done = sum(journal.find(one) is not None for one in calls)
        spent = usage_of(_answered(journal, calls.values()), planned.price).cost or 0.0
        budget = Budget(most=spending.max_cost, price=planned.price, spent=spent)
        progress.start(len(calls), done)
        asked = await ask_all(
            list(calls.values()),
            client,
            journal,
            budget,
            concurrency=spending.concurrency,
            reached=lambda ended, budget: progress.reach(done + ended, f"annotating, ${budget.spent:.4f} spent"),
        )
    if asked.out_of_budget:
        left = sum(journal.find(one) is None for one in calls)
        raise OutOfBudgetError(
            f"--max-cost {spending.max_cost:g}: ${budget.spent:.4f} spent, {left} of {len(calls)} calls not asked; "
            "the same command with a larger --max-cost goes on"
        )
    return request, asked


async def _preflight(planned: Plan, client: Client, journal: Journal) -> dict[str, Any]:
    """Return the settings of the request with which the judge answers a question about the capital of France.

    Raises:
        EvalkitError: a wrong key, model or address, a server that does not answer, or a reply without a verdict.
    """
    request = dict(planned.annotator.settings)
    while True:
        key, body = planned.key(TEST, False, request), planned.body(TEST, False, request)
        reply = journal.find(key)
        if reply is None:
            try:
                reply = await client.ask(body)
            except BadRequestError as error:
                if "max_completion_tokens" not in error.told or "max_tokens" not in request:
                    raise
                request = {"max_completion_tokens": request.pop("max_tokens"), **request}
                continue
            except UnansweredError as error:
                raise EvalkitError(
                    f"{planned.config['base_url']}: does not answer: {error}; nothing was annotated"
                ) from None
            await journal.add(key, reply)
        _, missing = planned.annotator.preference(reply)
        if missing:
            raise EvalkitError(
                f"{planned.judge_model}: {missing} to a test question; {planned.annotator.name} needs a server that "
                "gives log-probabilities and a judge that answers with one token"
            )
        return request


def _answered(journal: Journal, calls: Iterable[Call]):
    for call in calls:
        reply = journal.find(call.key)
        if reply is not None:
            yield call.tokens_in, call.tokens_out, reply


def _read(
    planned: Plan, journal: Journal, request: Mapping[str, Any], asked: Asked
) -> tuple[Annotations, dict[str, Any]]:
    """Return the annotations that the replies give, and what they took."""
    verdicts: dict[str, dict[bool, tuple[float | None, str]]] = {}
    reported: set[str] = set()
    for pair, first in planned.shown():
        key = planned.key(pair, first, request)
        reply = journal.find(key)
        if reply is None:
            found: tuple[float | None, str] = None, f"no answer: {asked.failed.get(key, 'not asked')}"
        else:
            found = planned.annotator.preference(reply)
            reported.add(f"{reply.model} {reply.fingerprint}".strip())
        for_model = None if found[0] is None else 1 - found[0] if first else found[0]
        verdicts.setdefault(pair.key, {})[first] = for_model, found[1]
    usage = usage_of(_answered(journal, planned.calls(request).values()), planned.price)
    annotations = Annotations(
        source=planned.config["outputs_sha256"],
        model=planned.model,
        baseline=planned.baseline,
        judge=planned.config["judge"],
        judgements=tuple(_judgement(pair, verdicts.get(pair.key)) for pair in planned.pairs),
    )
    return annotations, {
        "judge_model": planned.judge_model,
        "judge_reported": sorted(reported - {""}),
        "unanswered": len(asked.failed),
        "usage": asdict(usage),
    }


def _judgement(pair: Pair, verdicts: Mapping[bool, tuple[float | None, str]] | None) -> Judgement:
    """Return the mean verdict over the orders in which a pair was shown; none where one of them is missing."""
    if verdicts is None:  # equal outputs
        preference, errors = 0.5, ""
        by_order: dict[bool, float | None] = {}
    else:
        by_order = {first: found for first, (found, _) in verdicts.items()}
        known = [found for found in by_order.values() if found is not None]
        errors = "; ".join(sorted({error for _, error in verdicts.values() if error}))
        preference = sum(known) / len(known) if len(known) == len(by_order) else None
    return Judgement(
        key=pair.key,
        instruction=pair.instruction,
        baseline_output=pair.baseline_output,
        output=pair.output,
        preference=preference,
        error=errors,
        shown_first=by_order.get(True),
        shown_second=by_order.get(False),
    )
