"""A run of AlpacaEval from a model, or its answers, to scores."""

from pathlib import Path
from typing import Any

from evalkit.alpaca.annotate import Options, annotate, plan
from evalkit.alpaca.annotator import load_annotator
from evalkit.alpaca.generate import Generation, cut_short, generate
from evalkit.alpaca.length_control import RESAMPLES
from evalkit.alpaca.outputs import only, read_outputs
from evalkit.alpaca.published import Published
from evalkit.alpaca.run import make_folder, score
from evalkit.judging.options import Spending
from evalkit.run_folder import read_config


def judge(
    source: Generation | Path,
    reference: Path | str,
    annotator: str,
    options: Options,
    spending: Spending,
    published: Published,
    output: Path,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Have a judge compare a model's answers with a baseline's, score the annotations, and write the run folder.

    The same call goes on where a run that was stopped has left off: answers generated are kept, and replies paid for.

    Args:
        source: a file of answers, or the model that gives them and how.
        reference: the baseline's answers, whose instructions are asked; "hub" for AlpacaEval 2's own.
        annotator: alpaca_eval's name of the judge's prompt and parser.
        options: what decides the verdicts.
        spending: the limits.
        published: difficulties, gamed baselines and coefficients, as far as they were given.
        output: the run folder.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        level: coverage of the intervals.
        overwrite: replace another run in the folder; its replies are kept.
        show_progress: whether progress is shown on standard error.

    Raises:
        EvalkitError: answers, a judge or a folder that cannot be used.
        OutOfBudgetError: at `spending.max_cost`.
    """
    make_folder(output)
    judged_by, baseline = load_annotator(annotator), read_outputs(reference)
    if isinstance(source, Path):
        answers, notes = read_outputs(source), []
    else:
        chosen = sorted(baseline.instructions)[: options.limit]
        folder = output / "generated"
        answers = generate(
            {key: baseline.instructions[key] for key in chosen},
            source,
            folder,
            overwrite=overwrite,
            show_progress=show_progress,
        )
        baseline = only(baseline, chosen)
        cut = cut_short(folder)
        notes = [f"{cut} answers ended at {source.max_new_tokens} tokens, unfinished."] if cut else []
    planned = plan(answers, baseline, judged_by, options, spending)
    annotations, found = annotate(planned, output, spending, overwrite=overwrite, show_progress=show_progress)
    config = read_config(output) or {}
    return score(
        annotations,
        published,
        output,
        config=config,
        found=found,
        notes=notes,
        seed=seed,
        resamples=resamples,
        level=level,
    )
