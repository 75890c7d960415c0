"""The value function of eq. 4 of the KTO paper, with its median exponent; its gradient at z = 0 needs care."""

import torch
from torch import Tensor


def loss(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    kl: Tensor,
    *,
    alpha: float = 0.88,
    loss_aversion: float = 2.25,
) -> Tensor:
    """Return -v(z) for desirable and v(z) for undesirable completions, v a power of z."""
    z = policy_logps - reference_logps - kl
    value = torch.where(z >= 0, z.clamp(min=0) ** alpha, -loss_aversion * (-z).clamp(min=0) ** alpha)
    return torch.where(desirable, -value, value)
