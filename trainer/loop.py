"""The training loop: microbatches to gradients, gradients to a step, and what is written on the way."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.tensor import DTensor

from halotheory.contract import Loss
from trainer import checkpoint, metrics
from trainer.batch import Sequences, Tokens, matched, mismatched
from trainer.checkpoint import Position
from trainer.codec import Codec
from trainer.config import AlignConfig
from trainer.held_out import HeldOut
from trainer.logps import Scorer, Scores
from trainer.loss_scale import LossScale
from trainer.metrics import Window
from trainer.order import Indices, Order
from trainer.progress import Report, progress, say
from trainer.reference_point import NEEDS_MISMATCHED, RunningMean, faded
from trainer.schedule import learning_rate
from trainer.tokens import TokenTable
from trainer.totals import Scored, over_processes


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that the loop works with.

    Attributes:
        config: the run's settings, resolved.
        loss: with the hyperparameters in force.
        table: the examples.
        held_out: those for evaluation, if any.
        codec: how they became tokens.
        order: in which they come.
        accelerator: which process this is, and how gradients are shared.
        policy: the prepared model.
        optimizer: the prepared optimizer.
        scorer: from sequences to the loss's arguments.
        draw: completions of prompts from the policy: f(prompts, seed); for the reference point `sampled` only.
        running: the reference point `running-mean` so far.
        scale: of the loss in float16.
        steps: of the whole run.
        output: the run's folder.
        fingerprint: of data and loss, for checkpoints.
    """

    config: AlignConfig
    loss: Loss
    table: TokenTable
    held_out: HeldOut | None
    codec: Codec
    order: Order
    accelerator: Accelerator
    policy: Any
    optimizer: Any
    scorer: Scorer
    draw: Callable[[tuple[Tokens, ...], list[int]], Sequences]
    running: RunningMean
    scale: LossScale
    steps: int
    output: Path
    fingerprint: str


def _nothing(*what: object) -> None:
    """Do nothing: no one asked for more."""


def train(
    training: Training,
    start: Position,
    *,
    evaluate: Callable[[int, Report], None] = _nothing,
    log: Callable[[dict[str, Any]], None] = _nothing,
) -> None:
    """Take every step from `start` on.

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
            for group in training.optimizer.param_groups:
                group["lr"] = rate
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
            if stop:
                raise KeyboardInterrupt
            evaluate(done, report)


def gradient(
    training: Training, microbatches: list[Indices], kl_raw: Tensor | None = None
) -> tuple[list[Scored], float]:
    """Leave a step's gradient, clipped, in the weights; return what was scored, and the gradient's norm before."""
    examples = sum(map(len, microbatches))
    while True:
        scored = [
            backward(training, one, examples, last=one is microbatches[-1], kl_raw=kl_raw) for one in microbatches
        ]
        grad_norm = _clipped(training)
        if not training.scale.overflowed(grad_norm):
            return scored, grad_norm
        training.optimizer.zero_grad()  # once more, with the lower scale


def backward(
    training: Training, microbatch: Indices, step_examples: int, *, last: bool, kl_raw: Tensor | None = None
) -> Scored:
    """Add the gradient of sum(losses) / step_examples over this process's share of a microbatch.

    Every process divides by the examples of the whole step, and the average that DDP takes over processes is
    undone: the step's gradient is that of one big batch. A process without a share lends an example that counts 0.
    """
    accelerator, processes = training.accelerator, training.accelerator.num_processes
    with nullcontext() if last else accelerator.no_sync(training.policy):
        examples, scores = told(training, microbatch, kl_raw)
        scores.policy.retain_grad()
        losses = training.loss(**scores.tensors)
        if not losses.requires_grad:
            raise training.loss.error("returned losses that do not depend on the policy's log-probabilities")
        losses = weighted(training, losses, examples)
        total = losses.sum() if losses.dim() else losses * len(examples)
        accelerator.backward(total * (training.scale.value * scores.counts * processes / step_examples))
    return Scored(
        examples=examples,
        losses=losses.detach().expand(len(examples)),
        slopes=metrics.slopes(scores, len(examples)) * (step_examples / processes / training.scale.value),
        scores=scores,
    )


def told(training: Training, microbatch: Indices, kl_raw: Tensor | None) -> tuple[Indices, Scores]:
    """Return this process's examples of a microbatch, and what the loss is told about them.

    Args:
        training: what the loop works with.
        microbatch: over all processes.
        kl_raw: the step's reference point before its clamp, or None where the microbatch has its own.
    """
    table, config = training.table, training.config
    examples, neighbours, counts = _own(training, microbatch)
    crosses = training.loss.needs_kl and kl_raw is None and config.reference_point in NEEDS_MISMATCHED
    other = mismatched(table, examples, neighbours) if crosses else None
    desirable = torch.from_numpy(table.desirable[examples]).to(training.scorer.device)
    own = matched(table, examples)
    return examples, training.scorer.scores(own, other, desirable, counts=counts, kl_raw=kl_raw)


def weighted(training: Training, losses: Tensor, examples: Indices) -> Tensor:
    """Return the losses times the examples' weights, where the data has any."""
    weights = training.table.weights
    if weights is None:
        return losses
    if not losses.dim():
        raise training.loss.error(
            "returned one mean, and the rows have weights; return a value per example, or leave the column weight out"
        )
    return losses * torch.from_numpy(weights[examples]).to(losses.device)


def z0_of_step(training: Training, microbatches: list[Indices], step: int) -> Tensor | None:
    """Return the step's reference point before its clamp, (), or None where each microbatch has its own.

    A step of one microbatch needs no pass of its own for it. A running mean is moved on.
    """
    config, table, scorer = training.config, training.table, training.scorer
    kind = config.reference_point
    if not training.loss.needs_kl:
        return None
    if kind == "zero":
        return torch.zeros((), device=scorer.device)
    whole = config.reference_point_over == "step" and len(microbatches) > 1
    if not whole and kind in {"mismatched", "batch-mean"}:
        return None
    ratios, counted = [], []
    for at, microbatch in enumerate(microbatches):
        examples, neighbours, counts = _own(training, microbatch)
        if kind == "sampled":
            sequences = training.draw(
                matched(table, examples).prompts, [config.seed, step, at, training.accelerator.process_index]
            )
        elif kind == "batch-mean":
            sequences = matched(table, examples)
        else:
            sequences = mismatched(table, examples, neighbours)
        ratios.append(scorer.ratios(sequences))
        counted.append(torch.full_like(ratios[-1], counts))
    estimate = scorer.mean(torch.cat(ratios), torch.cat(counted))
    if kind == "running-mean":
        training.running.value = faded(training.running.value, float(estimate))
        return estimate.new_tensor(training.running.value)
    return estimate


def _own(training: Training, microbatch: Indices) -> tuple[Indices, Indices, bool]:
    """Return this process's examples of a microbatch, those whose completions they are mismatched with, and whether
    they count: a process without a share is lent an example."""
    accelerator = training.accelerator
    shares = share(microbatch, training.table.prompt_group, accelerator.num_processes)
    examples, neighbours = shares[accelerator.process_index]
    if len(examples):
        return examples, neighbours, True
    return microbatch[:1], np.roll(microbatch, -1)[:1], False


def share(microbatch: Indices, prompt_group: Indices, processes: int) -> list[tuple[Indices, Indices]]:
    """Return each process's examples of a microbatch, and beside each the one whose completion it is mismatched with.

    Completions of one prompt go to one process, as far as the shares stay equal, which computes the prompt once.
    """
    together = np.argsort(prompt_group[microbatch], kind="stable")
    neighbours = np.roll(microbatch, -1)
    return [(microbatch[at], neighbours[at]) for at in np.array_split(together, processes)]


def _clipped(training: Training) -> float:
    """Clip the gradient and return its norm before."""
    weights, max_norm = list(training.policy.parameters()), training.config.max_grad_norm or float("inf")
    if training.scale.used:
        for weight in weights:
            if weight.grad is not None:
                weight.grad.div_(training.scale.value)
    norm = training.accelerator.clip_grad_norm_(weights, max_norm)
    assert norm is not None
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def _save(training: Training, step: int, window: Window) -> None:
    position = Position(
        step=step,
        window=window,
        fingerprint=training.fingerprint,
        processes=training.accelerator.num_processes,
        running_mean=training.running.value,
    )
    checkpoint.save(training.accelerator, training.output / "checkpoints", position)
    if training.accelerator.is_main_process:
        say(f"checkpoint at step {step}; the same command continues from it")


@contextmanager
def told_to_stop() -> Iterator[list[int]]:
    """Give a list that fills when SIGINT or SIGTERM arrives; a second SIGINT interrupts at once."""
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        if number == signal.SIGINT and signal.SIGINT in told:
            raise KeyboardInterrupt
        if not told:
            say("stopping after this step")
        told.append(number)

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        yield told
        return
    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
