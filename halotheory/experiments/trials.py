"""Training every contender in every condition, in replications that are each tuned by themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import Data
from halotheory.experiments.experiment import Started
from halotheory.experiments.measures import Measure
from halotheory.experiments.result import Choice, Key
from halotheory.experiments.training import by_replication, numbers, trained
from halotheory.experiments.tuning import tuned


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One of the conditions of an experiment.

    Attributes:
        name: in tables.
        data: from whether it is for tuning to worlds and data.
    """

    name: str
    data: Callable[[bool], Data]


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What came of all contenders in all conditions.

    Attributes:
        values: of each measure, one for each replication.
        choices: tuned hyperparameters.
    """

    values: Mapping[Key, NDArray[np.float64]]
    choices: Sequence[Choice]


def trials(
    budget: Budget,
    conditions: Sequence[Condition],
    entered: Sequence[Contender],
    measures: Sequence[Measure],
    *,
    aim: Measure,
    started: Started,
) -> Trials:
    """Return every contender's measures in every condition.

    Args:
        budget: what each may spend.
        conditions: worlds and data.
        entered: the contenders.
        measures: of the trained policies.
        aim: what tuning maximises.
        started: is told what comes next, once for each contender and twice for each condition of it.

    Raises:
        HaloTheoryError: a contender that cannot be trained.
    """
    values: dict[Key, NDArray[np.float64]] = {}
    choices: list[Choice] = []
    names = [condition.name for condition in conditions]
    tuning = [condition.data(True) for condition in conditions]
    data = [condition.data(False) for condition in conditions]
    for contender in entered:
        started(f"{contender.name}: tuning")
        chosen = tuned(contender, budget, names, tuning, aim=aim)
        for condition, own, found in zip(conditions, data, chosen, strict=True):
            started(f"{contender.name}: {condition.name}")
            logits = replicated(contender, own, budget, found)[-1]
            for measure in measures:
                key = Key(condition=condition.name, contender=contender.name, measure=measure.name)
                values[key] = by_replication(numbers(contender, measure.of(own, logits)), budget)
            choices += found
    return Trials(values=values, choices=choices)


def replicated(
    contender: Contender, data: Data, budget: Budget, choices: Sequence[Choice], *, record: Sequence[int] = ()
) -> Tensor:
    """Return the logits over training, (R, W, X, Y), each replication trained with its own choice.

    Args:
        contender: whose.
        data: the worlds, of which each replication has a share.
        budget: for one training.
        choices: one for each replication.
        record: after how many steps to record, beside start and end.
    """
    groups = torch.arange(data.world.num_worlds).tensor_split(len(choices))
    feedback = contender.feedback(data)
    found: list[tuple[Tensor, Tensor]] = []
    for rate, beta in dict.fromkeys((each.learning_rate, each.beta) for each in choices):
        alike = [g for g, each in zip(groups, choices, strict=True) if (each.learning_rate, each.beta) == (rate, beta)]
        at = torch.cat(alike).to(data.world.device)
        world, part = data.world.chosen(at), feedback.chosen(at)
        found.append((at, trained(contender, world, part, budget, rate, beta=beta, record=record).logits))
    order = torch.cat([at for at, _ in found]).argsort()
    return torch.cat([logits for _, logits in found], dim=1)[:, order]
