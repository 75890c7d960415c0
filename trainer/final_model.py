"""What a run trained, as files that others load: a model, or an adapter of one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from trainer import adapters
from trainer.config import AlignConfig
from trainer.engine import gathered, is_sharded
from trainer.errors import TrainerError
from trainer.models import DTYPES, load_model


def write_model(accelerator: Accelerator, policy: Any, config: AlignConfig, stops: Sequence[int], folder: Path) -> None:
    """Write the trained weights to a folder, as safetensors in the dtype of the run. Called by every process.

    Args:
        accelerator: which process this is.
        policy: as it was prepared.
        config: the run's settings.
        stops: tokens that end a completion, for a model whose generation settings lack one of them.
        folder: that the main process writes to.

    Raises:
        TrainerError: a weight is not finite.
    """
    weights = gathered(accelerator, policy) if is_sharded(accelerator) else None
    if not accelerator.is_main_process:
        return
    model, dtype = accelerator.unwrap_model(policy).model, DTYPES[config.dtype]
    _check_finite(model.named_parameters() if weights is None else weights.items())
    if not adapters.is_adapted(model):
        _write(model.to(dtype) if weights is None else _whole(model, weights, dtype), stops, folder)
        return
    adapters.save_adapter(model, folder, weights)
    if config.merge:
        merged = load_model(str(folder)).to(dtype)  # in float32 and not quantised, whatever it was trained beside
        for name in (adapters.SETTINGS, adapters.WEIGHTS):
            (folder / name).unlink()
        _write(merged, stops, folder)


def _check_finite(weights: Iterable[tuple[str, Tensor]]) -> None:
    """Check the last step, which no later loss has."""
    for name, weight in weights:
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise TrainerError(f"{name}: not finite after the last step; no model is written; lower --learning-rate")


def _write(model: Any, stops: Sequence[int], folder: Path) -> None:
    settings = model.generation_config
    if settings is not None:
        known = settings.eos_token_id
        if not set(stops) <= {*(known if isinstance(known, list) else [known])}:
            settings.eos_token_id = list(stops)  # what was learned as an end ends what is generated
    model.save_pretrained(folder)


def _whole(model: Any, weights: dict[str, Tensor], dtype: torch.dtype) -> Any:
    """Return a sharded model's twin with all of its weights."""
    with torch.device("meta"):
        twin = type(model)(model.config).to(dtype)
    twin.load_state_dict({name: weight.to(dtype) for name, weight in weights.items()}, assign=True)
    twin.tie_weights()
    twin.generation_config = model.generation_config
    return twin
