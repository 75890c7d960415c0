"""The folder of a run: what is in it, whether it may be written to, and the model at the end."""

import shutil
from pathlib import Path

from halotheory.contract import Loss
from trainer import metrics
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

_OF_THE_PLACE = ("output", "reference_cache", "keep", "tracker")
"""Settings that may change when a run is continued."""


def is_finished(output: Path, config: AlignConfig, overwrite: bool) -> bool:
    """Return whether the folder holds this run, done.

    Raises:
        TrainerError: it holds another run, or something else that would be lost.
    """
    if output.exists() and not output.is_dir():
        raise TrainerError(f"--output {output}: a file; give a folder")
    for what, given in (("starting model", config.model), ("data", config.data)):
        if Path(given).exists() and Path(given).resolve().is_relative_to(output.resolve()):
            raise TrainerError(f"--output {output}: the {what} {given} lies in it; give another --output")
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
    return any((output / "model" / name).exists() for name in ("config.json", SETTINGS))


def open_folder(
    output: Path,
    config: AlignConfig,
    report: DataReport,
    held_out: DataReport | None,
    loss: Loss,
    overwrite: bool,
) -> None:
    """Write what the run was told and what became of its data; with `overwrite`, remove an older run's files."""
    if overwrite:
        for name in ("config.yaml", "metrics.jsonl", "eval.jsonl", "data_report.json", "curves.html"):
            (output / name).unlink(missing_ok=True)
        for name in ("model", "checkpoints", "trackers"):
            shutil.rmtree(output / name, ignore_errors=True)
    values = {**report.as_dict(), "hyperparameters": dict(loss.hyperparameters)}
    if held_out is not None:
        values["held_out"] = held_out.as_dict()
    write_text(output / "data_report.json", as_json(values))
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
    made = _made(training, report, adapter_base(str(temporary)))
    write_text(temporary / "README.md", model_card(made, ["**not checked**"]))
    finish_folder(temporary, path)
    write_text(path / "README.md", model_card(made, verdict_lines(training.loss, training.config.loss)))


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
