"""Whether a disk has room for what a run will write at least."""

import shutil
from pathlib import Path
from typing import Any

from trainer.adapters import is_adapted
from trainer.config import AlignConfig
from trainer.models import DTYPES

_MOMENTS = {"adamw": 2, "rmsprop": 1}
"""Numbers that an optimizer keeps for each trained weight, as wide as the weight; of others none are counted."""


def needed(model: Any, config: AlignConfig) -> int:
    """Return the bytes of the final model and of one checkpoint: trained weights, and what the optimizer keeps.

    Args:
        model: of transformers or peft, whole or this process's part.
        config: the run's settings.
    """
    weights, adapted = list(model.parameters()), is_adapted(model)
    trained = sum(weight.numel() * weight.itemsize for weight in weights if weight.requires_grad)
    whole = sum(weight.numel() for weight in weights if not (adapted and weight.requires_grad))
    written = trained if adapted and not config.merge else whole * DTYPES[config.dtype].itemsize
    return written + trained * (1 + _MOMENTS.get(config.optimizer, 0))


def shortage(output: Path, wanted: int) -> str | None:
    """Return a warning where a folder's disk has less than so many bytes free, or None."""
    free = shutil.disk_usage(output).free
    if free >= wanted:
        return None
    return (
        f"warning: --output {output}: {_size(free)} free, and the model and one checkpoint take {_size(wanted)}; "
        "free some, or give another"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
