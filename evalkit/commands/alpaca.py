"""`evalkit alpaca`."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.alpaca.annotate import Options
    from evalkit.alpaca.generate import Generation
    from evalkit.alpaca.published import Published
    from evalkit.judging.options import Spending

UNDECIDED = 3


def alpaca(
    output: Annotated[Path | None, typer.Option(help="The run folder.")] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Stored annotations: AlpacaEval's annotations.json, or a run folder.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="The annotations of another model: print the paired differences.")
    ] = None,
    instruction_difficulty: Annotated[
        str | None, typer.Option(help="instruction_difficulty.csv (or JSON), or hub: AlpacaEval's own.")
    ] = None,
    df_gamed: Annotated[str | None, typer.Option(help="df_gamed.csv, or hub; it holds the difficulties, too.")] = None,
    glm_weights: Annotated[Path | None, typer.Option(help="Published coefficients by model (CSV).")] = None,
    outputs: Annotated[Path | None, typer.Option(help="A model's answers to annotate: instruction, output.")] = None,
    model: Annotated[str | None, typer.Option(help="Or the model that gives them: a folder, or on the hub.")] = None,
    reference: Annotated[
        str, typer.Option(help="The answers to compare with, and their instructions; hub: gpt4_1106_preview's.")
    ] = "hub",
    judge_model: Annotated[str | None, typer.Option(help="The judge's name at its server; gpt-4-1106-preview.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server; OPENAI_BASE_URL, else OpenAI.")
    ] = None,
    annotator: Annotated[
        str, typer.Option(help="The judge's prompt and parser, by alpaca_eval's name.")
    ] = "weighted_alpaca_eval_gpt4_turbo",
    orders: Annotated[str, typer.Option(help="both; seeded: one per instruction, as alpaca_eval draws it.")] = "both",
    limit: Annotated[int | None, typer.Option(help="Only N instructions, drawn by their hash.", min=1)] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Annotate the instructions that both files have.")
    ] = False,
    sampling: Annotated[str, typer.Option(help="Of --model: greedy; model: as its settings say.")] = "greedy",
    max_new_tokens: Annotated[int, typer.Option(help="Of an answer of --model.", min=1)] = 2048,
    batch_size: Annotated[int, typer.Option(help="Instructions at a time for --model.", min=1)] = 8,
    chat_template: Annotated[
        bool, typer.Option("--chat-template/--no-chat-template", help="Render instructions by --model's template.")
    ] = True,
    concurrency: Annotated[int, typer.Option(help="Calls in flight.", min=1)] = 16,
    max_cost: Annotated[float | None, typer.Option(help="Stop before spending more, US dollars.")] = None,
    price_in: Annotated[float | None, typer.Option(help="US dollars per million tokens of prompts.")] = None,
    price_out: Annotated[float | None, typer.Option(help="US dollars per million tokens of replies.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for one try.")] = 120.0,
    give_up_after: Annotated[float, typer.Option(help="Seconds after which a call is not tried again.")] = 600.0,
    api_key_env: Annotated[str, typer.Option(help="The environment variable with the API key.")] = "OPENAI_API_KEY",
    yes: Annotated[bool, typer.Option("--yes", help="Spend what the estimate says without asking.")] = False,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap; 0: no interval.", min=0)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap, and of sampling.", min=0)] = 0,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop another run; replies of a judge are kept.")] = (
        False
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """AlpacaEval 2: win rates and length-controlled win rates with intervals, from annotations or from a judge.

    The API key of a judge comes from the environment. Exit status 3 says that --max-cost was reached.

    Example: evalkit alpaca --annotations annotations.json --df-gamed hub --output evals/kto-alpaca
    """
    if find_spec("sklearn") is None or find_spec("scipy") is None:
        raise EvalkitError(
            "scikit-learn is not installed; install what evaluation needs: pip install 'halotheory[eval]'"
        )
    if not 0 < level < 1:
        raise typer.BadParameter(f"{level}: must lie between 0 and 1, such as 0.95", param_hint="--level")
    if sum(source is not None for source in (annotations, outputs, model)) != 1:
        raise EvalkitError("give one of --annotations, --outputs and --model")
    if output is None and (compare is None or annotations is None):
        raise EvalkitError("give --output, the run folder")
    if compare is not None and annotations is None:
        raise EvalkitError("--compare goes with --annotations; score the outputs first, then compare the run folders")
    from evalkit.alpaca.published import read_published

    published = read_published(difficulty=instruction_difficulty, gamed=df_gamed, weights=glm_weights)
    bootstrap: dict[str, Any] = {"seed": seed, "resamples": resamples, "level": level}
    if annotations is not None:
        return _stored(annotations, compare, published, output, bootstrap, overwrite=overwrite, as_json=as_json)
    from evalkit.alpaca.annotate import Options
    from evalkit.alpaca.generate import Generation
    from evalkit.judging.client import OPENAI
    from evalkit.judging.options import Spending

    options = Options(
        judge_model=judge_model,
        base_url=base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI,
        orders=orders,
        limit=limit,
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
        confirm=None if yes else _confirm,
    )
    how = None
    if model is not None:
        how = Generation(
            model=model,
            sampling=sampling,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            chat_template=chat_template,
            seed=seed,
        )
    assert output is not None
    return _judged(
        how or outputs, reference, annotator, options, spending, published, output, bootstrap,
        overwrite=overwrite, as_json=as_json,
    )  # fmt: skip


def _stored(
    annotations: Path,
    compare: Path | None,
    published: "Published",
    output: Path | None,
    bootstrap: dict[str, Any],
    *,
    overwrite: bool,
    as_json: bool,
) -> int:
    from evalkit.alpaca import run
    from evalkit.alpaca.annotations import read_annotations
    from evalkit.alpaca.text import print_differences, print_scores

    if compare is not None:
        found = run.compare(annotations, compare, published, **bootstrap)
        return _show(found, print_differences, as_json=as_json)
    assert output is not None
    found = run.score(read_annotations(annotations), published, output, **bootstrap, overwrite=overwrite)
    return _show(found, print_scores, as_json=as_json)


def _judged(
    source: "Generation | Path | None",
    reference: str,
    annotator: str,
    options: "Options",
    spending: "Spending",
    published: "Published",
    output: Path,
    bootstrap: dict[str, Any],
    *,
    overwrite: bool,
    as_json: bool,
) -> int:
    from evalkit.alpaca.judged import judge
    from evalkit.alpaca.text import print_scores
    from evalkit.judging.judge import OutOfBudgetError

    assert source is not None
    try:
        found = judge(
            source, reference, annotator, options, spending, published, output,
            **bootstrap, overwrite=overwrite, show_progress=True,
        )  # fmt: skip
    except OutOfBudgetError as stop:
        print(f"error: {stop}", file=sys.stderr)
        return UNDECIDED
    if found["unanswered"]:
        print(f"{found['unanswered']} calls got no answer; the same command asks them again", file=sys.stderr)
    return _show(found, print_scores, as_json=as_json)


def _show(found: dict[str, Any], print_found: Any, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_found(found, sys.stdout)
    return 0


def _confirm(estimate: str) -> bool:
    """Ask on a terminal; elsewhere nobody can answer."""
    if not sys.stdin.isatty():
        raise EvalkitError(f"{estimate}; add --yes to spend it, or set --max-cost with --yes")
    return typer.confirm(f"{estimate}. Go on?", err=True)
