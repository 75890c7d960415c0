"""KTO with the reference point written inside: the mean log-ratio of the batch, clamped at 0 and detached."""

import torch
from torch import Tensor


def loss(policy_logps: Tensor, reference_logps: Tensor, desirable: Tensor, *, beta: float = 0.1) -> Tensor:
    """Return 1 - sigmoid(+-beta * (log-ratio - z0)), z0 >= 0."""
    log_ratio = policy_logps - reference_logps
    z0 = log_ratio.mean().detach().clamp(min=0)
    sign = torch.where(desirable, 1.0, -1.0)
    return 1 - torch.sigmoid(sign * beta * (log_ratio - z0))
