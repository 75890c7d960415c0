"""`evalkit judge`."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.commands.options import words
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.judging.options import Options, Spending
    from evalkit.judging.plan import Plan

UNDECIDED = 3


def judge(
    judge_model: Annotated[str, typer.Option(help="The judge's name at its server, such as gpt-4-0613.")],
    output: Annotated[Path, typer.Option(help="The run folder.")],
    outputs: Annotated[
        Path | None, typer.Option(help="Answers to judge: rows of prompt and completion, or instruction and output.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="What they are compared with: another model's answers, or `chosen` of pairs.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Instead of both: pairs that people have judged, to measure the judge.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Of --labels; several with commas are votes.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server; OPENAI_BASE_URL, else OpenAI.")
    ] = None,
    criteria: Annotated[
        str, typer.Option(help="paper, helpfulness, harmlessness, conciseness, or a file; commas between.")
    ] = "paper",
    orders: Annotated[str, typer.Option(help="both; random: one, drawn per pair; one: the judged answer first.")] = (
        "both"
    ),
    limit: Annotated[int | None, typer.Option(help="Only the first N pairs.", min=1)] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Let the judge compare before its verdict.")] = False,
    logprobs: Annotated[
        bool, typer.Option("--logprobs/--no-logprobs", help="Read log-probabilities where the server has them.")
    ] = True,
    temperature: Annotated[float, typer.Option(help="Of the judge.")] = 0.0,
    max_tokens: Annotated[int | None, typer.Option(help="Of a reply; what the form needs.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the order drawn; sent with every call.")] = 0,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Judge the answers that have a counterpart, and count the others.")
    ] = False,
    concurrency: Annotated[int, typer.Option(help="Calls in flight.", min=1)] = 32,
    max_cost: Annotated[float | None, typer.Option(help="Stop before spending more, US dollars.")] = None,
    price_in: Annotated[float | None, typer.Option(help="US dollars per million tokens of prompts.")] = None,
    price_out: Annotated[float | None, typer.Option(help="US dollars per million tokens of replies.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for one try.")] = 120.0,
    give_up_after: Annotated[float, typer.Option(help="Seconds after which a call is not tried again.")] = 600.0,
    api_key_env: Annotated[str, typer.Option(help="The environment variable with the API key.")] = "OPENAI_API_KEY",
    journal: Annotated[Path | None, typer.Option(help="Where replies are kept; in the run folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Spend what the estimate says without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked and cost; ask nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop another run; its replies are kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Have a model judge answers pair by pair; every reply is kept, and the same command goes on after a stop.

    The API key comes from the environment. Exit status 3 says that --max-cost was reached.

    Example: evalkit judge --outputs kto.jsonl --against sft.jsonl --judge-model gpt-4-0613 --output judged/kto
    """
    if find_spec("openai") is None or find_spec("scipy") is None:
        raise EvalkitError("openai or scipy is missing; install what evaluation needs: pip install 'halotheory[eval]'")
    from evalkit.judging.client import OPENAI
    from evalkit.judging.options import Options, Spending

    chosen = Options(
        judge_model=judge_model,
        base_url=base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI,
        criteria=tuple(words(criteria)),
        orders=orders,
        limit=limit,
        seed=seed,
        explain=explain,
        max_tokens=max_tokens,
        temperature=temperature,
        logprobs=logprobs,
        allow_partial=allow_partial,
    )
    spending = Spending(
        max_cost=max_cost,
        price_in=price_in,
        price_out=price_out,
        concurrency=concurrency,
        timeout=timeout,
        give_up_after=give_up_after,
        key_name=api_key_env,
        journal=journal,
        confirm=None if yes else _confirm,
    )
    plan = _plan(outputs, against, labels, label_column, chosen, spending)
    if dry_run:
        return _show_estimate(plan, as_json=as_json)
    return _judge(plan, output, spending, overwrite=overwrite, as_json=as_json)


def _plan(
    outputs: Path | None,
    against: Path | None,
    labels: Path | None,
    label_column: str | None,
    options: "Options",
    spending: "Spending",
) -> "Plan":
    from evalkit.judging.plan import plan, plan_labelled

    if labels is not None:
        if outputs is not None or against is not None:
            raise EvalkitError("--labels goes without --outputs and --against: its rows hold both answers")
        return plan_labelled(labels, options, spending, column=label_column)
    if outputs is None or against is None:
        raise EvalkitError("give --outputs and --against, two files of answers, or --labels, pairs that people judged")
    return plan(outputs, against, options, spending)


def _show_estimate(plan: "Plan", *, as_json: bool) -> int:
    from dataclasses import asdict

    estimate, matched = plan.estimate(), plan.matched
    left = {name: getattr(matched, name) for name in ("without_target", "ambiguous", "only_target")}
    if as_json:
        print(json.dumps(asdict(estimate) | left, indent=2, allow_nan=False))
        return 0
    print(estimate)
    if any(left.values()):
        print(
            f"{matched.without_target} outputs without a counterpart, {matched.ambiguous} with several; "
            f"{matched.only_target} prompts only in the other file"
        )
    return 0


def _judge(plan: "Plan", output: Path, spending: "Spending", *, overwrite: bool, as_json: bool) -> int:
    from evalkit.judging.judge import OutOfBudgetError
    from evalkit.judging.judge import judge as judge_pairs
    from evalkit.judging.text import print_judged

    try:
        results = judge_pairs(plan, output, spending, overwrite=overwrite, show_progress=True)
    except OutOfBudgetError as stop:
        print(f"error: {stop}", file=sys.stderr)
        return UNDECIDED
    if as_json:
        print(json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_judged(results, sys.stdout)
    if results["unanswered"]:
        print(f"{results['unanswered']} calls got no answer; the same command asks them again", file=sys.stderr)
    return 0


def _confirm(estimate: str) -> bool:
    """Ask on a terminal; elsewhere nobody can answer."""
    if not sys.stdin.isatty():
        raise EvalkitError(f"{estimate}; add --yes to spend it, or set --max-cost with --yes")
    return typer.confirm(f"{estimate}.\nGo on?", err=True)
