"""Losses of a pair that need no reference model."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor

from halotheory.losses.likelihood import log1mexp


def slic(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    *,
    margin: float = 1.0,
    sft_weight: float = 0.1,
) -> Tensor:
    """Return max(0, margin - log pi(y_w|x) + log pi(y_l|x)) - sft_weight * log pi(y_w|x) for each pair.

    The calibration term and its regulariser, cross-entropy, here on the chosen output.

    Source: Zhao et al. 2023 (SLiC-HF), arXiv 2305.10425; as in Ethayarajh et al. 2024, arXiv 2402.01306, section 3.3.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        margin: delta, nats, > 0.
        sft_weight: lambda_reg, > 0.

    Returns:
        (batch,), >= 0.
    """
    calibration = torch.relu(margin - (policy_chosen_logps - policy_rejected_logps))
    return calibration - sft_weight * policy_chosen_logps


def cpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    sft_weight: float = 1.0,
) -> Tensor:
    """Return -log sigmoid(beta * (log pi(y_w|x) - log pi(y_l|x))) - sft_weight * log pi(y_w|x) for each pair.

    Source: Xu et al. 2024 (CPO), arXiv 2401.08417, eq. 3, for the preference term; plus their negative log-likelihood.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        beta: inverse temperature, > 0.
        sft_weight: of the negative log-likelihood of y_w, > 0.

    Returns:
        (batch,), > 0.
    """
    preference = -F.logsigmoid(beta * (policy_chosen_logps - policy_rejected_logps))
    return preference - sft_weight * policy_chosen_logps


def simpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 2.0,
    target_margin: float = 1.0,
) -> Tensor:
    """Return -log sigmoid(beta * (log pi(y_w|x) / its tokens - log pi(y_l|x) / its tokens) - target_margin).

    Source: Meng et al. 2024 (SimPO), arXiv 2405.14734, definition of the loss.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        chosen_lengths: tokens of y_w, (batch,).
        rejected_lengths: tokens of y_l, alike.
        beta: inverse temperature of the reward per token, > 0.
        target_margin: gamma, the reward that the chosen output is to have above the rejected one, > 0.

    Returns:
        (batch,), > 0.
    """
    chosen, rejected = policy_chosen_logps / chosen_lengths, policy_rejected_logps / rejected_lengths
    return -F.logsigmoid(beta * (chosen - rejected) - target_margin)


def orpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    odds_weight: float = 0.1,
) -> Tensor:
    """Return -log p_w - odds_weight * log sigmoid(log odds(p_w) - log odds(p_l)) for each pair.

    p = exp(log pi(y|x) / tokens), the geometric mean of the tokens' probabilities; odds(p) = p / (1 - p).

    Source: Hong et al. 2024 (ORPO), arXiv 2403.07691, eqs. 4 to 7.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        chosen_lengths: tokens of y_w, (batch,).
        rejected_lengths: tokens of y_l, alike.
        odds_weight: lambda, > 0.

    Returns:
        (batch,), > 0.
    """
    chosen, rejected = policy_chosen_logps / chosen_lengths, policy_rejected_logps / rejected_lengths
    log_odds_ratio = (chosen - log1mexp(chosen)) - (rejected - log1mexp(rejected))
    return -chosen - odds_weight * F.logsigmoid(log_odds_ratio)
