"""What a minority gets that wants other things than the majority."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import contenders
from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.measures import GAIN, KL, Measure, gain_of
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, sweep
from halotheory.experiments.trials import Started
from halotheory.worlds import ReferencePoint, bradley_terry

SHARES = (0.1, 0.2, 0.3, 0.4)


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


def run(
    losses: Sequence[Loss | str] = ("kto", "dpo"),
    *,
    at: Sequence[float] = SHARES,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return what majority and minority gain; their rewards are independent, and each judges by its own.

    Args:
        losses: of the contract; unpaired ones get the same pairs as single outputs.
        at: the minority's share of the people, in (0, 1/2).
        budget: what each may spend.
        settings: hyperparameters.
        reference_point: what losses are told as `kl`.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss, a share or a setting that cannot be used.
    """
    outside = next((share for share in at if not 0 < share < 0.5), None)
    if outside is not None:
        raise HaloTheoryError(f"--at {outside:g}: a minority's share; give numbers between 0 and 0.5")
    budget = budget or Budget()

    def data(share: float, tuning: bool) -> Data:
        drawn = drawn_worlds(budget, tuning=tuning, num_groups=2)
        weights = torch.tensor([1 - share, share], dtype=drawn.dtype, device=drawn.device)
        world = replace(drawn, group_weights=weights.repeat(drawn.num_worlds, 1))
        people = bradley_terry(world)
        return drawn_pairs(world, people, people, budget, tuning=tuning)

    design = Design(
        experiment="minority",
        question="What does a minority get that wants other things?",
        axis=Axis(
            where="with a minority of {}",
            label="the minority's share of the people, %",
            at=sorted(at),
            percent=True,
        ),
        data=data,
        measures=(GAIN, MINORITY, MAJORITY, KL),
        told=(MINORITY, MAJORITY),
        held_equal=("tuned for the mean reward of all people",),
    )
    return sweep(design, contenders(losses, settings, reference_point=reference_point), budget, started)
