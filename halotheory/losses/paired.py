"""Losses on pairs of a chosen and a rejected completion of one prompt."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor


def dpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(beta * (log-ratio chosen - log-ratio rejected)) for each pair.

    Source: Rafailov et al. 2023 (DPO), arXiv 2305.18290, eq. 7; Ethayarajh et al. 2024, arXiv 2402.01306, eq. 3.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.

    Returns:
        (batch,), > 0.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return -F.logsigmoid(beta * (chosen - rejected))


def ipo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return (log-ratio chosen - log-ratio rejected - 1 / (2 beta))^2 for each pair.

    Source: Azar et al. 2023 (IPO), arXiv 2310.12036, eq. 17, with their tau written beta.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: strength of the pull to the reference, > 0; the margin aimed at is 1 / (2 beta) nats.

    Returns:
        (batch,), >= 0.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return (chosen - rejected - 1 / (2 * beta)) ** 2


def hinge(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return max(0, 1 - beta * (log-ratio chosen - log-ratio rejected)) for each pair.

    Source: Liu et al. 2023 (RSO), arXiv 2309.06657, eq. 9.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.

    Returns:
        (batch,), >= 0.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return torch.relu(1 - beta * (chosen - rejected))
