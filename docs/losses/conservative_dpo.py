"""Conservative DPO: the expected DPO loss when labels are flipped at a known rate."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    flip_rate: float = 0.2,
) -> Tensor:
    """Return the mean, over the label's two readings, of -log sigmoid(+-beta * margin)."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    margin = beta * (chosen - rejected)
    return -(1 - flip_rate) * F.logsigmoid(margin) - flip_rate * F.logsigmoid(-margin)
