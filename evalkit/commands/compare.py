"""`evalkit compare`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.commands.options import words
from evalkit.commands.reading import read_options, require_scipy


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Run folders or files of other tools, two or more; NAME=PATH names one.")
    ],
    baseline: Annotated[str, typer.Option(help="The run to compare with, a name or path; the first.")] = "",
    benchmarks: Annotated[str, typer.Option(help="Which benchmarks; all.")] = "",
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Compare every pair of runs.")] = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Compare the items that two runs share, and count the others.")
    ] = False,
    allow_differences: Annotated[
        bool, typer.Option("--allow-differences", help="Compare though judge, references or task versions differ.")
    ] = False,
    method: Annotated[
        str,
        typer.Option(
            help="auto, mcnemar, mcnemar-exact, newcombe, t, permutation, bootstrap, clustered, clustered-bootstrap or "
            "wild-bootstrap."
        ),
    ] = "auto",
    clusters: Annotated[str, typer.Option(help="Items come in clusters: subset, or a column of the samples.")] = "",
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    adjust: Annotated[str, typer.Option(help="p-values are adjusted by: holm, bh, none.")] = "holm",
    family: Annotated[str, typer.Option(help="... over: all comparisons, those of a benchmark, none.")] = "all",
    resamples: Annotated[int, typer.Option(help="Of bootstrap and permutation.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of bootstrap and permutation.")] = 0,
    fail_on: Annotated[
        str,
        typer.Option(
            help="Exit with status 1 on: regression (a significant loss), or regression:0.02 (a loss of more than 0.02 "
            "that the interval does not exclude)."
        ),
    ] = "",
    subsets: Annotated[bool, typer.Option("--subsets", help="Show the differences of every subset, too.")] = False,
    items: Annotated[Path | None, typer.Option(help="Write the items on which runs differ, as JSON lines.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the comparison as a page, too.")] = None,
    columns: Annotated[str, typer.Option(help="A table's columns: id=question_id,score=correct.")] = "",
    metric: Annotated[str, typer.Option(help="Of lm-eval's samples, or a scorer of inspect_ai; the first.")] = "",
    answer_filter: Annotated[str, typer.Option("--filter", help="Of lm-eval's samples; the first.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Compare finished runs item by item: paired differences, intervals, p-values adjusted for the whole family.

    Example: evalkit compare evals/sft evals/kto evals/dpo --baseline evals/sft

    Example: evalkit compare old=evals/main new=evals/branch --fail-on regression --html page.html

    A run is a folder that evalkit wrote, the output of lm_eval --log_samples, AlpacaEval's annotations.json, a log of
    inspect_ai, or a table of scores (.csv, .jsonl).

    Exit status: 0 done, 1 a regression under --fail-on, 2 runs that cannot be compared.
    """
    require_scipy()
    from evalkit.comparing.as_json import comparison_json
    from evalkit.comparing.breakdown import break_down
    from evalkit.comparing.compare import compare as compare_runs
    from evalkit.comparing.differing import write_differing
    from evalkit.comparing.procedure import Procedure
    from evalkit.comparing.regression import failures, read_fail_on
    from evalkit.comparing.text import print_breakdown, print_comparison, print_failures
    from evalkit.errors import EvalkitError

    procedure = Procedure(
        level=level,
        method=method,
        clusters=clusters or None,
        adjust=adjust,
        family=family,
        resamples=resamples,
        seed=seed,
    )
    wanted = read_fail_on(fail_on) if fail_on else None
    if len(runs) + bool(baseline) < 2 and not any(Path(run).is_file() for run in runs):
        raise EvalkitError("a comparison needs two runs; name another")
    comparison = compare_runs(
        runs,
        baseline=baseline or None,
        benchmarks=words(benchmarks) or None,
        all_pairs=all_pairs,
        allow_partial=allow_partial,
        allow_differences=allow_differences,
        procedure=procedure,
        read=read_options(columns, metric, answer_filter, texts=html is not None or items is not None),
    )
    if not comparison.compared:
        raise EvalkitError("a comparison needs two runs; name another")
    failed = None if wanted is None else failures(comparison, wanted)
    if items is not None:
        write_differing(items, comparison)
    if html is not None:
        from evalkit.comparing.page.build import write_page

        write_page(html, comparison)
    if as_json:
        print(
            json.dumps(comparison_json(comparison, break_down(comparison), failures=failed), indent=2, allow_nan=False)
        )
        return int(bool(failed))
    print_comparison(comparison, sys.stdout)
    if subsets:
        print_breakdown(break_down(comparison), sys.stdout)
    if failed is not None:
        print_failures(failed, sys.stdout)
    return int(bool(failed))
