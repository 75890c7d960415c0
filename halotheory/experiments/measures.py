"""What is measured of trained policies, one number for each world."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from halotheory.experiments.data import Data
from halotheory.worlds import World, human_value, kahneman_tversky_value, kl_from_reference, win_rate


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number for each world.

    Attributes:
        name: of the column.
        label: of the axis, with unit.
        topic: what it is about, in a sentence.
        more: what a contender of the higher value does, before the other's name.
        less: what one of the lower value does.
        of: from the data and the policies' logits, (W, X, Y), to (W,).
    """

    name: str
    label: str
    topic: str
    more: str
    less: str
    of: Callable[[Data, Tensor], Tensor]


def gain_of(rewards: Tensor, world: World, logits: Tensor) -> Tensor:
    """Return (E_pi[r] - E_ref[r]) / (E[max r] - E_ref[r]): 0 is pi_ref, 1 the best output of every prompt, (W,).

    Args:
        rewards: r, (W, X, Y).
        world: the worlds.
        logits: of the policies, nats, (W, X, Y).
    """
    asked = world.prompt_probabilities

    def mean(policy: Tensor) -> Tensor:
        return (asked * (policy * rewards).sum(-1)).sum(-1)

    usual, best = mean(world.reference), (asked * rewards.amax(-1)).sum(-1)
    return (mean(torch.softmax(logits, dim=-1)) - usual) / (best - usual)


def _value_gain(data: Data, logits: Tensor) -> Tensor:
    world = data.world
    usual = (world.reference[:, None] * world.rewards).sum(-1, keepdim=True)
    values = torch.einsum("wg,wgxy->wxy", world.group_weights, kahneman_tversky_value(world.rewards - usual))
    best = (world.prompt_probabilities * values.amax(-1)).sum(-1)
    before = human_value(world, world.reference_logits)
    return (human_value(world, logits) - before) / (best - before)


GAIN = Measure(
    name="gain",
    label="share of the possible gain in reward",
    topic="reward",
    more="gains more reward than",
    less="gains less reward than",
    of=lambda data, logits: gain_of(data.world.mean_rewards, data.world, logits),
)
VALUE = Measure(
    name="value",
    label="share of the possible gain in Kahneman-Tversky value",
    topic="Kahneman-Tversky value",
    more="gains more Kahneman-Tversky value than",
    less="gains less Kahneman-Tversky value than",
    of=_value_gain,
)
KL = Measure(
    name="kl",
    label="KL from the reference, nats",
    topic="the distance from the reference",
    more="goes further from the reference than",
    less="stays closer to the reference than",
    of=lambda data, logits: kl_from_reference(data.world, logits),
)
WIN = Measure(
    name="win_rate",
    label="win rate against the reference",
    topic="the win rate",
    more="wins more often against the reference than",
    less="wins less often against the reference than",
    of=lambda data, logits: win_rate(data.world, data.people, logits),
)
