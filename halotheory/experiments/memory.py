"""What an experiment takes in memory, so that one that is too large is refused before it begins."""

import os
from pathlib import Path

import torch

from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget

_FLOAT = 8  # bytes
_HELD = 3  # tensors over pairs of outputs that the data of one condition consists of, and as many over outputs
_BUSY = 12  # alike, while worlds are drawn or trained
_DRAWN = 6  # tensors over a data set's examples while they are drawn
_GIB = 2**30


def check_memory(budget: Budget, *, conditions: int, largest: int = 0, records: int = 0) -> None:
    """Raise where an experiment's tensors would not fit into the memory that is free.

    Args:
        budget: of the experiment.
        conditions: how many are held at once, each with worlds and data of its own.
        largest: examples of the largest data set, where it is not the budget's.
        records: how many policies of each world are kept over training.

    Raises:
        HaloTheoryError: what is needed and what there is.
    """
    free = free_bytes(budget.device)
    needed = needed_bytes(budget, conditions=conditions, largest=largest, records=records)
    if free is not None and needed > free:
        raise HaloTheoryError(
            f"this needs about {needed / _GIB:.3g} GiB of memory, and {free / _GIB:.3g} GiB are free; "
            "give fewer --seeds, --tuning-seeds, --outputs, --prompts or --examples"
        )


def needed_bytes(budget: Budget, *, conditions: int, largest: int = 0, records: int = 0) -> int:
    """Return roughly how much memory an experiment takes; see `check_memory`."""
    of_world = budget.prompts * budget.outputs * (budget.outputs + 4)
    both, more = budget.seeds + budget.tuning_seeds, max(budget.seeds, budget.tuning_seeds)
    held = conditions * both * _HELD * of_world
    busy = more * (_BUSY * of_world + _DRAWN * (max(largest, budget.examples) + budget.batch_size))
    return _FLOAT * (held + busy + 2 * records * budget.seeds * budget.prompts * budget.outputs)


def free_bytes(device: str) -> int | None:
    """Return how much memory is free on a device, or None where the system does not say."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
