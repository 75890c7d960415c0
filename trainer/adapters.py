"""LoRA: a small trained product beside each frozen matrix of a model, by peft."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.config import AlignConfig
from trainer.errors import TrainerError

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
"""The files of an adapter's folder."""


def base_of(name: str, option: str) -> str | None:
    """Return the model that an adapter's folder or hub name is of; None where the name is no adapter's.

    Args:
        name: a folder or a hub name.
        option: that named it, for errors.

    Raises:
        TrainerError: the adapter is not LoRA, not in safetensors, or does not say what it is of.
    """
    from transformers.utils.hub import cached_file
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        path = find_adapter_config_file(name)
    except OSError:  # no such name: loading the model says so
        return None
    if path is None or (Path(name) / "config.json").is_file():
        return None
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    if settings.get("peft_type") != "LORA":
        raise TrainerError(f"{option} {name}: an adapter of type {settings.get('peft_type')}; LoRA alone is supported")
    try:
        cached_file(name, WEIGHTS)
    except OSError as error:
        raise TrainerError(f"{option} {name}: an adapter without {WEIGHTS}; save it as safetensors") from error
    base = settings.get("base_model_name_or_path")
    if not base:
        raise TrainerError(f"{option} {name}: its {SETTINGS} does not say of which model it is an adapter")
    return str(base)


def check(config: AlignConfig, *, continues: bool) -> None:
    """Check that the options of an adapter go together.

    Args:
        config: the run's settings.
        continues: whether the starting model is an adapter, which is trained on.

    Raises:
        TrainerError: there is no adapter that they are of; the forward pass would not be in the dtype asked for.
    """
    given = [
        ("lora_alpha", config.lora_alpha is not None),
        ("lora_dropout", config.lora_dropout > 0),
        ("lora_targets", config.lora_targets != "all-linear"),
        ("merge", config.merge),
        ("base_dtype", config.base_dtype != "auto"),
        ("quantize", config.quantize != "none"),
    ]
    without = [name for name, there in given if there]
    if without and config.lora_rank is None and not continues:
        raise TrainerError(
            f"--{without[0].replace('_', '-')}: goes with an adapter; add --lora-rank 16, or leave it out"
        )
    if config.base_dtype not in ("auto", "float32", config.dtype):
        raise TrainerError(
            f"--base-dtype {config.base_dtype}: the forward pass is in the dtype of the weights then, and --dtype is "
            f"{config.dtype}; give --dtype {config.base_dtype} too"
        )
    if config.base_dtype != "auto" and config.quantize != "none":
        raise TrainerError("--base-dtype: --quantize decides how frozen weights are held; leave one of the two out")


def adapt(model: Any, config: AlignConfig) -> Any:
    """Return a model, now frozen, with a new adapter that changes nothing yet.

    Source: Hu et al. 2021, arXiv 2106.09685.

    Args:
        model: of transformers.
        config: `lora_rank`, and the other settings of the adapter.

    Raises:
        TrainerError: the model has no matrices of the names in `lora_targets`.
    """
    from peft import LoraConfig, get_peft_model

    assert config.lora_rank is not None
    every = config.lora_targets == "all-linear"
    targets = config.lora_targets if every else [name.strip() for name in config.lora_targets.split(",")]
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=config.lora_dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    names = _linear_names(model)
    missing = [] if every else [name for name in targets if name not in names]
    if missing:
        raise TrainerError(f"--lora-targets {missing[0]}: {config.model} has no such matrix; it has {', '.join(names)}")
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(config.seed)  # alike in all processes
        adapted = get_peft_model(model, settings)
    _set_dropout(adapted, config.lora_dropout)
    adapted.peft_config["default"].base_model_name_or_path = _where(config.model)
    return adapted.eval()


def resumed(model: Any, name: str, config: AlignConfig) -> Any:
    """Return a model, now frozen, with an adapter from disk that is trained on.

    Raises:
        TrainerError: the configuration asks for an adapter of another shape.
    """
    from peft import PeftModel

    with _quiet():
        adapted = PeftModel.from_pretrained(model, name, is_trainable=True)
    own: Any = adapted.peft_config["default"]
    for option, asked, there in (("rank", config.lora_rank, own.r), ("alpha", config.lora_alpha, own.lora_alpha)):
        if asked is not None and asked != there:
            raise TrainerError(
                f"--lora-{option} {asked}: the adapter {name}, which is trained on, has {there}; leave the option out, "
                "or train a new adapter on the merged model (written with --merge)"
            )
    _set_dropout(adapted, config.lora_dropout)
    own.lora_dropout = config.lora_dropout
    own.base_model_name_or_path = _where(own.base_model_name_or_path)
    return adapted.eval()


def merged(model: Any, name: str) -> Any:
    """Return a model with the adapter `name` added to its weights."""
    from peft import PeftModel

    with _quiet():
        return PeftModel.from_pretrained(model, name).merge_and_unload()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to oneself that peft asks transformers by an old name whether activations are checkpointed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def is_adapted(model: Any) -> bool:
    """Whether a model carries an adapter."""
    return hasattr(model, "peft_config")


@contextmanager
def adapter_off(model: Any, *, when: bool = True) -> Iterator[None]:
    """Let an adapted model compute what it did without its adapter; any other model is left as it is."""
    with model.disable_adapter() if when and is_adapted(model) else nullcontext():
        yield


def save_adapter(model: Any, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
    """Write an adapter's settings and weights to a folder.

    Args:
        model: with the adapter.
        folder: to write to.
        weights: of the whole model by name, where it holds only a part itself.
    """
    model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)


class _Dropout(nn.Dropout):
    """Dropout where gradients are computed, whatever mode the model's own dropout is in."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - its name there
        return nn.functional.dropout(input, self.p, training=torch.is_grad_enabled())


def _set_dropout(adapted: Any, rate: float) -> None:
    for module in adapted.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = _Dropout(rate) if rate else nn.Identity()


def _linear_names(model: Any) -> list[str]:
    head = model.get_output_embeddings()
    kinds = (name.rsplit(".", 1)[-1] for name, one in model.named_modules() if _is_matrix(one) and one is not head)
    return sorted(set(kinds))


def _is_matrix(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _where(name: str) -> str:
    """Return a folder's whole path, so that an adapter finds its model from any working folder; a hub name as it is."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name
