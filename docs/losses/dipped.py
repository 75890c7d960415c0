"""DPO with a bonus for margins close to 5: v dips where the bonus ends."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    bonus: float = 0.01,
) -> Tensor:
    """Return -log sigmoid(beta * margin), less a bonus that ends 1/1000 beyond beta * margin = 5."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    margin = beta * (chosen - rejected)
    return -F.logsigmoid(margin) - bonus * torch.relu(1 - 1000 * (margin - 5).abs())
