"""`evalkit compare`."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from evalkit.commands.options import words
from evalkit.errors import EvalkitError


def compare(
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
    from evalkit.comparing.compare import compare as compare_runs
    from evalkit.comparing.text import comparison_json, print_comparison

    comparison = compare_runs(
        runs,
        baseline=baseline,
        benchmarks=words(benchmarks) or None,
        level=level,
        allow_partial=allow_partial,
        all_pairs=all_pairs,
    )
    if as_json:
        print(json.dumps(comparison_json(comparison), indent=2, allow_nan=False))
    else:
        print_comparison(comparison, sys.stdout)
