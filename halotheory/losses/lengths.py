"""Losses of a pair that take the lengths of its completions into account."""

import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor

from halotheory.losses.margin import log_ratio_margin


def rdpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 0.1,
    length_weight: float = 0.01,
) -> Tensor:
    """Return -log sigmoid(beta * h + length_weight * (tokens chosen - tokens rejected)) for each pair.

    h = log-ratio chosen - log-ratio rejected. A longer chosen output is credited with its length, so that less is
    learned from it: the reward is regularised by -length_weight per token.

    Source: Park et al. 2024 (R-DPO), arXiv 2403.19159, definition of the loss.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        chosen_lengths: tokens of y_w, (batch,).
        rejected_lengths: tokens of y_l, alike.
        beta: inverse temperature of the implied reward, > 0.
        length_weight: alpha, reward units per token, > 0.

    Returns:
        (batch,), > 0.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return -F.logsigmoid(beta * margin + length_weight * (chosen_lengths - rejected_lengths))


def ln_dpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 5.0,
) -> Tensor:
    """Return -log sigmoid(beta * (log-ratio chosen / its tokens - log-ratio rejected / its tokens)).

    Source: Lambert et al. 2024 (Tulu 3), arXiv 2411.15124, the length-normalised DPO loss.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        chosen_lengths: tokens of y_w, (batch,).
        rejected_lengths: tokens of y_l, alike.
        beta: inverse temperature of the implied reward per token, > 0.

    Returns:
        (batch,), > 0.
    """
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths
    rejected = (policy_rejected_logps - reference_rejected_logps) / rejected_lengths
    return -F.logsigmoid(beta * (chosen - rejected))
