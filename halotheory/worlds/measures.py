"""What became of a policy: how good its outputs are, for whom, and how far it went from the reference."""

import torch
from torch import Tensor

from halotheory.worlds.annotators import Annotators, kahneman_tversky_value
from halotheory.worlds.reference_point import kl_of_prompts
from halotheory.worlds.world import World


def expected_reward(world: World, logits: Tensor) -> Tensor:
    """Return E_x E_{y ~ pi}[r(x, y)], r the groups' weighted mean, reward units, (W,)."""
    return _over_prompts(world, (torch.softmax(logits, dim=-1) * world.mean_rewards).sum(-1))


def expected_rewards_of_groups(world: World, logits: Tensor) -> Tensor:
    """Return E_x E_{y ~ pi}[r_g(x, y)] for each group, reward units, (W, G)."""
    policy = torch.softmax(logits, dim=-1)
    return torch.einsum("wx,wxy,wgxy->wg", world.prompt_probabilities, policy, world.rewards)


def minority_reward(world: World, logits: Tensor) -> Tensor:
    """Return the expected reward of the group of the smallest share (the first such), reward units, (W,)."""
    smallest = world.group_weights.argmin(dim=1, keepdim=True)
    return expected_rewards_of_groups(world, logits).gather(1, smallest)[:, 0]


def human_value(world: World, logits: Tensor, *, alpha: float = 0.88, loss_aversion: float = 2.25) -> Tensor:
    """Return E_x E_{y ~ pi}[v(r_g(x, y) - E_{pi_ref}[r_g])], the groups' weighted mean, value units, (W,).

    v is Kahneman and Tversky's, Ethayarajh et al. 2024, arXiv 2402.01306, eq. 4: people feel what they get as gains
    and losses against what the reference gave them.

    Args:
        world: the worlds.
        logits: of the policies, nats, (W, X, Y).
        alpha: curvature, in (0, 1].
        loss_aversion: lambda, > 0.
    """
    usual = (world.reference[:, None] * world.rewards).sum(-1, keepdim=True)
    values = kahneman_tversky_value(world.rewards - usual, alpha=alpha, loss_aversion=loss_aversion)
    policy = torch.softmax(logits, dim=-1)
    return torch.einsum("wx,wg,wxy,wgxy->w", world.prompt_probabilities, world.group_weights, policy, values)


def win_rate(world: World, annotators: Annotators, logits: Tensor) -> Tensor:
    """Return how often an output of the policy is preferred to one of pi_ref, (W,)."""
    policy = torch.softmax(logits, dim=-1)
    return _over_prompts(world, torch.einsum("wxy,wxyz,wxz->wx", policy, annotators.preference, world.reference))


def majority_agreement(world: World, annotators: Annotators, logits: Tensor) -> Tensor:
    """Return the probability of an output to which a majority prefers no other output, (W,).

    With two outputs it is that of the majority's; where preferences go round it is 0.
    """
    unbeaten = (annotators.preference >= 0.5 - 1e-12).all(-1)
    return _over_prompts(world, (torch.softmax(logits, dim=-1) * unbeaten).sum(-1))


def best_probability(world: World, logits: Tensor) -> Tensor:
    """Return the probability of an output of the highest mean reward (of all, where there are several), (W,)."""
    rewards = world.mean_rewards
    best = rewards == rewards.amax(-1, keepdim=True)
    return _over_prompts(world, (torch.softmax(logits, dim=-1) * best).sum(-1))


def kl_from_reference(world: World, logits: Tensor) -> Tensor:
    """Return E_x[KL(pi || pi_ref)], nats, (W,)."""
    return _over_prompts(world, kl_of_prompts(torch.log_softmax(logits, dim=-1), world.reference_logps))


def _over_prompts(world: World, values: Tensor) -> Tensor:
    return (world.prompt_probabilities * values).sum(-1)
