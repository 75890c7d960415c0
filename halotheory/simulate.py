"""The command `halotheory simulate`: parse, call one function, print."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halotheory.command import DONE
from halotheory.errors import HaloTheoryError
from halotheory.files import write_bytes, write_text
from halotheory.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from halotheory.experiments import Result

EXPERIMENTS: Mapping[str, str] = {
    "phase": "Theorem 4: which of two outputs wins, by beta, pi_ref and the majority's share",
    "noise": "labels that are turned round, 0 to 40 % of them",
    "imbalance": "1 % to 99 % thumbs up, with and without the weights of Eq. 7",
    "one-per-prompt": "both outputs of each pair, one of them, or one output per prompt",
    "reference-point": "z0 exact, shared, estimated, moving, and none",
    "shape": "the paper's ablations of v, and Eq. 4's own function, by the size of the data",
    "utility": "reward, Kahneman-Tversky value, Bradley-Terry likelihood: who maximises which",
    "minority": "what a minority of 10 to 40 % gets that wants other things",
    "drift": "gain by KL from the reference, over training",
    "intransitive": "preferences that go round",
}
"""What each experiment varies; `halotheory.experiments.EXPERIMENTS` has them by the same names."""
_FILES = ("result.json", "table.csv", "figure.svg", "page.html")


_Experiment = Annotated[
    str | None, typer.Argument(metavar="EXPERIMENT", help="Its name; without one, all of them are listed.")
]
_Losses = Annotated[
    list[str] | None,
    typer.Option("--loss", "-l", metavar="LOSS", help="A built-in, a file, or a function in it; may be repeated."),
]
_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Set a hyperparameter of every loss that has it."),
]
_At = Annotated[str | None, typer.Option(metavar="A,B,...", help="The values to try of what is varied.")]
_ReferencePoint = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What losses get as kl: kl, shared_kl, mismatched, moving_kl, a number."),
]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FOLDER", help=f"Write {', '.join(_FILES)}, too.")
]
_Figure = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figure, too: .svg, .png or .pdf.")]


def simulate(
    experiment: _Experiment = None,
    losses: _Losses = None,
    settings: _Settings = None,
    at: _At = None,
    reference_point: _ReferencePoint = None,
    seeds: Annotated[int | None, typer.Option(help="Worlds, in ten groups over which intervals are.")] = None,
    tuning_seeds: Annotated[int | None, typer.Option(help="Other worlds, for learning rates and beta.")] = None,
    prompts: Annotated[int | None, typer.Option(help="Prompts of a world.")] = None,
    outputs: Annotated[int | None, typer.Option(help="Outputs of each prompt.")] = None,
    examples: Annotated[int | None, typer.Option(help="Pairs (or single outputs) in a world's data set.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of gradient descent.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples of a step; by default the whole data set.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is drawn.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    output: _Output = None,
    figure: _Figure = None,
) -> int:
    """Watch losses in small worlds of prompts, outputs and people, where the best policy is known.

    Every loss gets the same worlds and data; learning rates and beta are tuned for each loss on other worlds. The
    first loss is compared with each other one. A loss file is your own code, and is run.

    Experiments: phase, noise, imbalance, one-per-prompt, reference-point, shape, utility, minority, drift,
    intransitive.

    Examples:

      halotheory simulate noise

      halotheory simulate noise -l my_loss.py -l kto -l dpo --at 0,0.2,0.4

      halotheory simulate imbalance --json --output runs/imbalance

      halotheory simulate shape --set beta=0.5 --seeds 500 --figure shape.pdf

    Exit status: 0 done, 2 bad input, 130 interrupted.
    """
    if experiment is None:
        print("\n".join(f"{name:16} {text}" for name, text in EXPERIMENTS.items()))
        return DONE
    _check_experiment(experiment)
    _check_targets(output, figure)
    budget = {
        "seeds": seeds,
        "tuning_seeds": tuning_seeds,
        "prompts": prompts,
        "outputs": outputs,
        "examples": examples,
        "steps": steps,
        "batch_size": batch_size,
        "seed": seed,
        "device": device,
    }
    options = {
        "losses": losses,
        "settings": parse_settings(settings or []),
        "at": None if at is None else _numbers(at),
        "reference_point": None if reference_point is None else _number_or_name(reference_point),
    }
    result = _result(experiment, _given(budget), options)
    for path in _written(result, output, figure):
        print(f"written: {path}", file=sys.stderr)
    _show(result, as_json=as_json)
    return DONE


def _check_experiment(name: str) -> None:
    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        raise HaloTheoryError(f"unknown experiment '{name}'{meant}; there are: {', '.join(EXPERIMENTS)}")


def _show(result: "Result", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.as_dict(), indent=2, allow_nan=False))
        return
    from halotheory.reporting.report import show
    from halotheory.reporting.simulation import render

    show(render(result))


def _result(name: str, budget: Mapping[str, Any], options: Mapping[str, Any]) -> "Result":
    from halotheory.experiments import EXPERIMENTS as FUNCTIONS

    experiment = FUNCTIONS[name]
    with _progress() as started:
        return experiment.run(**options, budget=replace(experiment.budget, **budget), started=started)


def _written(result: "Result", output: Path | None, figure: Path | None) -> Iterator[Path]:
    """Write the files that are wanted, each whole or not at all, and yield their names."""
    if output is None and figure is None:
        return
    from halotheory.reporting.experiment_figure import draw
    from halotheory.reporting.simulation import page, table

    if output is not None:
        as_json = json.dumps(result.as_dict(), indent=2, allow_nan=False)
        texts = (f"{as_json}\n", table(result), draw(result, ".svg").decode("utf-8"), page(result))
        try:
            output.mkdir(exist_ok=True)
        except OSError as error:
            raise HaloTheoryError(f"{output}: cannot be created: {error.strerror}") from error
        for name, text in zip(_FILES, texts, strict=True):
            write_text(output / name, text)
            yield output / name
    if figure is not None:
        write_bytes(figure, draw(result, figure.suffix.lower()))
        yield figure


def _check_targets(output: Path | None, figure: Path | None) -> None:
    if output is not None and output.exists() and not output.is_dir():
        raise HaloTheoryError(f"{output}: is a file; name a folder to write in")
    for path in (output, figure):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise HaloTheoryError(f"{path.parent}: no such folder; create it first")
        folder = path if path.is_dir() else path.parent
        if not os.access(folder, os.W_OK):
            raise HaloTheoryError(f"{folder}: cannot be written in; name another folder")
    if figure is not None:
        if figure.is_dir():
            raise HaloTheoryError(f"{figure}: is a folder; name the file to write in it")
        if figure.suffix.lower() not in {".svg", ".png", ".pdf"}:
            raise HaloTheoryError(f"{figure}: a picture is written as .svg, .png or .pdf, not '{figure.suffix}'")


@contextmanager
def _progress() -> "Iterator[Callable[[str], None]]":
    """Yield what to tell what comes next; a line on standard error, where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("worlds") as status:
        yield status.update


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _numbers(text: str) -> Sequence[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise HaloTheoryError(f"--at {text}: give numbers with commas between them, 0,0.1,0.2") from None


def _number_or_name(text: str) -> "float | str":
    try:
        return float(text)
    except ValueError:
        return text
