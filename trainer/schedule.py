"""The learning rate of a step, and the optimizer that uses it."""

import math
from typing import Any

import torch

from trainer.config import AlignConfig


def learning_rate(step: int, steps: int, config: AlignConfig) -> float:
    """Return the learning rate of a step: a linear rise, then constant, or a linear or cosine fall towards 0.

    Args:
        step: steps done before this one, 0 to steps - 1.
        steps: of the whole run.
        config: peak rate, schedule, share of the steps that rise.
    """
    peak = float(config.learning_rate or 0.0)
    warmup = math.ceil(config.warmup_ratio * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    left = (steps - step) / max(1, steps - warmup)
    falls = {"constant": 1.0, "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}
    return peak * falls[config.schedule]


def make_optimizer(model: Any, config: AlignConfig) -> torch.optim.Optimizer:
    """Return AdamW or RMSProp over the trainable weights; weight decay spares biases and norms."""
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trainable if weight.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [weight for weight in trainable if weight.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=float(config.learning_rate or 0.0))
    return torch.optim.AdamW(groups, lr=float(config.learning_rate or 0.0), fused=True)
