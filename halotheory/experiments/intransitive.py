"""What losses make of preferences that go round, which no reward explains."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from halotheory.contract import Loss
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import contenders
from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.measures import KL, WIN, Measure
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.experiments.trials import Started
from halotheory.worlds import ReferencePoint, intransitive

STRENGTHS = (0.6, 0.7, 0.8, 0.9, 1.0)


def _best_reply(data: Data, logits: Tensor) -> Tensor:
    """Return how often the output that beats the policy most often is preferred to it, (W,); 1/2 where none does."""
    beaten = torch.einsum("wxyz,wxz->wxy", data.people.preference, torch.softmax(logits, dim=-1))
    return (data.world.prompt_probabilities * beaten.amax(-1)).sum(-1)


BEST_REPLY = Measure(
    name="best_reply",
    label="how often the best reply to the policy wins",
    topic="the best reply",
    more="loses more often to the best reply than",
    less="loses less often to the best reply than",
    of=_best_reply,
)


def run(
    losses: Sequence[Loss | str] = ("kto", "dpo"),
    *,
    at: Sequence[float] = STRENGTHS,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return how policies fare where each output beats the next ones of the circle and loses to those before it.

    Tuned for the win rate against the reference, as one would; how often the best reply wins is what that hides.

    Args:
        losses: of the contract; unpaired ones get the same pairs as single outputs.
        at: how often an output beats its next ones, in [1/2, 1].
        budget: what each may spend.
        settings: hyperparameters.
        reference_point: what losses are told as `kl`.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss, a strength or a setting that cannot be used.
    """
    check_within("how often an output beats its next ones", at, 0.5, 1)
    budget = budget or Budget()

    def data(strength: float, tuning: bool) -> Data:
        world = drawn_worlds(budget, tuning=tuning)
        people = intransitive(world, strength=strength)
        return drawn_pairs(world, people, people, budget, tuning=tuning)

    design = Design(
        experiment="intransitive",
        question="What do losses make of preferences that go round?",
        axis=Axis(
            where="at cycles of {}",
            label="how often an output beats its next ones, %",
            at=sorted(at),
            percent=True,
        ),
        data=data,
        measures=(WIN, BEST_REPLY, KL),
        told=(WIN, BEST_REPLY),
        held_equal=("tuned for the win rate against the reference",),
        notes=(
            "where a policy plays every output alike, the best reply wins half of the time; where it settles on one, "
            "that one's predecessors win",
        ),
    )
    return sweep(design, contenders(losses, settings, reference_point=reference_point), budget, started)
