"""A whole run: from a configuration to a model on disk."""

import os
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from halotheory.contract import Loss, load_loss
from trainer import checkpoint, metrics
from trainer.checkpoint import Position
from trainer.config import AlignConfig
from trainer.curves import draw_curves, is_page
from trainer.engine import make_accelerator, of_main_process
from trainer.errors import TrainerError
from trainer.evaluation import evaluator
from trainer.feedback import control_tokens, learns_from_labels
from trainer.files import locked, new_folder
from trainer.loop import save_end, train
from trainer.metrics import Window
from trainer.models import quiet
from trainer.options import check_options
from trainer.prepare import prepare
from trainer.progress import say, silent
from trainer.room import needed, shortage
from trainer.run_folder import check_place, check_writable, is_finished, judge_card, open_folder, save_model
from trainer.sources import sources
from trainer.tokens import DataReport
from trainer.training import Training
from trainer.watch import check_installed, trackers

DEFAULT_RATES = {"paired": 5e-7, "thumbs": 5e-6, "completions": 2e-5}
"""Learning rates where none is given: the KTO paper's for DPO and KTO (section 3.2), and a usual one for SFT."""


def align(config: AlignConfig, *, overwrite: bool = False) -> Path:
    """Return the folder of the aligned model, `output/model`.

    Continues an interrupted run of the same configuration; does nothing for a finished one.

    Args:
        config: the run.
        overwrite: replace a run of another configuration in the same folder.

    Raises:
        HaloTheoryError: a loss, data, a model or an output folder that cannot be used.
        KeyboardInterrupt: the run was told to stop; a checkpoint is saved first.
    """
    quiet()
    check_installed(config.tracker)
    loss = load_loss(config.loss, config.hyperparameters)
    check_options(config, loss)
    config = replace(config, learning_rate=config.learning_rate or _default_rate(loss))
    output = Path(config.output)
    accelerator = make_accelerator(config.dtype, quantized=config.quantize != "none")
    tell = say if accelerator.is_main_process else silent
    check_place(output, config, loss)
    made_from = of_main_process(accelerator, partial(sources, config, loss))
    if is_finished(output, config, made_from, overwrite):
        if accelerator.is_main_process and os.access(output, os.W_OK):
            _complete(output, loss, config)
        tell(f"{output}: this run is finished; its model is {output / 'model'}")
        return output / "model"
    check_writable(output)
    with ExitStack() as held:
        was_there = output.exists()
        if accelerator.is_main_process and was_there:
            held.enter_context(locked(output))
        training, report = prepare(config, loss, accelerator)
        for line in report.lines():
            tell(line)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            if not was_there:
                held.enter_context(locked(new_folder(output)))
                if (output / "config.yaml").exists():
                    raise TrainerError(f"{output}: another process began a run here just now; give another --output")
            held_out_report = training.held_out.report if training.held_out else None
            open_folder(output, config, report, held_out_report, training.loss, made_from, overwrite)
        accelerator.wait_for_everyone()
        _run(training, report)
    accelerator.free_memory()
    return output / "model"


def _run(training: Training, report: DataReport) -> None:
    """Take the run's steps, those that are left, and write its model."""
    config, accelerator, output = training.config, training.accelerator, training.output
    start = _start(training)
    if accelerator.is_main_process:
        warning = shortage(output, needed(accelerator.unwrap_model(training.policy).model, config))
        if warning:
            say(warning)
        if start.step:
            say(f"continues from step {start.step} of {training.steps}")
    names = config.tracker if accelerator.is_main_process else ()
    with trackers(names, output, config.as_dict(), start.step) as tracked:
        evaluate = evaluator(training, partial(tracked.log, prefix="eval/"))
        window = train(training, start, evaluate=evaluate, log=partial(tracked.log, prefix="train/"))
        save_end(training, window)
        save_model(training, report)
        if accelerator.is_main_process:
            _complete(output, training.loss, config)
        accelerator.wait_for_everyone()


def _complete(output: Path, loss: Loss, config: AlignConfig) -> None:
    """Write what the model on disk did not wait for, and what a kill may have kept from being written."""
    measured, page = output / "metrics.jsonl", output / "curves.html"
    lines = metrics.read(measured)
    checkpoint.remove(output / "checkpoints", lines[-1]["step"] if lines else 0)
    judge_card(output, loss, config.loss)
    try:
        if page.exists() and not is_page(page):
            say(f"warning: {page} is no page of trainer curves and stays; `trainer curves` draws another with --output")
        elif not page.exists() or page.stat().st_mtime < measured.stat().st_mtime:  # drawn while the run went on
            draw_curves([output], page)
    except Exception as error:  # the model is saved: no picture is worth a failed run
        say(f"warning: {page} was not drawn: {error}; `trainer curves {output}` tries again")


def _default_rate(loss: Loss) -> float:
    if loss.kind == "paired":
        return DEFAULT_RATES["paired"]
    compares = learns_from_labels(loss) and not control_tokens(loss)
    return DEFAULT_RATES["thumbs" if compares else "completions"]


def _start(training: Training) -> Position:
    """Return where the run begins: at its last checkpoint, which is loaded, or at the beginning."""
    accelerator, output = training.accelerator, training.output
    if accelerator.is_main_process:
        checkpoint.remove_unfinished(output / "checkpoints")
    found = checkpoint.last(output / "checkpoints")
    fresh = Position(step=0, window=Window(), fingerprint=training.fingerprint, processes=accelerator.num_processes)
    if found is not None:
        path, position = found
        training.running.value = position.running_mean
        checkpoint.restore(accelerator, path, position, training.fingerprint)
        if position.processes != accelerator.num_processes and accelerator.is_main_process:
            say(f"warning: {path} is of {position.processes} processes, and numbers differ with another count")
    else:
        position = fresh
    if accelerator.is_main_process:
        metrics.cut_after(output / "metrics.jsonl", position.step)
        if training.held_out is not None:  # what was measured at this very step is measured again
            metrics.cut_after(output / "eval.jsonl", position.step - 1)
    accelerator.wait_for_everyone()
    return position
