"""KTO that leaves pi_ref out and keeps the given kl, which is about pi_ref: open."""

import torch
from torch import Tensor


def loss(policy_logps: Tensor, desirable: Tensor, kl: Tensor, *, beta: float = 0.1) -> Tensor:
    """Return 1 - sigmoid(+-beta * (log pi - kl))."""
    sign = torch.where(desirable, 1.0, -1.0)
    return 1 - torch.sigmoid(sign * beta * (policy_logps - kl))
