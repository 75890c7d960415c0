"""Losses with known verdicts: from the literature, mutants of them, and code that cannot be checked."""

import random

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def _margin(pw: Tensor, pl: Tensor, rw: Tensor, rl: Tensor) -> Tensor:
    return (pw - rw) - (pl - rl)


# HALOs, strictly


def dpo_by_softplus(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    return F.softplus(
        -beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    )


def dpo_flipped(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    return -F.logsigmoid(
        -beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    )


def dpo_plus_reference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    margin = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * margin) + 0.3 * reference_chosen_logps


def kto_mean(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl.detach())
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z)).mean()


def kto_mean_of_worths(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    value = torch.sigmoid(beta * (policy_logps - reference_logps - kl))
    return torch.where(desirable, 1 - value, value).mean()


def detached_mask(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = policy_logps - reference_logps - kl
    gain = (z > 0).detach()
    value = torch.where(gain, beta * z, 2 * beta * z)
    return torch.where(desirable, -value, value)


def kto_by_masks(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    value = torch.sigmoid(beta * (policy_logps - reference_logps.detach() - kl))
    return torch.cat([1 - value[desirable], value[~desirable]])


def kto_by_signs(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    sign = 2 * desirable.to(policy_logps.dtype) - 1
    return 1 - torch.sigmoid(sign * beta * (policy_logps - reference_logps - kl))


def risk_neutral(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, -z, z)


def arctangent(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    value = torch.atan(beta * (policy_logps - reference_logps - kl))
    return torch.where(desirable, -value, value)


def hyperbolic_tangent(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    value = (beta * (policy_logps - reference_logps - kl)).tanh()
    return torch.where(desirable, 1 - value, 1 + value)


def clipped(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    value = (beta * (policy_logps - reference_logps - kl)).clamp(-10, 10)
    return torch.where(desirable, -value, value)


def jump_among_losses(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = policy_logps - reference_logps - kl
    value = torch.where(z < -1, beta * z - 1, beta * z)
    return torch.where(desirable, -value, value)


def length_normalised(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.1,
):
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths
    rejected = (policy_rejected_logps - reference_rejected_logps) / rejected_lengths
    return -F.logsigmoid(beta * (chosen - rejected))


def kahneman_tversky(policy_logps, reference_logps, desirable, kl, *, aversion=2.25, alpha=0.88):
    z = policy_logps - reference_logps - kl
    value = torch.where(z >= 0, z.abs() ** alpha, -aversion * z.abs() ** alpha)
    return torch.where(desirable, -value, value)


def batch_mean(policy_logps, reference_logps):
    rewards = policy_logps - reference_logps
    return rewards - rewards.mean()


# HALOs with a relaxation


def kto_weighted(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, 1.5 * torch.sigmoid(-z), 0.5 * torch.sigmoid(z))


def concave_both(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, -F.logsigmoid(z), -F.logsigmoid(-z))


def simpo(policy_chosen_logps, policy_rejected_logps, *, beta=2.0, gamma=1.0):
    return -F.logsigmoid(beta * (policy_chosen_logps - policy_rejected_logps) - gamma)


def conservative_dpo(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.3, noise=0.1
):
    h = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(1 - noise) * F.logsigmoid(h) - noise * F.logsigmoid(-h)


def hard_coded_mixture(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.3
):
    h = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -0.9 * F.logsigmoid(h) - 0.1 * F.logsigmoid(-h)


def margin_of_lengths(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.1,
):
    h = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h - 0.01 * (chosen_lengths - rejected_lengths))


def tempered_reference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    h = policy_chosen_logps - policy_rejected_logps - 0.9 * (reference_chosen_logps - reference_rejected_logps)
    return -F.logsigmoid(beta * h)


def detached_weight(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    with torch.no_grad():
        weight = torch.sigmoid(policy_logps)
    return weight * torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def linked(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1):
    chosen = torch.exp(policy_chosen_logps - reference_chosen_logps)
    rejected = torch.exp(policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(beta * (chosen - rejected))


def factor_as_a_name(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.3,
    factor=1.0,
):
    h = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return factor * (-0.57 * F.logsigmoid(h) - 0.43 * F.logsigmoid(-h))


# not HALOs


def softplus_without_labels(policy_logps, reference_logps, kl, *, beta=0.1):
    return F.softplus(beta * (policy_logps - reference_logps - kl))  # no other output carries Q


def mirrored_for_desirable(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, F.softplus(z), F.softplus(-z))


def two_slopes(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    chosen, rejected = policy_chosen_logps - reference_chosen_logps, policy_rejected_logps - reference_rejected_logps
    return -F.logsigmoid(beta * (2 * chosen - rejected))


def zeros(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    return torch.zeros_like(policy_chosen_logps)


def no_reference_point(policy_logps, reference_logps, desirable, *, beta=0.1):
    z = beta * (policy_logps - reference_logps)
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def half_subtracted(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - 0.5 * kl)
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def two_value_functions(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, torch.sigmoid(-z), F.softplus(z))


def constant(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    return 0 * policy_logps + beta


def narrow_dip(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = policy_logps - reference_logps - kl
    value = torch.sigmoid(beta * z) - 0.01 * torch.relu(0.0005 - torch.abs(z - 37))
    return torch.where(desirable, 1 - value, value)


def jump_among_gains(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = policy_logps - reference_logps - kl
    value = torch.where(z > 1, beta * z + 1, beta * z)
    return torch.where(desirable, -value, value)


def convex_among_gains(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, -torch.exp(z), torch.exp(z))


def squared(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1):
    h = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (1 - h).square()


def softplus_with_a_jump(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-beta * h, 1.0, 5.0)  # PyTorch switches to the identity above 5


def error_function(policy_logps):
    return torch.erf(policy_logps)  # no reference point


# open: what the definition asks for cannot be said


def without_reference_but_kl(policy_logps, desirable, kl, *, beta=1.0):
    value = torch.sigmoid(beta * (policy_logps - kl))
    return torch.where(desirable, 1 - value, value)


# code that cannot be checked


def branches_on_data(policy_logps, reference_logps):
    difference = policy_logps - reference_logps
    if difference.mean() > 0:
        return difference
    return -difference


def hides_its_branch(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    try:
        if z.mean() > 1e9:
            return z * 0
    except Exception:
        pass
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def reads_an_entry(policy_logps):
    return policy_logps * float(policy_logps[0])


def draws_like(policy_logps):
    return policy_logps + torch.rand_like(policy_logps)


def draws(policy_logps):
    return policy_logps + torch.rand(len(policy_logps))


def writes_in_place(policy_logps, *, beta=0.1):
    policy_logps.mul_(beta)
    return policy_logps


def unsupported(policy_logps):
    return torch.lgamma(1 - policy_logps)


def sign_of_the_first(policy_logps, reference_logps, desirable, kl):
    z = policy_logps - reference_logps - kl
    sign = 1 if desirable[0] else -1
    return -sign * z


def weight_by_place(policy_logps, reference_logps, desirable, kl):
    z = policy_logps - reference_logps - kl
    return torch.where(desirable, -z, z) * torch.arange(1, len(z) + 1)


def leaves(policy_logps):
    raise SystemExit(0)


def loops(policy_logps):
    while True:
        pass


def raises(policy_logps):
    raise ValueError("no such thing")


def wrong_shape(policy_logps):
    return torch.stack([policy_logps, policy_logps])


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0] * 5


def hides_its_gradient(policy_logps):
    return _Hidden.apply(policy_logps)


def leaves_pytorch(policy_logps):
    return policy_logps * random.random()


def branches_on_a_hyperparameter(policy_logps, reference_logps, desirable, kl, *, beta=0.1, power=1.0):
    z = policy_logps - reference_logps - kl
    if power > 1:
        z = z * z.abs()
    value = torch.tanh(beta * z)
    return torch.where(desirable, -value, value)


# what is detached, and what a sign may depend on


def cancelled_by_value(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -beta * (h - h.detach())


def detached_margin(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * h - policy_chosen_logps.detach())


def weighted_by_kl(policy_logps, reference_logps, desirable, kl):
    value = torch.tanh(policy_logps - reference_logps - kl)
    return torch.where(desirable, -value, value) * torch.exp(-kl).detach()


def clamped_by_hyperparameters(policy_logps, reference_logps, desirable, kl, *, low=0.3):
    value = torch.clamp(policy_logps - reference_logps - kl, -low, 1 - 2 * low)
    return torch.where(desirable, -value, value)


def size_of_the_advantage(policy_token_logps, reference_token_logps, advantages, mask):
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    return -(ratio * advantages.abs() * mask).sum(-1)


def detached_factor_of_tokens(policy_token_logps, reference_token_logps, advantages, mask):
    log_ratio = policy_token_logps - reference_token_logps
    return -(torch.sigmoid(log_ratio).detach() * log_ratio.exp() * advantages * mask).sum(-1)


def policy_gradient(policy_token_logps, reference_token_logps, advantages, mask):
    return -((policy_token_logps - reference_token_logps) * advantages * mask).sum(-1)
