"""`evalkit import`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from evalkit.commands.reading import read_options, require_scipy


def import_runs(
    path: Annotated[Path, typer.Argument(help="What another tool wrote: a folder or a file.")],
    output: Annotated[Path, typer.Option(help="The run folder to write.")],
    columns: Annotated[str, typer.Option(help="A table's columns: id=question_id,score=correct.")] = "",
    metric: Annotated[str, typer.Option(help="Of lm-eval's samples, or a scorer of inspect_ai; the first.")] = "",
    answer_filter: Annotated[str, typer.Option("--filter", help="Of lm-eval's samples; the first.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write an evaluation of another tool as a run folder; `compare` and `report` also read it as it is.

    Example: evalkit import results/my_model --filter flexible-extract --output evals/my_model

    It may be the output of lm_eval --log_samples, AlpacaEval's annotations.json, a log of inspect_ai (.eval, .json), or
    a table of scores (.csv, .tsv, .jsonl).
    """
    require_scipy()
    from evalkit.comparing.importing.as_run import import_runs as write_runs

    folders = write_runs(path, output, read=read_options(columns, metric, answer_filter, texts=False))
    if as_json:
        print(json.dumps({"runs": [str(folder) for folder in folders]}))
    else:
        for folder in folders:
            print(folder)
