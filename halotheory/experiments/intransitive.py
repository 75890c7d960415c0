"""What losses make of preferences that go round, which no reward explains."""

import torch
from torch import Tensor

from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import KL, WIN, Measure
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.worlds import intransitive


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


def _result(asked: Asked) -> Result:
    """Return how policies fare where each output beats the next ones of the circle and loses to those before it.

    Tuned for the win rate against the reference, as one would; how often the best reply wins is what that hides.
    """
    check_within("how often an output beats its next ones", asked.at, 0.5, 1)

    def data(strength: float, tuning: bool) -> Data:
        world = drawn_worlds(asked.budget, tuning=tuning)
        people = intransitive(world, strength=strength)
        return drawn_pairs(world, people, people, asked.budget, tuning=tuning)

    design = Design(
        experiment="intransitive",
        question="What do losses make of preferences that go round?",
        axis=Axis(
            where="at cycles of {}", label="how often an output beats its next ones, %", at=asked.at, percent=True
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
    return sweep(design, asked.contenders(), asked)


EXPERIMENT = Experiment(
    name="intransitive",
    varies="how often an output beats its next ones, in [0.5, 1]",
    losses=("kto", "dpo"),
    at=(0.6, 0.7, 0.8, 0.9, 1.0),
    result=_result,
)
run = EXPERIMENT.run
