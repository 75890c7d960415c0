"""`evalkit alpaca`."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from evalkit.errors import EvalkitError


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
    resamples: Annotated[int, typer.Option(help="Of the bootstrap; 0: no interval.", min=0)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop another run in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """AlpacaEval 2: win rates and length-controlled win rates with intervals, from annotations or from a judge.

    Example: evalkit alpaca --annotations annotations.json --df-gamed hub --output evals/kto-alpaca
    """
    if find_spec("sklearn") is None or find_spec("scipy") is None:
        raise EvalkitError(
            "scikit-learn is not installed; install what evaluation needs: pip install 'halotheory[eval]'"
        )
    if not 0 < level < 1:
        raise typer.BadParameter(f"{level}: must lie between 0 and 1, such as 0.95", param_hint="--level")
    from evalkit.alpaca import run
    from evalkit.alpaca.annotations import read_annotations
    from evalkit.alpaca.published import read_published
    from evalkit.alpaca.text import print_differences, print_scores

    published = read_published(difficulty=instruction_difficulty, gamed=df_gamed, weights=glm_weights)
    if annotations is None:
        raise typer.BadParameter("name the annotations", param_hint="--annotations")
    if compare is not None:
        found = run.compare(annotations, compare, published, seed=seed, resamples=resamples, level=level)
        print_found = print_differences
    else:
        if output is None:
            raise typer.BadParameter("name the run folder", param_hint="--output")
        found = run.score(
            read_annotations(annotations),
            published,
            output,
            seed=seed,
            resamples=resamples,
            level=level,
            overwrite=overwrite,
        )
        print_found = print_scores
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        print_found(found, sys.stdout)
