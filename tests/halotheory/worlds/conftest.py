"""Worlds that the tests share."""

from collections.abc import Callable

import pytest

from halotheory.contract import Loss
from halotheory.worlds import Feedback, World, bradley_terry, pairs, random_worlds, thumbs


@pytest.fixture(scope="session")
def small() -> World:
    """Return five worlds of unequal sizes in every dimension."""
    return random_worlds(5, num_prompts=2, num_outputs=3, num_groups=2, longest=4, seed=1)


@pytest.fixture(scope="session")
def feedback_for() -> Callable[[Loss, World], Feedback]:
    """Return Bradley-Terry feedback of the kind that a loss learns from: f(loss, world)."""

    def feedback(loss: Loss, world: World) -> Feedback:
        people = bradley_terry(world)
        return pairs(world, people) if loss.kind == "paired" else thumbs(world, people)

    return feedback
