"""What a minority gets that wants other things than the majority."""

from dataclasses import replace

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, KL, Measure, gain_of
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, sweep
from halotheory.worlds import bradley_terry


def _gain_of_group(group: int, name: str) -> Measure:
    def gain(data: Data, logits: Tensor) -> Tensor:
        return gain_of(data.world.rewards[:, group], data.world, logits)

    return Measure(
        name=f"gain_of_{name}",
        label=f"share of the {name}'s possible gain in reward",
        topic=f"the {name}'s reward",
        more=f"gains more reward for the {name} than",
        less=f"gains less reward for the {name} than",
        of=gain,
    )


MAJORITY, MINORITY = _gain_of_group(0, "majority"), _gain_of_group(1, "minority")


def _result(asked: Asked) -> Result:
    """Return what majority and minority gain; their rewards are independent, and each judges by its own."""
    outside = next((share for share in asked.at if not 0 < share < 0.5), None)
    if outside is not None:
        raise HaloTheoryError(f"--at {outside:g}: a minority's share; give numbers between 0 and 0.5")

    def data(share: float, tuning: bool) -> Data:
        drawn = drawn_worlds(asked.budget, tuning=tuning, num_groups=2)
        weights = torch.tensor([1 - share, share], dtype=drawn.dtype, device=drawn.device)
        world = replace(drawn, group_weights=weights.repeat(drawn.num_worlds, 1))
        people = bradley_terry(world)
        return drawn_pairs(world, people, people, asked.budget, tuning=tuning)

    design = Design(
        experiment="minority",
        question="What does a minority get that wants other things?",
        axis=Axis(
            where="with a minority of {}", label="the minority's share of the people, %", at=asked.at, percent=True
        ),
        data=data,
        measures=(GAIN, MINORITY, MAJORITY, KL),
        told=(MINORITY, MAJORITY),
        held_equal=("tuned for the mean reward of all people",),
    )
    return sweep(design, asked.contenders(), asked)


EXPERIMENT = Experiment(
    name="minority",
    varies="the minority's share of the people, in (0, 0.5)",
    losses=("kto", "dpo"),
    at=(0.1, 0.2, 0.3, 0.4),
    result=_result,
)
run = EXPERIMENT.run
