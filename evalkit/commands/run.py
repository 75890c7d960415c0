"""`evalkit run`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.commands.options import words


def run(
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
    from evalkit.running.run import run as score
    from evalkit.running.text import print_results

    if batch_size != "auto" and not batch_size.isdigit():
        raise typer.BadParameter(f"'{batch_size}' is neither a number nor auto", param_hint="--batch-size")
    results = score(
        model,
        words(benchmarks),
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
