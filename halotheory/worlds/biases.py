"""What bends the answers of annotators: noise, the order of presentation, length."""

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.worlds.annotators import Annotators
from halotheory.worlds.world import World


def with_label_noise(annotators: Annotators, flipped: float) -> Annotators:
    """Return annotators whose every answer is turned round with probability `flipped`.

    Args:
        annotators: the people.
        flipped: in [0, 1].

    Raises:
        HaloTheoryError: flipped outside of [0, 1].
    """
    if not 0 <= flipped <= 1:
        raise HaloTheoryError(f"flipped={flipped:g}; give a number in [0, 1]")
    return Annotators(
        preference=flipped + (1 - 2 * flipped) * annotators.preference,
        thumbs=flipped + (1 - 2 * flipped) * annotators.thumbs,
    )


def with_position_bias(annotators: Annotators, strength: float) -> Annotators:
    """Return annotators for whom the output that is shown first gains `strength` in log-odds.

    The two are shown in random order, and the answers of both orders are averaged: a strong bias makes every
    preference 1/2. Thumbs are given to one output at a time, and do not change.

    Args:
        annotators: the people.
        strength: log-odds, of either sign.
    """
    odds = torch.logit(annotators.preference)
    preference = (torch.sigmoid(odds + strength) + torch.sigmoid(odds - strength)) / 2
    return Annotators(preference=preference, thumbs=annotators.thumbs)


def with_length_bias(annotators: Annotators, world: World, strength: float) -> Annotators:
    """Return annotators for whom every token more gains `strength` in log-odds.

    Preferences compare with the other output's length, thumbs with the mean length under pi_ref.

    Args:
        annotators: the people.
        world: whose lengths.
        strength: log-odds per token, of either sign.
    """
    lengths = world.lengths
    usual = (world.reference * lengths).sum(-1, keepdim=True)
    return Annotators(
        preference=_shifted(annotators.preference, strength * (lengths[..., :, None] - lengths[..., None, :])),
        thumbs=_shifted(annotators.thumbs, strength * (lengths - usual)),
    )


def _shifted(probability: Tensor, log_odds: Tensor) -> Tensor:
    return torch.sigmoid(torch.logit(probability) + log_odds)
