"""Losses of a pair that say where each of its two log-ratios should go, not only their margin."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor


def nca(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(r_w) - (log sigmoid(-r_w) + log sigmoid(-r_l)) / 2 for each pair, r = beta * log-ratio.

    Source: Chen et al. 2024 (noise contrastive alignment), arXiv 2402.05369, for two completions.

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
    noise = F.logsigmoid(-beta * chosen) + F.logsigmoid(-beta * rejected)
    return -F.logsigmoid(beta * chosen) - noise / 2


def bco_pair(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(r_w) - log sigmoid(-r_l) for each pair, r = beta * log-ratio.

    Source: Jung et al. 2024 (BCO), arXiv 2404.04656, without its reward shift.

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
    return -F.logsigmoid(beta * chosen) - F.logsigmoid(-beta * rejected)


def apo_zero(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return 1 - sigmoid(r_w) + sigmoid(r_l) for each pair, r = beta * log-ratio.

    For chosen outputs that are better than the model's own: up with the chosen, down with the rejected.

    Source: D'Oosterlinck et al. 2024 (APO), arXiv 2408.06266, eq. 7; 1 - sigmoid(t) is written sigmoid(-t).

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.

    Returns:
        (batch,), between 0 and 2.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return torch.sigmoid(-beta * chosen) + torch.sigmoid(beta * rejected)


def apo_down(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return sigmoid(r_w) + 1 - sigmoid(r_w - r_l) for each pair, r = beta * log-ratio.

    For chosen outputs that are worse than the model's own: down with both, with the rejected further.

    Source: D'Oosterlinck et al. 2024 (APO), arXiv 2408.06266, eq. 8; 1 - sigmoid(t) is written sigmoid(-t).

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.

    Returns:
        (batch,), between 0 and 2.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return torch.sigmoid(beta * chosen) + torch.sigmoid(-beta * (chosen - rejected))


def sppo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.001,
) -> Tensor:
    """Return (log-ratio chosen - 1 / (2 beta))^2 + (log-ratio rejected + 1 / (2 beta))^2 for each pair.

    Source: Wu et al. 2024 (SPPO), arXiv 2405.00675, eq. 4.7 with eta = 1 / beta,
    and P = 1 for the chosen output, 0 for the rejected one.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: strength of the pull to the reference, > 0; each log-ratio's aim is 1 / (2 beta) nats from 0.

    Returns:
        (batch,), >= 0.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return (chosen - 1 / (2 * beta)) ** 2 + (rejected + 1 / (2 * beta)) ** 2


def dpop(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.3,
    penalty: float = 50.0,
) -> Tensor:
    """Return -log sigmoid(beta * (h - penalty * max(0, -log-ratio chosen))) for each pair.

    h = log-ratio chosen - log-ratio rejected.

    Source: Pal et al. 2024 (DPO-Positive, Smaug), arXiv 2402.13228, definition of the loss.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        penalty: lambda, > 0: how much a chosen output that became less likely than under pi_ref costs.

    Returns:
        (batch,), > 0.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    margin = chosen - rejected - penalty * torch.relu(-chosen)
    return -F.logsigmoid(beta * margin)
