"""`evalkit report`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from evalkit.commands.options import words
from evalkit.commands.reading import read_options, require_scipy


def report(
    runs: Annotated[list[str], typer.Argument(help="Run folders or files of other tools; NAME=PATH names one.")],
    output: Annotated[Path, typer.Option(help="The page to write, such as page.html.")],
    baseline: Annotated[str, typer.Option(help="Compare each with this run only; without it, every pair.")] = "",
    benchmarks: Annotated[str, typer.Option(help="Which benchmarks; all.")] = "",
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Compare the items that two runs share, and count the others.")
    ] = False,
    allow_differences: Annotated[
        bool, typer.Option("--allow-differences", help="Compare though judge, references or task versions differ.")
    ] = False,
    clusters: Annotated[str, typer.Option(help="Items come in clusters: subset, or a column of the samples.")] = "",
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    columns: Annotated[str, typer.Option(help="A table's columns: id=question_id,score=correct.")] = "",
    metric: Annotated[str, typer.Option(help="Of lm-eval's samples, or a scorer of inspect_ai; the first.")] = "",
    answer_filter: Annotated[str, typer.Option("--filter", help="Of lm-eval's samples; the first.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write one page that opens from disk: scores, paired differences, subsets, and the items on which runs differ.

    Example: evalkit report evals/sft evals/kto evals/dpo --output page.html

    The page asks nothing of a network. A single run has scores and no comparison.
    """
    require_scipy()
    from evalkit.comparing.compare import compare
    from evalkit.comparing.page.build import write_page
    from evalkit.comparing.procedure import Procedure

    comparison = compare(
        runs,
        baseline=baseline or None,
        benchmarks=words(benchmarks) or None,
        all_pairs=not baseline,
        allow_partial=allow_partial,
        allow_differences=allow_differences,
        procedure=Procedure(level=level, clusters=clusters or None),
        read=read_options(columns, metric, answer_filter, texts=True),
    )
    items = write_page(output, comparison)
    size = output.stat().st_size
    if as_json:
        print(json.dumps({"page": str(output), "bytes": size, "items": items.count, "items_left_out": items.left_out}))
    else:
        runs_read = len(comparison.runs)
        print(f"{output}: {runs_read} run{'s'[: runs_read > 1]}, {items.count} differing items, {size / 1e6:.1f} MB")
