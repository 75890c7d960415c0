"""Losses of a single completion's likelihood."""

import torch
from torch import Tensor


def sft(policy_logps: Tensor) -> Tensor:
    """Return -log pi(y|x) for each completion: maximum likelihood.

    Source: Ethayarajh et al. 2024, arXiv 2402.01306, section 2 (supervised finetuning).

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, (batch,).

    Returns:
        (batch,), >= 0.
    """
    return -policy_logps


def csft(policy_logps: Tensor, desirable: Tensor) -> Tensor:
    """Return -log pi(y|x, c) for each completion, c the control token of its label: maximum likelihood.

    The formula is that of `sft`. What differs is the data: every completion, desirable or not, is learned after a
    control token that says which it is, and the desirable one's is given when sampling.

    Source: Korbak et al. 2023, arXiv 2302.08582 (conditional training); Ethayarajh et al. 2024, arXiv 2402.01306,
    section 3.3 and appendix C.

    Args:
        policy_logps: log pi(y|x, c) summed over completion tokens, nats, (batch,).
        desirable: bool, (batch,); it decides c, and so enters through the log-probabilities alone.

    Returns:
        (batch,), >= 0.
    """
    del desirable  # the data step has put its control token before the completion
    return -policy_logps


def unlikelihood(policy_logps: Tensor, desirable: Tensor, *, undesirable_weight: float = 1.0) -> Tensor:
    """Return -log pi(y|x) for desirable completions, -undesirable_weight * log(1 - pi(y|x)) for the others.

    Source: Welleck et al. 2019, arXiv 1908.04319 (unlikelihood training), with whole completions for their tokens.

    Args:
        policy_logps: log pi(y|x) summed over completion tokens, nats, < 0, (batch,).
        desirable: bool, (batch,); True for thumbs up.
        undesirable_weight: alpha, > 0.

    Returns:
        (batch,), >= 0.
    """
    undesirable = policy_logps.masked_fill(desirable, -1.0)  # keeps an infinite slope at 0 out of the desirable ones
    return torch.where(desirable, -policy_logps, -undesirable_weight * log1mexp(undesirable))


def log1mexp(log_probability: Tensor) -> Tensor:
    """Return log(1 - exp(x)), the logarithm of the probability of the complement.

    Args:
        log_probability: x, nats, < 0.

    Returns:
        the shape of x, <= 0.
    """
    return torch.log(-torch.expm1(log_probability))
