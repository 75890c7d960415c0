"""The command line: each command parses, calls one function, and prints."""

import inspect
import json
import os
from collections.abc import Callable
from dataclasses import MISSING, fields
from importlib.util import find_spec
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from halotheory.command import run
from trainer.config import AlignConfig, DataConfig, Machine, SampleConfig, make_config
from trainer.errors import HaloTheoryError, TrainerError
from trainer.unheard import going_on_unheard

app = typer.Typer(
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

_RECIPE = typer.Option(help="YAML recipe; options given here override it.", metavar="FILE")
_SETTINGS = typer.Option(
    "--set",
    help="Hyperparameter of the loss, for example --set beta=0.05; in a recipe: hyperparameters.",
    metavar="NAME=NUMBER",
)
_OVERWRITE = typer.Option("--overwrite", help="Start anew, in place of what --output holds of an older run.")
_AS_JSON = typer.Option("--json", help="Print the report as JSON.")
_DEBUG = typer.Option("--debug", help="Show tracebacks.")


def _version(wanted: bool) -> None:
    if wanted:
        from halotheory import __version__

        print(f"trainer {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Align language models with feedback, with any loss."""


def main() -> int:
    """Return the exit status of this process's command line."""
    return run(app, HaloTheoryError)


def _check_installed() -> None:
    """Say which extra to install, before an import deep inside fails.

    Raises:
        TrainerError: a library that training needs is missing.
    """
    for name in ("accelerate", "datasets", "jinja2", "safetensors", "transformers", "yaml"):
        if find_spec(name) is None:
            raise TrainerError(f"{name} is not installed; install what training needs: pip install 'halotheory[train]'")


def _options(config_class: type, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return one typer annotation per field of a configuration."""
    annotations: dict[str, Any] = {}
    hints = get_type_hints(config_class)
    for one in fields(config_class):
        if one.name in leave_out or "help" not in one.metadata:
            continue
        hint = hints[one.name]
        kinds = [str] if get_origin(hint) is Literal else [kind for kind in get_args(hint) or (hint,) if kind]
        kind = list[str] if get_origin(hint) is tuple else next(kind for kind in kinds if kind is not type(None))
        required = one.default is MISSING
        shown = one.metadata["shown"] or False
        text = one.metadata["help"] + (" [required]" if required else "")
        flags = ["--" + name.replace("_", "-") for name in (one.name, *one.metadata["also"])]
        option = typer.Option(*flags, help=text, show_default=shown)
        annotations[one.name] = Annotated[kind | None, option]
    return annotations


def _with_options(annotations: dict[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, written as f(**words), the options that typer is to parse."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(hint), annotation=hint)
            for name, hint in annotations.items()
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = dict(annotations)
        return command

    return decorate


def _default(hint: Any) -> bool | None:
    return False if get_args(hint)[0] is bool else None


_FLAGS = {"overwrite": Annotated[bool, _OVERWRITE], "debug": Annotated[bool, _DEBUG]}
_FROM_FILE = {"config": Annotated[str | None, _RECIPE]}
_SET = {"settings": Annotated[list[str] | None, _SETTINGS]}


@app.command(name="align")
@_with_options({**_options(AlignConfig), **_SET, **_FROM_FILE, **_FLAGS})
def align_command(**words: Any) -> None:
    """Align a model with feedback, with any loss.

    A row of --data is {"prompt": ..., "completion": ..., "label": true} or {"prompt": ..., "chosen": ...,
    "rejected": ...}. Prompts are text or lists of {"role": ..., "content": ...}. A column "weight" multiplies losses.

    Example: trainer align --loss kto --model out/sft/model --data thumbs.jsonl --output out/kto --set beta=0.1
    """
    settings = _settings(words.pop("settings"))
    _train(words, hyperparameters=settings) if settings else _train(words)


def _settings(words: list[str] | None) -> dict[str, float]:
    from halotheory.settings import parse_settings

    return parse_settings(words or [])


_NO_SFT = ("loss", "balance", "reference_model", "reference_point", "reference_point_over")
"""What `sft` decides, or has no use for: its loss names nothing of a reference model."""


@app.command(name="sft")
@_with_options(
    {**_options(AlignConfig, _NO_SFT), **_FROM_FILE, **_FLAGS},
)
def sft_command(**words: Any) -> None:
    """Finetune on good completions: `align` with the loss `sft`.

    Pairs give their chosen completion, thumbs their desirable ones, rows of {prompt, completion} all. The loss is a
    mean over completions of a sum over tokens, so that a long one weighs more.

    Example: trainer sft --model Qwen/Qwen2.5-0.5B --data pairs.jsonl --output out/sft --epochs 2
    """
    if words["config"] is not None:
        _check_loss_of_sft(words["config"])
    _train(words, loss="sft")


def _check_loss_of_sft(recipe: str) -> None:
    """Refuse a recipe of another loss than the one that `sft` trains with.

    Raises:
        TrainerError: it is one, or it cannot be read.
    """
    from trainer.recipe import read

    loss = read(recipe).get("loss")
    if loss is not None and loss.value != "sft":
        raise TrainerError(
            f"{loss.place}: loss {loss.plain()}: trainer sft has the loss sft; "
            f"give trainer align --config {recipe}, or take the line out"
        )


def _train(words: dict[str, Any], **fixed: object) -> None:
    _check_installed()
    from trainer.align import align

    overwrite, recipe = words.pop("overwrite"), words.pop("config")
    words.pop("debug")
    given = {name: value for name, value in words.items() if value is not None} | fixed
    config = make_config(AlignConfig, given, recipe)
    with going_on_unheard():
        model = align(config, overwrite=overwrite)
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print(model)


@app.command(name="sample")
@_with_options({**_options(SampleConfig), **_FLAGS})
def sample_command(**words: Any) -> None:
    """Sample completions of prompts to a JSONL file.

    Example: trainer sample --model out/sft/model --data prompts.jsonl --output samples.jsonl --samples 4
    """
    _check_installed()
    from trainer.sample import sample

    overwrite = words.pop("overwrite")
    words.pop("debug")
    given = {name: value for name, value in words.items() if value is not None}
    config = make_config(SampleConfig, given)
    with going_on_unheard():
        output = sample(config, overwrite=overwrite)
    print(output)


@app.command(name="curves")
def curves_command(
    runs: Annotated[list[str], typer.Argument(help="Folders of runs, finished or not.", metavar="RUN...")],
    output: Annotated[
        str | None, typer.Option(help="The page, .html.", show_default="RUN/curves.html, or curves.html of several")
    ] = None,
    across: Annotated[
        str, typer.Option("--x", help="step, or epoch, which compares runs of unlike batch sizes.")
    ] = "step",
    debug: Annotated[bool, _DEBUG] = False,
) -> None:
    """Draw the curves of a run, or of several over each other, on one page.

    Example: trainer curves out/kto out/dpo --output compared.html --x epoch
    """
    from pathlib import Path

    from trainer.curves import draw_curves

    if across not in ("step", "epoch"):
        raise TrainerError(f"--x {across}: expected step, epoch")
    whole = output or (f"{runs[0]}/curves.html" if len(runs) == 1 else "curves.html")
    print(draw_curves(runs, Path(whole), across=across))


@app.command(name="data")
@_with_options({**_options(DataConfig), "as_json": Annotated[bool, _AS_JSON], **_FLAGS})
def data_command(**words: Any) -> None:
    """Convert feedback to pairs or thumbs, with a report of every row.

    Named data sets: hh, hh-harmless, hh-helpful, shp, shp2, oasst1, oasst2, ultrafeedback, ultrafeedback-binarized.

    Examples:

      trainer data --data pairs.jsonl --to unpaired --one-per-prompt --output thumbs.jsonl

      trainer data --data shp --min-score-ratio 2 --max-pairs-per-prompt 5 --output shp.parquet

      trainer data --from scores.jsonl --to unpaired --threshold 6 --held-out 0.1 --output thumbs.jsonl

      trainer data --data hh-harmless --data oasst2 --lang en --to unpaired --weights 0.7,0.3 --output mix.jsonl.gz

    Whatever the order of the options, this is the order of the operations: for each --data: read, leave out empty
    answers, --style, --max-pairs-per-prompt, --to; then for all rows: --weights and --size, --dedupe,
    --one-per-prompt, --keep-desirable, --keep-undesirable, --shuffle, --limit, --held-out.
    """
    _check_installed()
    from trainer.converting import convert

    overwrite, as_json = words.pop("overwrite"), words.pop("as_json")
    words.pop("debug")
    given = {
        name: tuple(value) if isinstance(value, list) else value for name, value in words.items() if value is not None
    }
    report = convert(make_config(DataConfig, given), overwrite=overwrite)
    print(json.dumps(report, indent=2, ensure_ascii=False) if as_json else words["output"])


_NO_PLAN = ("data", "output", "reference_cache", "tracker", "keep", "save_steps", "log_steps", "balance")
_PLAN_DATA = typer.Option("--data", help="Feedback, as for align. Without it lengths are assumed.")


@app.command(name="plan")
@_with_options(
    {
        **_options(AlignConfig, _NO_PLAN),
        "data": Annotated[str | None, _PLAN_DATA],
        **_options(Machine),
        **_SET,
        **_FROM_FILE,
        "as_json": Annotated[bool, _AS_JSON],
        "debug": Annotated[bool, _DEBUG],
    }
)
def plan_command(**words: Any) -> None:
    """Tell what a run would take, before anything is loaded: memory by part, time, disk.

    Memory is that of one process, or GPU. The data of a recipe are read where the file is there. Exit status 1: the
    run does not fit into --gpu-memory.

    Examples:

      trainer plan --model meta-llama/Meta-Llama-3-8B --loss kto --dtype bfloat16 --gpu-memory 80

      trainer plan --config recipe.yaml --sharding fsdp --gpus 8 --gpu-memory 80 --json
    """
    _check_installed()
    from trainer.planning import data_at_hand, plan

    as_json, recipe, settings = words.pop("as_json"), words.pop("config"), _settings(words.pop("settings"))
    words.pop("debug")
    given = {name: value for name, value in words.items() if value is not None} | {"output": ""}
    machine = {one.name: given.pop(one.name) for one in fields(Machine) if one.name in given}
    given.setdefault("data", data_at_hand(recipe))
    if settings:
        given["hyperparameters"] = settings
    made = plan(make_config(AlignConfig, given, recipe), make_config(Machine, machine))
    print(json.dumps(made.as_dict(), indent=2) if as_json else "\n".join(made.lines()))
    if made.fits is False:
        raise typer.Exit(1)
