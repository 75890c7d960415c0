"""Optima that have a closed form, to compare trained policies with."""

import torch
from torch import Tensor

from halotheory.worlds.world import World


def rlhf_optimum(world: World, *, beta: float | Tensor) -> Tensor:
    """Return log pi*(y|x), pi* = pi_ref exp(r / beta) / Z, the maximiser of E[r] - beta KL(pi || pi_ref), (W, X, Y).

    It is also DPO's optimum on data of people who follow Bradley-Terry with these rewards.

    Source: Rafailov et al. 2023 (DPO), arXiv 2305.18290, eq. 4.

    Args:
        world: whose mean rewards.
        beta: > 0, reward units per nat, a number or one for each world, (W,).
    """
    scale = torch.as_tensor(beta, dtype=world.dtype, device=world.device).reshape(-1, 1, 1)
    return torch.log_softmax(world.reference_logits + world.mean_rewards / scale, dim=-1)


def two_output_dpo_optimum(share: Tensor, reference_probability: Tensor, beta: Tensor) -> Tensor:
    """Return DPO's optimal probability of the output that a share p prefers, q that of pi_ref.

    p^(1/beta) q / (p^(1/beta) q + (1 - p)^(1/beta) (1 - q)).

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, proof of theorem 4.

    Args:
        share: p, in (0, 1), any shape.
        reference_probability: q, in (0, 1), alike.
        beta: > 0, alike.
    """
    return torch.sigmoid(torch.logit(share) / beta + torch.logit(reference_probability))
