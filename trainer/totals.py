"""What a step came to over all processes, in one collective, and the end of a run whose numbers are not finite."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from trainer import metrics
from trainer.errors import TrainerError
from trainer.logps import Scores
from trainer.metrics import StepTotals
from trainer.order import Indices


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A microbatch after its backward pass.

    Attributes:
        examples: of this process.
        losses: of each, or their mean, (len(examples),).
        slopes: |d loss/d log pi| of each, (len(examples),).
        scores: what the loss was told.
    """

    examples: Indices
    losses: Tensor
    slopes: Tensor
    scores: Scores


def over_processes(
    accelerator: Accelerator,
    scored: Sequence[Scored],
    examples: Indices,
    places: Sequence[str],
    grad_norm: float,
    step: int,
    *,
    stop: bool,
) -> tuple[StepTotals, bool]:
    """Return the step's totals, and whether any process was told to stop.

    Values that are not sums travel as sums too: each process fills places of its own.

    Args:
        accelerator: which process this is.
        scored: this process's microbatches.
        examples: of the whole step, each once.
        places: where each example of the data comes from.
        grad_norm: of the step.
        step: its number, from 1.
        stop: whether this process was told to stop.

    Raises:
        TrainerError: any process met a value that is not finite.
    """
    problem, device = _problem(scored, places, step), accelerator.device
    memory = torch.zeros(accelerator.num_processes, device=device)
    memory[accelerator.process_index] = metrics.peak_memory_gb(device)
    tokens = sum(one.scores.sequences.tokens for one in scored if one.scores.counts)
    parts = {
        "sums": torch.stack([metrics.statistics(one.losses, one.scores) for one in scored]).sum(dim=0).flatten(),
        "slopes": _placed(scored, examples, device),
        "memory": memory,
        "flags": torch.tensor([float(tokens), stop, problem is not None], device=device),
    }
    everywhere = accelerator.reduce(torch.cat(list(parts.values())))
    assert isinstance(everywhere, Tensor)
    found = dict(zip(parts, everywhere.split([len(part) for part in parts.values()]), strict=True))
    all_tokens, stopped, problems = found["flags"].tolist()
    if problems or not math.isfinite(grad_norm):
        said = [one for one in gather_object([problem]) if one is not None]
        first = places[int(scored[0].examples[0])]
        raise TrainerError(said[0] if said else _told(first, f"the gradient's norm is {grad_norm}", step))
    totals = StepTotals(
        sums=found["sums"].view(-1, 2).tolist(),
        slopes=found["slopes"].tolist(),
        tokens=int(all_tokens),
        memory_gb=max(found["memory"].tolist()),
    )
    return totals, stopped > 0


def _placed(scored: Sequence[Scored], examples: Indices, device: torch.device) -> Tensor:
    """Return the slopes of this process's examples at their places among those of the step, and 0 elsewhere."""
    slopes, ordered = torch.zeros(len(examples), device=device), torch.from_numpy(examples).sort().values
    for one in scored:
        if one.scores.counts:
            at = torch.searchsorted(ordered, torch.from_numpy(one.examples))
            slopes[at.to(device)] = one.slopes.float()
    return slopes


def _problem(scored: Sequence[Scored], places: Sequence[str], step: int) -> str | None:
    """Return an error that names the first example whose loss, or whose loss's gradient, is not finite."""
    for one in scored:
        for name, values in (("loss", one.losses), ("loss's gradient", one.slopes)):
            if not bool(torch.isfinite(values).all()):
                at = int((~torch.isfinite(values)).nonzero()[0])
                return _told(places[int(one.examples[at])], f"the {name} is {float(values[at])}", step)
    return None


def _told(place: str, what: str, step: int) -> str:
    return (
        f"{place}: {what} at step {step}; stopped before the step, checkpoints are untouched; "
        "lower --learning-rate, or look at this example and at the loss"
    )
