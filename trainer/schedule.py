"""The learning rate of a step, and the optimizer that uses it."""

import math
from types import SimpleNamespace
from typing import Any

import torch

from trainer.config import AlignConfig
from trainer.errors import TrainerError


def set_rate(optimizer: Any, rate: float) -> None:
    """Give all of an optimizer's groups a learning rate; some optimizers hold it in a tensor, and count on that."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def learning_rate(step: int, steps: int, config: AlignConfig) -> float:
    """Return the learning rate of a step: a linear rise, then constant, or a linear or cosine fall.

    Args:
        step: steps done before this one, 0 to steps - 1.
        steps: of the whole run.
        config: peak rate, schedule, share of the steps that rise, share of the peak rate that is fallen to.
    """
    peak = float(config.learning_rate or 0.0)
    warmup = math.ceil(config.warmup_ratio * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    left = (steps - step) / max(1, steps - warmup)
    falls = {"constant": 1.0, "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}
    final = config.final_rate_ratio
    return peak * (final + (1 - final) * falls[config.schedule])


def make_optimizer(model: Any, config: AlignConfig) -> torch.optim.Optimizer:
    """Return an optimizer over the trainable weights; weight decay spares biases and norms.

    Raises:
        TrainerError: the optimizer's library is not installed.
    """
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trainable if weight.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [weight for weight in trainable if weight.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = float(config.learning_rate or 0.0)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=True)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate)
    return _of_transformers(config.optimizer, model, groups, rate)


def _of_transformers(name: str, model: Any, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    """Return an optimizer as transformers' own trainer makes it, with the usual Adam settings."""
    from transformers import Trainer

    asked = SimpleNamespace(
        optim=name,
        learning_rate=rate,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        weight_decay=0.0,
        optim_args=None,
    )
    try:
        kind, settings = Trainer.get_optimizer_cls_and_kwargs(asked)  # type: ignore[arg-type]
        optimizer = kind(groups, **settings)
        if settings.get("optim_bits") == 8:
            _spare_embeddings(model)
        return optimizer
    except (ImportError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise TrainerError(f"--optimizer {name}: cannot be made: {reason}; install it, or take adamw") from error


def _spare_embeddings(model: Any) -> None:
    """Let bitsandbytes keep the moments of embeddings in 32 bits, as transformers' trainer does."""
    from bitsandbytes.optim import GlobalOptimManager  # pyright: ignore[reportMissingImports]

    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            GlobalOptimManager.get_instance().register_module_override(module, "weight", {"optim_bits": 32})
