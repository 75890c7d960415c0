"""Losses on single completions, with or without a thumbs-up label."""

import torch
from torch import Tensor


def kto(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    kl: Tensor,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return lambda_y - v(x, y) for each completion, v = lambda_y * sigmoid(+-beta * (log-ratio - kl)).

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, eq. 6; 1 - sigmoid(t) is written sigmoid(-t).

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).
        reference_logps: log pi_ref(y|x), alike.
        desirable: bool, (batch,); True for thumbs up.
        kl: the reference point z0 = E_pi[log pi/pi_ref], nats, >= 0, detached, scalar or (batch,).
        beta: risk aversion, > 0: the larger, the sooner the value saturates.
        desirable_weight: lambda_D, > 0.
        undesirable_weight: lambda_U, > 0.

    Returns:
        (batch,), between 0 and the example's weight.
    """
    z = policy_logps - reference_logps - kl
    return torch.where(
        desirable,
        desirable_weight * torch.sigmoid(-beta * z),
        undesirable_weight * torch.sigmoid(beta * z),
    )


def sft(policy_logps: Tensor) -> Tensor:
    """Return -log pi(y|x) for each completion: maximum likelihood.

    Source: Ethayarajh et al. 2024, arXiv 2402.01306, section 2 (supervised finetuning).

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).

    Returns:
        (batch,), >= 0.
    """
    return -policy_logps
