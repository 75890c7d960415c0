"""DPO with another divergence than the reverse KL: -log sigmoid(beta * (f'(u_w) - f'(u_l))) with u = pi/pi_ref."""

from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor


def fdpo_forward_kl(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(beta * (1/u_l - 1/u_w)) for each pair, u = pi(y|x) / pi_ref(y|x).

    1/u exceeds float32 where a log-ratio is below -88 nats; the loss or its gradient is then not a finite number.

    Source: Wang et al. 2023 (f-DPO), arXiv 2309.16240: forward KL, f'(u) = -1/u.

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
    return -F.logsigmoid(beta * (torch.exp(-rejected) - torch.exp(-chosen)))


def fdpo_js(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Return -log sigmoid(beta * (log sigmoid(log u_w) - log sigmoid(log u_l))) for each pair, u = pi / pi_ref.

    Source: Wang et al. 2023 (f-DPO), arXiv 2309.16240: Jensen-Shannon, f'(u) = log(2 u / (1 + u)).

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
    return -F.logsigmoid(beta * (F.logsigmoid(chosen) - F.logsigmoid(rejected)))


def fdpo_alpha(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    alpha: Annotated[float, "0 < alpha < 1"] = 0.5,
) -> Tensor:
    """Return -log sigmoid(beta * (u_l^-alpha - u_w^-alpha) / alpha) for each pair, u = pi(y|x) / pi_ref(y|x).

    u^-alpha exceeds float32 where a log-ratio is below -88 / alpha nats; the loss or its gradient is then not a finite
    number.

    Source: Wang et al. 2023 (f-DPO), arXiv 2309.16240: alpha-divergence, f'(u) = (1 - u^-alpha) / alpha.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.
        beta: inverse temperature of the implied reward, > 0.
        alpha: in (0, 1); towards 0 this is DPO, towards 1 the forward KL.

    Returns:
        (batch,), > 0.
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    difference = torch.exp(-alpha * rejected) - torch.exp(-alpha * chosen)
    return -F.logsigmoid(beta * difference / alpha)
