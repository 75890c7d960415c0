"""Finite data sets: what the people of each world have said."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from halotheory.experiments.budget import Budget
from halotheory.worlds import (
    Annotators,
    Feedback,
    Pairs,
    Thumbs,
    World,
    bradley_terry,
    pairs,
    random_worlds,
    thumbs_of_pairs,
    with_label_noise,
)

_TUNING = 1_000_003  # between the seeds of the worlds that count and those that tune


@dataclass(frozen=True, kw_only=True)
class Data:
    """Worlds, their people, and a data set of each.

    Attributes:
        world: W worlds.
        people: without noise: what is measured is what they want.
        pairs: the data set, or None where people judge single outputs.
        size: how many pairs, or single outputs, the data set of a world has.
        thumbs: the same pairs as single outputs, the chosen one desirable; or the single outputs that were judged.
    """

    world: World
    people: Annotators
    pairs: Pairs | None
    thumbs: Thumbs
    size: int

    def first(self, count: int) -> "Data":
        """Return the first `count` worlds, or all where there are fewer."""
        some = slice(count)
        return Data(
            world=self.world.chosen(some),
            people=Annotators(preference=self.people.preference[some], thumbs=self.people.thumbs[some]),
            pairs=None if self.pairs is None else self.pairs.chosen(some),
            thumbs=self.thumbs.chosen(some),
            size=self.size,
        )


def drawn_worlds(budget: Budget, *, tuning: bool, num_groups: int = 1) -> World:
    """Return the worlds of an experiment, or those for tuning; rewards are normal with standard deviation 1."""
    return random_worlds(
        budget.tuning_seeds if tuning else budget.seeds,
        num_prompts=budget.prompts,
        num_outputs=budget.outputs,
        num_groups=num_groups,
        seed=budget.seed + _TUNING * tuning,
    ).to(device=budget.device)


def generator_of(budget: Budget, *, tuning: bool) -> torch.Generator:
    """Return a source of randomness for data; the same in each condition, so that worlds differ in nothing else."""
    return torch.Generator().manual_seed(budget.seed + _TUNING * tuning + 1)


def drawn_pairs(
    world: World, people: Annotators, annotators: Annotators, budget: Budget, *, tuning: bool, size: int = 0
) -> Data:
    """Return a data set of pairs for each world.

    Args:
        world: the worlds.
        people: what they want.
        annotators: what they say.
        budget: for the number of pairs.
        tuning: whether these worlds tune.
        size: another number of pairs.
    """
    generator = generator_of(budget, tuning=tuning)
    count = size or budget.examples
    found = pairs(world, annotators).data_set(count, generator=generator)
    return Data(world=world, people=people, pairs=found, thumbs=thumbs_of_pairs(found), size=count)


def usual_data(budget: Budget, *, tuning: bool, size: int = 0) -> Data:
    """Return random worlds of Bradley-Terry people, with a data set of pairs each; see `drawn_pairs`."""
    world = drawn_worlds(budget, tuning=tuning)
    people = bradley_terry(world)
    return drawn_pairs(world, people, people, budget, tuning=tuning, size=size)


def noisy_data(budget: Budget, flipped: float, *, tuning: bool) -> Data:
    """Return the same as `usual_data`, a share of the labels turned round; what people want stays."""
    world = drawn_worlds(budget, tuning=tuning)
    people = bradley_terry(world)
    return drawn_pairs(world, people, with_label_noise(people, flipped), budget, tuning=tuning)


def joined_worlds(worlds: Sequence[World]) -> World:
    """Return all worlds one after the other."""
    names = [each.name for each in fields(World)]
    return World(**{name: torch.cat([getattr(world, name) for world in worlds]) for name in names})


def joined_feedback(parts: Sequence[Feedback]) -> Feedback:
    """Return the feedback of several lists of worlds, one after the other; none may have advantages."""
    weights = torch.cat([part.weights for part in parts])
    return Pairs(weights=weights) if isinstance(parts[0], Pairs) else Thumbs(weights=weights)
