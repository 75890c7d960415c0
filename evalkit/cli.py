"""The `evalkit` command."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from evalkit import __version__
from evalkit.command import run_command
from evalkit.errors import EvalkitError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run_command(app))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _show_version(value: bool) -> None:
    if value:
        print(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def evalkit(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Score models on benchmarks, and say whether one is better than another."""


@app.command("run")
def run_(
    model: Annotated[str, typer.Option(help="A model folder, or a name on the hub.")],
    benchmarks: Annotated[
        str, typer.Option(help="gsm8k, bbh, mmlu, a task of lm-eval, or a task file (.yaml); with commas between.")
    ],
    output: Annotated[Path, typer.Option(help="The run folder.")],
    data_dir: Annotated[
        Path | None, typer.Option(help="A folder with the benchmarks' data: no network is used.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N items of each task.", min=1)] = None,
    backend: Annotated[str, typer.Option(help="What runs the model: hf.")] = "hf",
    batch_size: Annotated[str, typer.Option(help="Prompts at a time, or auto.")] = "8",
    seed: Annotated[int, typer.Option(help="Of everything random; the default is lm-eval's.")] = 1234,
    chat_template: Annotated[
        bool, typer.Option("--chat-template/--no-chat-template", help="Render prompts by the chat template.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop another run in the folder.")] = False,
) -> None:
    """Score a model on benchmarks through lm-eval; every item's score is kept.

    Example: evalkit run --model runs/kto/model --benchmarks gsm8k,bbh --output evals/kto
    """
    from evalkit.report import print_results
    from evalkit.run import run

    if batch_size != "auto" and not batch_size.isdigit():
        raise typer.BadParameter(f"'{batch_size}' is neither a number nor auto", param_hint="--batch-size")
    results = run(
        model,
        _words(benchmarks),
        output,
        data_dir=data_dir,
        limit=limit,
        backend=backend,
        batch_size=batch_size if batch_size == "auto" else int(batch_size),
        seed=seed,
        chat_template=chat_template,
        overwrite=overwrite,
        show_progress=True,
    )
    print_results(results, sys.stdout)


@app.command("compare")
def compare_(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more.")],
    baseline: Annotated[Path | None, typer.Option(help="The run to compare with; the first.")] = None,
    benchmarks: Annotated[str, typer.Option(help="Which benchmarks; all.")] = "",
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Compare the items that two runs share, and count the others.")
    ] = False,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Compare every pair of runs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare finished runs item by item: paired differences, intervals, p-values adjusted for the whole family.

    Example: evalkit compare evals/sft evals/kto evals/dpo --baseline evals/sft
    """
    if find_spec("scipy") is None:
        raise EvalkitError("scipy is not installed; install what evaluation needs: pip install 'halotheory[eval]'")
    from evalkit.compare import compare
    from evalkit.report import comparison_json, print_comparison

    comparison = compare(
        runs,
        baseline=baseline,
        benchmarks=_words(benchmarks) or None,
        level=level,
        allow_partial=allow_partial,
        all_pairs=all_pairs,
    )
    if as_json:
        print(json.dumps(comparison_json(comparison), indent=2, allow_nan=False))
    else:
        print_comparison(comparison, sys.stdout)
