"""One step, from a batch of examples to the gradient in the weights."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from trainer import metrics
from trainer.batch import matched, mismatched
from trainer.engine import holds_all_weights, is_sharded
from trainer.errors import HaloTheoryError, TrainerError
from trainer.logps import Scores
from trainer.on_device import on_device
from trainer.order import Indices
from trainer.reference_point import NEEDS_MISMATCHED, faded
from trainer.totals import Scored
from trainer.training import Training


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
    # FSDP2 without synchronisation would hold the gradients of all weights on every process
    waits = not last and not is_sharded(accelerator)
    with accelerator.no_sync(training.policy) if waits else nullcontext():
        examples, scores = told(training, microbatch, kl_raw)
        scores.policy.retain_grad()
        losses = losses_of(training, examples, scores)
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
    examples, neighbours, counts = training.share(microbatch)
    crosses = training.loss.needs_kl and kl_raw is None and config.reference_point in NEEDS_MISMATCHED
    other = mismatched(table, examples, neighbours) if crosses else None
    desirable = on_device(table.desirable[examples], training.scorer.device)
    own = matched(table, examples)
    return examples, training.scorer.scores(own, other, desirable, counts=counts, kl_raw=kl_raw)


def losses_of(training: Training, examples: Indices, scores: Scores) -> Tensor:
    """Return what the loss gives for this process's examples.

    Raises:
        TrainerError: it raised, or broke the contract; the message says of which rows.
    """
    try:
        return training.loss(**scores.tensors)
    except HaloTheoryError as error:
        places = [training.table.places[int(at)] for at in examples]
        more = f" and {len(places) - 2} more" if len(places) > 2 else ""
        raise TrainerError(f"{error} (examples {', '.join(places[:2])}{more})") from error


@contextmanager
def telling_where(where: str) -> Iterator[None]:
    """Say in the body's errors where the run was, and what they cost.

    Raises:
        TrainerError: the body raised a HaloTheoryError.
    """
    try:
        yield
    except HaloTheoryError as error:
        raise TrainerError(f"{error} {where}, checkpoints are untouched") from error


def weighted(training: Training, losses: Tensor, examples: Indices) -> Tensor:
    """Return the losses times the examples' weights, where the data has any."""
    weights = training.table.weights
    if weights is None:
        return losses
    if not losses.dim():
        raise training.loss.error(
            "returned one mean, and the rows have weights; return a value per example, or leave the column weight out"
        )
    return losses * on_device(weights[examples], losses.device)


def _clipped(training: Training) -> float:
    """Clip the gradient and return its norm before."""
    weights, max_norm = list(training.policy.parameters()), training.config.max_grad_norm or float("inf")
    if training.scale.used:
        for weight in weights:
            if weight.grad is not None:
                weight.grad.div_(training.scale.value)
    if holds_all_weights(training.accelerator):
        norm = get_total_norm(weight.grad for weight in weights if weight.grad is not None)
        if norm + 1e-6 > max_norm:  # else the gradients would be multiplied by 1
            clip_grads_with_norm_(weights, max_norm, norm)
        return float(norm)
    norm = training.accelerator.clip_grad_norm_(weights, max_norm)
    assert norm is not None
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


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
        examples, neighbours, counts = training.share(microbatch)
        if kind == "sampled":
            seed = [config.seed, step, at, training.accelerator.process_index]
            with scorer.arithmetic():  # in which they are scored, too
                sequences = training.draw(matched(table, examples).prompts, seed)
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
