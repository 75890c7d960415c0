"""The reference point z0 that a loss is told as `kl`: exact, shared, or estimated as a trainer does."""

from typing import Literal

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.worlds.cells import Cells

ReferencePoint = Literal["kl", "shared_kl", "mismatched", "moving_kl"] | float
"""What `kl` is.

kl: KL(pi || pi_ref) of each prompt, held fixed within a step.
shared_kl: its mean over prompts, one number for all, held fixed within a step.
mismatched: max(0, mean log-ratio of each prompt with another example's output), shared and held fixed: in a minibatch
    the trainer's estimate; in the population what this tends to with the size of the batch.
moving_kl: KL of each prompt as part of the objective, so that the gradient goes through it.
a number: that number, nats, >= 0.
"""

NAMES: tuple[str, ...] = ("kl", "shared_kl", "mismatched", "moving_kl")


def check_reference_point(reference_point: ReferencePoint) -> None:
    """Raise where there is no such reference point.

    Raises:
        HaloTheoryError: an unknown name, or a number that no KL is.
    """
    if isinstance(reference_point, str):
        if reference_point not in NAMES:
            raise HaloTheoryError(
                f"unknown reference point '{reference_point}'; there are {', '.join(NAMES)}, or a number"
            )
    elif not 0 <= reference_point < float("inf"):
        raise HaloTheoryError(f"reference_point={reference_point:g}; a KL is a number >= 0")


def kl_of_prompts(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Return KL(pi || pi_ref) of each prompt, nats, (W, X), from log-probabilities (W, X, Y)."""
    return (logps.exp() * (logps - reference_logps)).sum(-1)


def mismatched_of_population(log_ratios: Tensor, prompt_shares: Tensor, output_shares: Tensor) -> Tensor:
    """Return max(0, E[log-ratio of x and y']), x and y' drawn from the data independently, nats, (W,).

    Args:
        log_ratios: of every prompt and output, nats, (W, X, Y).
        prompt_shares: of the data's prompts, (W, X).
        output_shares: of the data's outputs, whatever their prompt, (W, Y).
    """
    return torch.einsum("wxy,wx,wy->w", log_ratios, prompt_shares, output_shares).clamp(min=0)


def mismatched_of_batch(log_ratios: Tensor, prompts: Tensor, outputs: Tensor) -> Tensor:
    """Return max(0, mean over the batch of the log-ratio of prompt i with the output of its neighbour i + 1), (W,).

    Neighbours are cyclic, the last one's is the first. Where two neighbours answer one prompt, the batch is put in
    another order first, as the trainer does.

    Args:
        log_ratios: of every prompt and output, nats, (W, X, Y).
        prompts: x of the batch, (W, B).
        outputs: y of the batch, (W, B).
    """
    order = apart(prompts)
    prompts, outputs = prompts.gather(1, order), outputs.gather(1, order)
    where = prompts * log_ratios.shape[-1] + outputs.roll(-1, dims=1)
    return log_ratios.flatten(1).gather(1, where).mean(1).clamp(min=0)


def apart(prompts: Tensor) -> Tensor:
    """Return an order of each batch in which cyclic neighbours answer different prompts, where that is possible.

    Batches without such neighbours keep theirs. In others the most frequent prompt comes first, on every second place.

    Args:
        prompts: (W, B).

    Returns:
        indices, (W, B).
    """
    size = prompts.shape[1]
    kept = torch.arange(size, device=prompts.device).expand_as(prompts)
    clashes = (prompts == prompts.roll(-1, dims=1)).any(1, keepdim=True)
    num_prompts = int(prompts.max()) + 1
    counts = torch.zeros(len(prompts), num_prompts, dtype=torch.int64, device=prompts.device)
    counts = counts.scatter_add(1, prompts, torch.ones_like(prompts)).gather(1, prompts)
    key = (size - counts) * num_prompts + prompts
    grouped = key.argsort(dim=1, stable=True)
    places = torch.cat([kept[0, 0::2], kept[0, 1::2]])
    moved = torch.empty_like(grouped)
    moved[:, places] = grouped
    return torch.where(clashes, moved, kept)


def data_shares(cells: Cells, num_prompts: int, num_outputs: int) -> tuple[Tensor, Tensor]:
    """Return the shares of prompts, (W, X), and of outputs, (W, Y), in the data; of pairs, the chosen outputs."""
    weights = cells.weights
    prompts = torch.zeros(len(weights), num_prompts, dtype=weights.dtype, device=weights.device)
    outputs = torch.zeros(len(weights), num_outputs, dtype=weights.dtype, device=weights.device)
    where = (cells.prompts.expand(weights.shape), (cells.outputs[0] % num_outputs).expand(weights.shape))
    return prompts.scatter_add(1, where[0], weights), outputs.scatter_add(1, where[1], weights)
