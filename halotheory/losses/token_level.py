"""Losses of single tokens, with an advantage for each."""

from typing import Annotated

import torch
from torch import Tensor


def ppo_clip(
    policy_token_logps: Tensor,
    reference_token_logps: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    epsilon: Annotated[float, "0 < epsilon < 1"] = 0.2,
) -> Tensor:
    """Return -min(q A, clip(q, 1 - epsilon, 1 + epsilon) A), averaged over each completion's tokens; q = pi / pi_ref.

    The minimum is min(q, 1 + epsilon) A for A >= 0 and max(q, 1 - epsilon) A for A < 0. It is taken on log q, for the
    exponential of a large ratio that is clipped would be infinite, and its gradient not a number.

    Source: Schulman et al. 2017, arXiv 1707.06347, eq. 7; offline, with pi_ref for the old policy, as in Ethayarajh et
    al. 2024, arXiv 2402.01306, section 3.3.

    Args:
        policy_token_logps: log pi(y_t|x, y_<t) of each completion token, nats, (batch, time).
        reference_token_logps: log pi_ref(y_t|x, y_<t), alike.
        advantages: A, of any sign, (batch, time).
        mask: bool, (batch, time): True on completion tokens; at least one in each row.
        epsilon: clip range, in (0, 1).

    Returns:
        (batch,), of either sign.
    """
    log_ratio = policy_token_logps - reference_token_logps
    range_of_clip = epsilon * torch.ones_like(log_ratio)
    clipped = torch.where(
        advantages >= 0,
        torch.minimum(log_ratio, torch.log1p(range_of_clip)),
        torch.maximum(log_ratio, torch.log1p(-range_of_clip)),
    )
    surrogate = advantages * torch.exp(clipped) * mask
    return -surrogate.sum(dim=-1) / mask.sum(dim=-1)
