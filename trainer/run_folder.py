"""The folder of a run: what is in it, whether it may be written to, and the model at the end."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from halotheory.contract import Loss
from trainer import checkpoint, metrics, sources
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

_FOLDERS = ("checkpoints", "trackers", "model")
_FILES = ("config.yaml", "metrics.jsonl", "eval.jsonl", "curves.html", sources.NAME, "data_report.json")
"""What a run writes to its folder."""


def is_finished(output: Path, config: AlignConfig, made_from: Mapping[str, str], overwrite: bool) -> bool:
    """Return whether the folder holds this run, done.

    Args:
        output: the folder.
        config: the run's settings.
        made_from: digests of what the run reads.
        overwrite: whether another run may be replaced.

    Raises:
        TrainerError: it holds another run, or one of what has changed since; or, also with `overwrite`, something else
            that would be lost.
    """
    _check_of_a_run(output)
    if overwrite:
        return False
    if not (output / "config.yaml").exists():
        there = [name for name in ("model", "metrics.jsonl", "checkpoints") if (output / name).exists()]
        if there:
            raise TrainerError(
                f"{output / there[0]}: exists, and the run's config.yaml is gone; give another --output, or --overwrite"
            )
        return False
    stored, wanted = read_recipe(str(output / "config.yaml")), config.as_dict()
    changed = [name for name in differing_keys(stored, wanted) if name not in _OF_THE_PLACE]
    if changed:
        told = ", ".join(f"{name} was {stored.get(name)} and is {wanted.get(name)}" for name in changed)
        raise TrainerError(
            f"{output}: holds a run of another configuration: {told}; give another --output, or --overwrite"
        )
    if (output / sources.NAME).exists() and _is_begun(output):
        sources.check_unchanged(_stored(output / sources.NAME), made_from, config, output)
    return any((output / "model" / name).exists() for name in ("config.json", SETTINGS))


def _check_of_a_run(output: Path) -> None:
    """Check that what bears the names of a run's files was written by one, else it is neither read nor replaced.

    Raises:
        TrainerError: it was not.
    """
    there = [name for name in (*_FILES, *_FOLDERS) if (output / name).exists()]
    if there and not _bears_marks(output):
        raise TrainerError(f"{output / there[0]}: exists, and is of no run; give another --output, or move it away")


def _bears_marks(output: Path) -> bool:
    """Whether a folder holds what a run writes first, or a recipe of all settings, as only a run writes them."""
    if "hyperparameters" in _values(output / "data_report.json") or "loss" in _values(output / sources.NAME):
        return True
    try:
        settings = read_recipe(str(output / "config.yaml"))
    except TrainerError:
        return False
    return settings.keys() >= {one.name for one in fields(AlignConfig)}


def check_place(output: Path, config: AlignConfig, loss: Loss) -> None:
    """Check that what a run reads does not lie in the folder that it writes, where `--overwrite` would remove it.

    Raises:
        TrainerError: it does; or the folder is a file.
    """
    if output.exists() and not output.is_dir():
        raise TrainerError(f"--output {output}: a file; give a folder")
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


def check_writable(output: Path) -> None:
    """Check that a folder can be written to, or made; else that would be found out after the reference pass.

    Raises:
        TrainerError: it cannot.
    """
    if output.is_symlink() and not output.exists():
        raise TrainerError(f"--output {output}: a link to nothing; make the folder that it names, or give another")
    existing = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise TrainerError(f"--output {output}: {existing} cannot be written to; give another --output")


def _is_begun(output: Path) -> bool:
    """Whether there are steps that would be lost, or mixed with those of other sources."""
    return (output / "model").exists() or checkpoint.last(output / "checkpoints") is not None


def _stored(path: Path) -> dict[str, str]:
    values = _values(path)
    if not values:
        raise TrainerError(f"{path}: damaged; give another --output, or --overwrite")
    return values


def _values(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds by name: nothing where it is damaged or not there."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


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
        for name in _FILES[:-1]:  # the report is replaced below: were this killed, it would show whose the rest is
            (output / name).unlink(missing_ok=True)
        for name in _FOLDERS:
            shutil.rmtree(output / name, ignore_errors=True)
    values = {**report.as_dict(), "hyperparameters": dict(loss.hyperparameters)}
    if held_out is not None:
        values["held_out"] = held_out.as_dict()
    write_text(output / "data_report.json", as_json(values))
    if not (output / sources.NAME).exists() or not _is_begun(output):  # else they are what they were
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


def judge_card(output: Path, loss: Loss, spec: str) -> None:
    """Write the verdict on the loss, items of a list, into the card of a run's model where it is not there yet.

    Args:
        output: the run's folder.
        loss: its loss; the hyperparameters in force, class weights of `--balance` included, are read from the run.
        spec: as `--loss` names it.
    """
    card, report = output / "model" / "README.md", output / "data_report.json"
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    if UNCHECKED in text and report.exists():
        trained = loss.with_settings(json.loads(report.read_text(encoding="utf-8"))["hyperparameters"])
        write_text(card, text.replace(UNCHECKED, "\n- ".join(verdict_lines(trained, spec)), 1))


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
