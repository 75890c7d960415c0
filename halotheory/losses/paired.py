"""Losses of a pair that depend on its margin of log-ratios."""

from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor

from halotheory.losses.margin import log_ratio_margin


def dpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(beta * h) for each pair, h = log-ratio chosen - log-ratio rejected.

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
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return -F.logsigmoid(beta * margin)


def cdpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: Annotated[float, "0 <= label_smoothing < 0.5"] = 0.1,
) -> Tensor:
    """Return -(1 - eps) log sigmoid(beta * h) - eps log sigmoid(-beta * h) for each pair.

    Conservative DPO: DPO's loss in expectation over a label that is flipped with probability eps.

    Source: Mitchell 2023, A note on DPO with noisy preferences; Rafailov et al. 2023, arXiv 2305.18290, for h.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        label_smoothing: share of the labels that are wrong, in [0, 1/2).

    Returns:
        (batch,), > 0.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    right, flipped = -F.logsigmoid(beta * margin), -F.logsigmoid(-beta * margin)
    return (1 - label_smoothing) * right + label_smoothing * flipped


def robust_dpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: Annotated[float, "0 <= label_smoothing < 0.5"] = 0.1,
) -> Tensor:
    """Return (-(1 - eps) log sigmoid(beta * h) + eps log sigmoid(-beta * h)) / (1 - 2 eps) for each pair.

    In expectation over labels flipped with probability eps this is DPO's loss on the true ones.

    Source: Chowdhury et al. 2024 (rDPO), arXiv 2403.00409, definition of the loss.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        label_smoothing: share of the labels that are wrong, in [0, 1/2).

    Returns:
        (batch,), of either sign.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    right, flipped = -F.logsigmoid(beta * margin), -F.logsigmoid(-beta * margin)
    return ((1 - label_smoothing) * right - label_smoothing * flipped) / (1 - 2 * label_smoothing)


def ipo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return (h - 1 / (2 beta))^2 for each pair, h = log-ratio chosen - log-ratio rejected.

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
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return (margin - 1 / (2 * beta)) ** 2


def hinge(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return max(0, 1 - beta * h) for each pair, h = log-ratio chosen - log-ratio rejected.

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
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return torch.relu(1 - beta * margin)


def odpo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    offset: float = 1.0,
) -> Tensor:
    """Return -log sigmoid(beta * h - offset) for each pair, h = log-ratio chosen - log-ratio rejected.

    The paper's offset grows with the scores of the pair. A loss is not told scores, so here it is one for all pairs.

    Source: Amini et al. 2024 (DPO with an offset), arXiv 2402.10571, definition of the loss.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        offset: the implied reward that the chosen output is to have above the rejected one, > 0.

    Returns:
        (batch,), > 0.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return -F.logsigmoid(beta * margin - offset)


def exo(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: Annotated[float, "0 < label_smoothing < 0.5"] = 0.001,
) -> Tensor:
    """Return KL(p || (1 - eps, eps)) for each pair, p = (sigmoid(beta * h), sigmoid(-beta * h)).

    The reverse of DPO's direction: the policy's choice between the two is drawn to a smoothed label.

    Source: Ji et al. 2024 (EXO), arXiv 2402.00856, eq. 16, for two completions.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        label_smoothing: eps, the target's probability of the rejected output, in (0, 1/2).

    Returns:
        (batch,), >= 0, in nats.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    rejected_target = label_smoothing * torch.ones_like(margin)
    chosen_excess = F.logsigmoid(beta * margin) - torch.log1p(-rejected_target)
    rejected_excess = F.logsigmoid(-beta * margin) - torch.log(rejected_target)
    return torch.sigmoid(beta * margin) * chosen_excess + torch.sigmoid(-beta * margin) * rejected_excess


def aot(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: Annotated[float, "0 <= label_smoothing < 0.5"] = 0.0,
) -> Tensor:
    """Return -(1 - eps) log sigmoid(beta * h) - eps log sigmoid(-beta * h) for pairs that are already matched.

    The paper compares distributions: it sorts the policy's margins of a batch, and the reference's, and takes this loss
    of the i-th smallest against the i-th smallest. Which values meet is a matter of the batch; what they cost is this
    formula, and on batches whose two orders agree it is the paper's loss.

    Source: Melnyk et al. 2024 (AOT), arXiv 2406.05882, with the logistic loss.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        label_smoothing: share of the labels that are wrong, in [0, 1/2).

    Returns:
        (batch,), > 0.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    right, flipped = -F.logsigmoid(beta * margin), -F.logsigmoid(-beta * margin)
    return (1 - label_smoothing) * right + label_smoothing * flipped


def discopop(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    tau: Annotated[float, "0 < tau < 1"] = 0.05,
) -> Tensor:
    """Return (1 - s) * -log sigmoid(beta * h) + s * exp(-beta * h) for each pair, s = sigmoid(beta * h / tau).

    The product s * exp(-beta * h) is one exponential, since its second factor overflows where the first vanishes.

    Source: Lu et al. 2024 (DiscoPOP, the log-ratio modulated loss), arXiv 2406.08414, eq. 5.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        tau: temperature of the blend, in (0, 1).

    Returns:
        (batch,), > 0.
    """
    margin = log_ratio_margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    scaled = beta * margin
    logistic = torch.sigmoid(-scaled / tau) * -F.logsigmoid(scaled)
    exponential = torch.exp(F.logsigmoid(scaled / tau) - scaled)
    return logistic + exponential
