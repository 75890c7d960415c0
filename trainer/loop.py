"""The training loop: a gradient, a step, and what is written on the way."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from trainer import checkpoint, metrics
from trainer.checkpoint import Position
from trainer.engine import is_sharded
from trainer.errors import TrainerError
from trainer.metrics import Window
from trainer.progress import Report, progress, say
from trainer.schedule import learning_rate, set_rate
from trainer.step import gradient, telling_where, z0_of_step
from trainer.stopping import told_to_stop
from trainer.totals import over_processes
from trainer.training import Training


def _nothing(*what: object) -> None:
    """Do nothing: no one asked for more."""


def train(
    training: Training,
    start: Position,
    *,
    evaluate: Callable[[int, Report], None] = _nothing,
    log: Callable[[dict[str, Any]], None] = _nothing,
) -> Window:
    """Take every step from `start` on; return the metrics since the last logged line.

    Args:
        training: what it works with.
        start: where the run stands.
        evaluate: called before the first step and after each, with the number of steps done.
        log: told each line of metrics.jsonl; in the main process only.

    Raises:
        TrainerError: a loss or gradient that is not finite; the step is not taken.
        KeyboardInterrupt: the run was told to stop; a checkpoint is saved first.
    """
    config, accelerator, order = training.config, training.accelerator, training.order
    window, began = start.window, time.monotonic() - start.window.seconds
    bar = progress("step", training.steps, done=start.step, show=accelerator.is_main_process)
    with told_to_stop() as stopping, bar as report:
        evaluate(start.step, report)
        for step in range(start.step, training.steps):
            stepped = time.monotonic()
            epoch, at = divmod(step, order.steps_per_epoch)
            microbatches = order.step(epoch, at)
            kl_raw = z0_of_step(training, microbatches, step)
            with telling_where(f"at step {step + 1}; stopped before the step"):
                scored, grad_norm = gradient(training, microbatches, kl_raw)
            totals, stop = over_processes(
                accelerator,
                scored,
                np.concatenate(microbatches),
                training.table.places,
                grad_norm,
                step + 1,
                stop=bool(stopping),
            )
            rate = learning_rate(step, training.steps, config)
            set_rate(training.optimizer, rate)
            training.optimizer.step()
            training.optimizer.zero_grad()

            window.seconds = time.monotonic() - began
            window.add(totals, grad_norm=grad_norm, seconds=time.monotonic() - stepped)
            done = step + 1
            if done % config.log_steps == 0 or done == training.steps:
                line = window.line(
                    step=done, epoch=done / order.steps_per_epoch, learning_rate=rate, memory_gb=totals.memory_gb
                )
                if accelerator.is_main_process:
                    metrics.append(training.output / "metrics.jsonl", line)
                    log(line)
                report(done, metrics.shown(line))
            if stop or (done % config.save_steps == 0 and done < training.steps):
                _save(training, done, window)
                if accelerator.is_main_process:
                    say(f"checkpoint at step {done}; the same command continues from it")
            if stop:
                raise KeyboardInterrupt
            evaluate(done, report)
    return window


def save_end(training: Training, window: Window) -> None:
    """Save the last step, so that a model that cannot be written costs no step; called by every process.

    Args:
        training: what the loop has worked with.
        window: as the loop left it.

    Raises:
        TrainerError: it cannot be written either, and other processes wait.
    """
    try:
        _save(training, training.steps, window, more=1)
    except TrainerError as error:
        if is_sharded(training.accelerator):  # the others wait for this one
            raise
        if training.accelerator.is_main_process:
            checkpoint.remove_unfinished(training.output / "checkpoints")
            say(f"warning: {error}; the model may need less room, and is written next")


def _save(training: Training, step: int, window: Window, *, more: int = 0) -> None:
    position = Position(
        step=step,
        window=window,
        fingerprint=training.fingerprint,
        processes=training.accelerator.num_processes,
        running_mean=training.running.value,
    )
    folder = training.output / "checkpoints"
    checkpoint.save(training.accelerator, folder, position, keep=training.config.keep + more)
