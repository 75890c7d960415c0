"""DPO with its sign flipped: it prefers the rejected output, and is a HALO all the same."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(-beta * margin) for each pair."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return -F.logsigmoid(-beta * (chosen - rejected))
