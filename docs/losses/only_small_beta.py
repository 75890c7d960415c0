"""KTO with a piecewise linear value function: concave in gains as long as it becomes flatter at z = 1."""

import torch
from torch import Tensor


def loss(policy_logps: Tensor, reference_logps: Tensor, desirable: Tensor, kl: Tensor, *, beta: float = 1.0) -> Tensor:
    """Return -v(z) for desirable and v(z) for undesirable completions; v has slope 2 up to z = 1, and beta beyond."""
    z = policy_logps - reference_logps - kl
    value = torch.where(z < 1, 2 * z, 2 + beta * (z - 1))
    return torch.where(desirable, -value, value)
