"""PPO without the clip: the importance-weighted advantage of each token."""

from torch import Tensor


def loss(
    policy_token_logps: Tensor,
    reference_token_logps: Tensor,
    advantages: Tensor,
    mask: Tensor,
) -> Tensor:
    """Return minus the mean over tokens of ratio * advantage."""
    ratio = (policy_token_logps - reference_token_logps).exp()
    return -(ratio * advantages * mask).sum(-1) / mask.sum(-1)
