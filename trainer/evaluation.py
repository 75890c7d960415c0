"""How a run does on examples that it does not learn from."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from trainer import metrics
from trainer.held_out import HeldOut
from trainer.progress import Report
from trainer.reference_point import RunningMean
from trainer.step import losses_of, telling_where, told, weighted, z0_of_step
from trainer.training import Training


def evaluator(
    training: Training, log: Callable[[dict[str, Any]], None] = lambda line: None
) -> Callable[[int, Report], None]:
    """Return what the loop calls after each step, and before the first: f(steps done, report).

    It evaluates every `--eval-steps` steps and after the last one, and does nothing in between.

    Args:
        training: what the loop works with.
        log: told each line of eval.jsonl; in the main process only.
    """
    config, epoch, held_out = training.config, training.order.steps_per_epoch, training.held_out

    def after(done: int, report: Report) -> None:
        due = done == training.steps or (config.eval_steps is not None and done % config.eval_steps == 0)
        if held_out is None or not due:
            return
        line = {"step": done, "epoch": round(done / epoch, 6), **evaluate(training, held_out, done, report)}
        if training.accelerator.is_main_process:
            metrics.append(training.output / "eval.jsonl", line)
            log(line)

    return after


def evaluate(training: Training, held_out: HeldOut, step: int, report: Report) -> dict[str, float | None]:
    """Return the means over held-out examples, by their names in metrics.jsonl; None for one that is not finite.

    Each example counts once, however the examples are cut over microbatches and processes. Nothing of the run
    changes: dropout is off, no gradient is taken, the running mean of a reference point stays.

    Args:
        training: what the loop works with.
        held_out: the examples.
        step: steps done, the seed of what is sampled.
        report: told how far it is.
    """
    running = RunningMean(value=training.running.value)
    there = replace(training, table=held_out.table, running=running)
    microbatches, sums = held_out.microbatches, []
    with _at_rest(training.policy), torch.no_grad(), telling_where(f"in the evaluation at step {step}; stopped"):
        kl_raw = _reference_point(there, microbatches, step)
        for at, microbatch in enumerate(microbatches, start=1):
            examples, scores = told(there, microbatch, kl_raw)
            losses = weighted(there, losses_of(there, examples, scores), examples).expand(len(examples))
            sums.append(metrics.statistics(losses, scores))
            report(step, f"evaluation {at}/{len(microbatches)}")
    total = training.accelerator.reduce(torch.stack(sums).sum(dim=0))
    assert isinstance(total, Tensor)
    means = metrics.means(total.tolist())
    return {name: value if math.isfinite(value) else None for name, value in means.items()}


def _reference_point(there: Training, microbatches: list[Any], step: int) -> Tensor | None:
    """Return z0 as training would have it next: a running mean as it stands."""
    if there.config.reference_point == "running-mean" and there.running.value is not None:
        return torch.tensor(there.running.value, device=there.scorer.device)
    return z0_of_step(there, microbatches, step)


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Turn dropout off for the body, and then each module back to its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
