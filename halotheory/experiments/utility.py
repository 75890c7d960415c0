"""Which loss maximises whose utility: reward, Kahneman-Tversky value, Bradley-Terry likelihood."""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, VALUE, Measure
from halotheory.experiments.memory import check_memory
from halotheory.experiments.result import Key, Panel, Result, Series, Values, compared, measured
from halotheory.experiments.statistics import estimate
from halotheory.experiments.sweep import limits, nothing_to_compare, usual
from halotheory.experiments.trials import Condition, Trials, trials
from halotheory.experiments.wording import sentences
from halotheory.worlds import kahneman_tversky, pairs

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


def _result(asked: Asked) -> Result:
    """Return what each loss makes of three utilities; it is tuned for each of them anew.

    People judge by Kahneman and Tversky's value of the reward.
    """
    entered = asked.contenders()
    check_memory(asked.budget, conditions=1)
    tried = [_tried(asked, entered, measure) for measure in UTILITIES]
    values = {key: found for each in tried for key, found in each.values.items()}
    choices = [choice for each in tried for choice in each.choices]
    first, *others = (each.name for each in entered)
    whom = [(_key(measure, first), _key(measure, other)) for measure in UTILITIES for other in others]
    comparisons = compared(values, whom)
    return Result(
        experiment="utility",
        question="Which loss maximises whose utility?",
        findings=sentences(comparisons, UTILITIES, {}) or [nothing_to_compare(first)],
        held_equal=usual(asked.budget, entered),
        budget=asdict(asked.budget),
        axis="what was tuned for",
        measurements=measured(values),
        comparisons=comparisons,
        choices=choices,
        panels=[_panel(values, measure, [first, *others]) for measure in UTILITIES],
        notes=[
            "people follow Kahneman and Tversky's value of the reward, with logistic noise",
            "the likelihood takes the log-ratio as reward, on the scale that is best for each world",
            *limits(choices),
        ],
    )


def _tried(asked: Asked, entered: Sequence[Contender], measure: Measure) -> Trials:
    """Return what came of all contenders, tuned for one utility."""

    def data(tuning: bool) -> Data:
        world = drawn_worlds(asked.budget, tuning=tuning)
        people = kahneman_tversky(world)
        return drawn_pairs(world, people, people, asked.budget, tuning=tuning)

    condition = Condition(name=f"tuned for {measure.topic}", data=data)
    return trials(asked.budget, [condition], entered, [measure], aim=measure, started=asked.started)


def _key(measure: Measure, name: str) -> Key:
    return Key(condition=f"tuned for {measure.topic}", contender=name, measure=measure.name)


def _panel(values: Values, measure: Measure, names: Sequence[str]) -> Panel:
    series = Series(name="", x=names, estimates=[estimate(values[_key(measure, name)]) for name in names])
    return Panel(x_label=measure.label, y_label="contender", series=[series])


EXPERIMENT = Experiment(
    name="utility",
    varies="",
    losses=("kto", "dpo", "ipo", "bco"),
    at=(),
    result=_result,
)
run = EXPERIMENT.run
