"""`evalkit judge-quality`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def judge_quality(
    file: Annotated[Path, typer.Argument(help="Pairs with people's labels and a judge's verdicts, a row each.")],
    judge: Annotated[str, typer.Option(help="The column of the judge's verdicts.")],
    human: Annotated[
        str | None, typer.Option(help="The column of people's labels; several with commas are votes.")
    ] = None,
    swapped: Annotated[
        str | None, typer.Option(help="The column of verdicts with the answers swapped; 1 is the one shown first.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure stored verdicts of a judge against people's labels: agreement, kappa, biases. Nothing is asked.

    Labels are 1, 2 and 0 for neither, or left, right, tie, or A, B, C; null where nobody decided.

    Example: evalkit judge-quality pairs.jsonl --human crowd_majority --judge gpt4_winner
    """
    from evalkit.judging.quality import quality, read_rated
    from evalkit.judging.text import print_quality

    found = quality(read_rated(file, human=human, judge=judge, swapped=swapped))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_quality(judge, found, sys.stdout)
