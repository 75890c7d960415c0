"""Losses of single completions with a thumbs up or down, by their value against a reference point."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
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


def kto_without_reference_point(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return lambda_y - v(x, y) for each completion, v = lambda_y * sigmoid(+-beta * log-ratio).

    KTO with the reference point held at 0.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, section 4.3 and table 2 (no z0).

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).
        reference_logps: log pi_ref(y|x), alike.
        desirable: bool, (batch,); True for thumbs up.
        beta: risk aversion, > 0: the larger, the sooner the value saturates.
        desirable_weight: lambda_D, > 0.
        undesirable_weight: lambda_U, > 0.

    Returns:
        (batch,), between 0 and the example's weight.
    """
    z = policy_logps - reference_logps
    return torch.where(
        desirable,
        desirable_weight * torch.sigmoid(-beta * z),
        undesirable_weight * torch.sigmoid(beta * z),
    )


def kto_concave(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    kl: Tensor,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return -lambda_y * log sigmoid(+-beta * (log-ratio - kl)) for each completion.

    KTO with 1 - sigmoid replaced by -log sigmoid, which does not saturate in losses.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, section 4.3 and table 2 (concave).

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).
        reference_logps: log pi_ref(y|x), alike.
        desirable: bool, (batch,); True for thumbs up.
        kl: the reference point z0 = E_pi[log pi/pi_ref], nats, >= 0, detached, scalar or (batch,).
        beta: risk aversion, > 0: the larger, the sooner the value saturates.
        desirable_weight: lambda_D, > 0.
        undesirable_weight: lambda_U, > 0.

    Returns:
        (batch,), > 0.
    """
    z = policy_logps - reference_logps - kl
    return torch.where(
        desirable,
        -desirable_weight * F.logsigmoid(beta * z),
        -undesirable_weight * F.logsigmoid(-beta * z),
    )


def kto_risk_neutral(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    kl: Tensor,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return lambda_y * (1 -+ beta * (log-ratio - kl)) for each completion.

    KTO with the identity in place of the logistic function.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, section 4.3 and table 2 (risk-neutral).

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).
        reference_logps: log pi_ref(y|x), alike.
        desirable: bool, (batch,); True for thumbs up.
        kl: the reference point z0 = E_pi[log pi/pi_ref], nats, >= 0, detached, scalar or (batch,).
        beta: scale of the value, > 0.
        desirable_weight: lambda_D, > 0.
        undesirable_weight: lambda_U, > 0.

    Returns:
        (batch,), of either sign.
    """
    z = policy_logps - reference_logps - kl
    return torch.where(
        desirable,
        desirable_weight * (1 - beta * z),
        undesirable_weight * (1 + beta * z),
    )


def kto_without_reference(
    policy_logps: Tensor,
    desirable: Tensor,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.75,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return lambda_y - v(x, y) for each completion, v = lambda_y * sigmoid(+-beta * (log pi - its batch mean)).

    KTO with a uniform pi_ref. The reference point is then the mean of log pi(y'|x) over the policy's outputs, minus its
    entropy; here it is the mean over the batch's outputs, detached.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, section 4.3 and table 2 (no pi_ref).

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).
        desirable: bool, (batch,); True for thumbs up.
        beta: risk aversion, > 0: the larger, the sooner the value saturates.
        desirable_weight: lambda_D, > 0.
        undesirable_weight: lambda_U, > 0.

    Returns:
        (batch,), between 0 and the example's weight.
    """
    z = policy_logps - policy_logps.mean().detach()
    return torch.where(
        desirable,
        desirable_weight * torch.sigmoid(-beta * z),
        undesirable_weight * torch.sigmoid(beta * z),
    )


def bco(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(+-(r - delta)) for each completion, r = beta * log-ratio, delta the batch mean of r.

    The paper's delta is the mean of the desirable and of the undesirable outputs' mean rewards, both moving averages.
    Here it is the plain mean of the batch, detached: the same for a batch with as many of each.

    Source: Jung et al. 2024 (BCO), arXiv 2404.04656, definition of the loss.

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).
        reference_logps: log pi_ref(y|x), alike.
        desirable: bool, (batch,); True for thumbs up.
        beta: inverse temperature of the implied reward, > 0.

    Returns:
        (batch,), > 0.
    """
    reward = beta * (policy_logps - reference_logps)
    z = reward - reward.mean().detach()
    return torch.where(desirable, -F.logsigmoid(z), -F.logsigmoid(-z))
