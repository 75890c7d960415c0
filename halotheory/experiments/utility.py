"""Which loss maximises whose utility: reward, Kahneman-Tversky value, Bradley-Terry likelihood."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from halotheory.contract import Loss
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import contenders
from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.measures import GAIN, VALUE, Measure
from halotheory.experiments.result import Choice, Key, Panel, Result, Series, compared, measured
from halotheory.experiments.statistics import estimate
from halotheory.experiments.sweep import limits, usual
from halotheory.experiments.trials import Condition, Started, trials
from halotheory.experiments.wording import sentences
from halotheory.worlds import ReferencePoint, kahneman_tversky, pairs

LOSSES = ("kto", "dpo", "ipo", "bco")
_SCALES = torch.logspace(-2, 1, 31, dtype=torch.float64)


def _likelihood(data: Data, logits: Tensor) -> Tensor:
    """Return E[log sigmoid(s (rho_w - rho_l))], rho the log-ratio, s the scale that is best for the world, (W,)."""
    weights = pairs(data.world, data.people).weights
    log_ratios = torch.log_softmax(logits, dim=-1) - data.world.reference_logps
    margins = log_ratios[..., :, None] - log_ratios[..., None, :]
    found = [(weights * torch.nn.functional.logsigmoid(scale * margins)).sum((1, 2, 3)) for scale in _SCALES.tolist()]
    return torch.stack(found).amax(0)


LIKELIHOOD = Measure(
    name="likelihood",
    label="log-likelihood of a new pair, nats",
    topic="likelihood",
    more="predicts new pairs better than",
    less="predicts new pairs worse than",
    of=_likelihood,
)
UTILITIES = (GAIN, VALUE, LIKELIHOOD)


def run(
    losses: Sequence[Loss | str] = LOSSES,
    *,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return what each loss makes of three utilities; it is tuned for each of them anew.

    People judge by Kahneman and Tversky's value of the reward.

    Args:
        losses: of the contract; unpaired ones get the same pairs as single outputs.
        budget: what each may spend.
        settings: hyperparameters.
        reference_point: what losses are told as `kl`.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss or a setting that cannot be used.
    """
    began = time.perf_counter()
    budget = budget or Budget()
    entered = contenders(losses, settings, reference_point=reference_point)

    def data(tuning: bool) -> Data:
        world = drawn_worlds(budget, tuning=tuning)
        people = kahneman_tversky(world)
        return drawn_pairs(world, people, people, budget, tuning=tuning)

    values, choices = {}, list[Choice]()
    for measure in UTILITIES:
        condition = Condition(name=f"tuned for {measure.topic}", data=data)
        found = trials(budget, [condition], entered, [measure], aim=measure, started=started)
        values |= found.values
        choices += found.choices

    def key(measure: Measure, name: str) -> Key:
        return Key(condition=f"tuned for {measure.topic}", contender=name, measure=measure.name)

    names = [each.name for each in entered]
    whom = [(key(measure, names[0]), key(measure, other)) for measure in UTILITIES for other in names[1:]]
    comparisons = compared(values, whom)
    return Result(
        experiment="utility",
        question="Which loss maximises whose utility?",
        findings=sentences(comparisons, UTILITIES, {}),
        held_equal=usual(budget, entered),
        budget=asdict(budget),
        axis="what was tuned for",
        measurements=measured(values),
        comparisons=comparisons,
        choices=choices,
        panels=[
            Panel(
                x_label=measure.label,
                y_label="contender",
                series=[Series(name="", x=names, estimates=[estimate(values[key(measure, name)]) for name in names])],
            )
            for measure in UTILITIES
        ],
        notes=[
            "people follow Kahneman and Tversky's value of the reward, with logistic noise",
            "the likelihood takes the log-ratio as reward, on the scale that is best for each world",
            *limits(choices),
        ],
        seconds=time.perf_counter() - began,
    )
