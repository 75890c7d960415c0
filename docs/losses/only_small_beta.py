"""KTO with a value function that saturates like exp(-z), and bends the wrong way if beta is large."""

import torch
from torch import Tensor


def loss(policy_logps: Tensor, reference_logps: Tensor, desirable: Tensor, kl: Tensor, *, beta: float = 1.0) -> Tensor:
    """Return -v(z) or v(z), where v(z) = z in losses and beta/4 exp(-2 z) - 2 exp(-z) in gains, up to a constant."""
    z = policy_logps - reference_logps - kl
    decay = torch.exp(-torch.relu(z))
    value = beta / 4 * decay**2 - 2 * decay + torch.clamp(z, max=0)
    return torch.where(desirable, -value, value)
