"""A loss on pairs that falls in an S from 1 to 0, its steepest place at a margin of its own."""

import torch
from torch import Tensor


def loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    steepest: float = 1.0,
) -> Tensor:
    """Return sigmoid(steepest - beta * margin) for each pair."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return torch.sigmoid(steepest - beta * (chosen - rejected))
