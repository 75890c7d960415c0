"""Losses of a pair with a temperature or a weight that the policy sets and no gradient passes through."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor

from halotheory.losses.margin import log_ratio_margin


def beta_dpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    modulation: float = 0.6,
    threshold: float = 0.0,
    smallest_beta: float = 0.001,
) -> Tensor:
    """Return -log sigmoid(b * h) for each pair, b = max(smallest_beta, beta * (1 + modulation * (M - threshold))).

    h = log-ratio chosen - log-ratio rejected; M is the batch mean of beta * h, detached. The paper moves the
    threshold M_0 with a moving average of M, and leaves out pairs far from it; a loss keeps no state: M_0 is given.

    Source: Wu et al. 2024 (beta-DPO), arXiv 2407.08639, the batch-level beta.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: beta_0, > 0: b where the batch's mean margin is at the threshold.
        modulation: alpha, > 0: how much b follows the margin.
        threshold: M_0, reward units, of any sign.
        smallest_beta: > 0.

    Returns:
        (batch,), > 0.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    mean_margin = (beta * margin).mean().detach()
    batch_beta = torch.clamp(beta * (1 + modulation * (mean_margin - threshold)), min=smallest_beta)
    return -F.logsigmoid(batch_beta * margin)


def wpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return w_w w_l * -log sigmoid(beta * h) for each pair, w = pi(y|x)^(1/tokens), detached.

    h = log-ratio chosen - log-ratio rejected. Pairs that the policy is likely to write itself count more. The paper's
    aligned weights also divide by the expected probability of a sampled token, which a loss is not told.

    Source: Zhou et al. 2024 (WPO), arXiv 2406.11827, eq. 2.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        chosen_lengths: tokens of y_w, (batch,).
        rejected_lengths: tokens of y_l, alike.
        beta: inverse temperature of the implied reward, > 0.

    Returns:
        (batch,), >= 0.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    weight = torch.exp(policy_chosen_logps / chosen_lengths + policy_rejected_logps / rejected_lengths).detach()
    return weight * -F.logsigmoid(beta * margin)
