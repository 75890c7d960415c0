"""The folder of a run: what is in it, whether it may be written to, and the model at the end."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from halotheory.contract import Loss
from trainer import metrics, sources
from trainer.adapters import SETTINGS
from trainer.config import AlignConfig, as_yaml, differing_keys, read_recipe
from trainer.errors import TrainerError
from trainer.files import as_json, finish_folder, partial_folder, write_text, writing
from trainer.final_model import write_model
from trainer.model_card import Made, model_card
from trainer.models import adapter_base
from trainer.tokens import DataReport
from trainer.training import Training
from trainer.verdict import verdict_lines

UNCHECKED = "**not checked yet**"
"""What stands in a model's card until the checker has spoken."""

_OF_THE_PLACE = ("output", "reference_cache", "keep", "tracker")
"""Settings that may change when a run is continued."""


def is_finished(output: Path, config: AlignConfig, made_from: Mapping[str, str], overwrite: bool) -> bool:
    """Return whether the folder holds this run, done.

    Args:
        output: the folder.
        config: the run's settings.
        made_from: digests of what the run reads.
        overwrite: whether another run may be replaced.

    Raises:
        TrainerError: it holds another run, or one of what has changed since, or something else that would be lost.
    """
    if overwrite:
        return False
    if not (output / "config.yaml").exists():
        there = [name for name in ("model", "metrics.jsonl", "checkpoints") if (output / name).exists()]
        if there:
            raise TrainerError(f"{output / there[0]}: exists, and is of no run; give another --output, or --overwrite")
        return False
    stored, wanted = read_recipe(str(output / "config.yaml")), config.as_dict()
    changed = [name for name in differing_keys(stored, wanted) if name not in _OF_THE_PLACE]
    if changed:
        told = ", ".join(f"{name} was {stored.get(name)} and is {wanted.get(name)}" for name in changed)
        raise TrainerError(
            f"{output}: holds a run of another configuration: {told}; give another --output, or --overwrite"
        )
    if (output / sources.NAME).exists():
        sources.check_unchanged(_stored(output / sources.NAME), made_from, config, output)
    return any((output / "model" / name).exists() for name in ("config.json", SETTINGS))


def check_place(output: Path, config: AlignConfig, loss: Loss) -> None:
    """Check that what a run reads does not lie in the folder that it writes, where `--overwrite` would remove it.

    Raises:
        TrainerError: it does; or the folder is a file, or cannot be written to.
    """
    if output.exists() and not output.is_dir():
        raise TrainerError(f"--output {output}: a file; give a folder")
    existing = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK):  # else it would be found out after the reference model has been asked
        raise TrainerError(f"--output {output}: {existing} cannot be written to; give another --output")
    read = {
        "starting model": config.model,
        "reference model": config.reference_model,
        "data": config.data,
        "evaluation data": config.eval_data,
        "loss": loss.source,
        "chat template": config.chat_template,
        "base of the adapter": adapter_base(config.model),
        "base of the reference adapter": config.reference_model
        and adapter_base(config.reference_model, "--reference-model"),
    }
    for what, given in read.items():
        if given and Path(given).exists() and Path(given).resolve().is_relative_to(output.resolve()):
            raise TrainerError(f"--output {output}: the {what} {given} lies in it; give another --output")


def _stored(path: Path) -> dict[str, str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise TrainerError(f"{path}: damaged; give another --output, or --overwrite")
    return values


def open_folder(
    output: Path,
    config: AlignConfig,
    report: DataReport,
    held_out: DataReport | None,
    loss: Loss,
    made_from: Mapping[str, str],
    overwrite: bool,
) -> None:
    """Write what the run was told and what became of its data; with `overwrite`, remove an older run's files."""
    if overwrite:
        for name in ("config.yaml", "metrics.jsonl", "eval.jsonl", "data_report.json", "curves.html", sources.NAME):
            (output / name).unlink(missing_ok=True)
        for name in ("model", "checkpoints", "trackers"):
            shutil.rmtree(output / name, ignore_errors=True)
    values = {**report.as_dict(), "hyperparameters": dict(loss.hyperparameters)}
    if held_out is not None:
        values["held_out"] = held_out.as_dict()
    write_text(output / "data_report.json", as_json(values))
    if not (output / sources.NAME).exists():  # else they are what they were
        write_text(output / sources.NAME, as_json(made_from))
    write_text(output / "config.yaml", as_yaml(config))


def save_model(training: Training, report: DataReport) -> None:
    """Write the model, its tokenizer and its card as `output/model`, at once. Called by every process."""
    accelerator, path = training.accelerator, training.output / "model"
    temporary = path.with_name(f".{path.name}.partial")
    if accelerator.is_main_process:
        partial_folder(path)
    with writing(path):
        write_model(accelerator, training.policy, training.config, training.codec.stops, temporary)
    if not accelerator.is_main_process:
        return
    with writing(path):
        training.codec.tokenizer.save_pretrained(temporary)
    write_text(temporary / "README.md", model_card(_made(training, report, adapter_base(str(temporary))), [UNCHECKED]))
    finish_folder(temporary, path)


def as_trained(output: Path, loss: Loss) -> Loss:
    """Return a loss with the hyperparameters of a run that is on disk, class weights of `--balance` included."""
    return loss.with_settings(json.loads((output / "data_report.json").read_text(encoding="utf-8"))["hyperparameters"])


def judge_card(model: Path, loss: Loss, spec: str) -> None:
    """Write the verdict on the loss, items of a list, into the card of a model where it is not there yet.

    Args:
        model: the model's folder.
        loss: with the hyperparameters in force.
        spec: as `--loss` names it.
    """
    card = model / "README.md"
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    if UNCHECKED in text:
        write_text(card, text.replace(UNCHECKED, "\n- ".join(verdict_lines(loss, spec)), 1))


def _made(training: Training, report: DataReport, base: str | None) -> Made:
    held_out, evaluations = training.held_out, metrics.read(training.output / "eval.jsonl")
    return Made(
        config=training.config,
        loss=training.loss,
        report=report,
        held_out=held_out.report if held_out else None,
        last=metrics.read(training.output / "metrics.jsonl")[-1],
        evaluation=evaluations[-1] if evaluations else None,
        processes=training.accelerator.num_processes,
        base=base,
    )
