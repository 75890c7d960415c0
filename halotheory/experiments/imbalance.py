"""What it costs that thumbs up are rare, or thumbs down, with and without the weights of the paper's Eq. 7."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import Data, drawn_worlds, generator_of
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.worlds import Feedback, Thumbs, bradley_terry, thumbs, with_desirable_fraction

LOWEST, HIGHEST, AIMED_AT = 1.0, 1.5, 4 / 3
"""The interval of Eq. 7, and the ratio that the paper takes."""
_ROUNDING = 1e-9
_WEIGHTS = frozenset({"desirable_weight", "undesirable_weight"})


def _result(asked: Asked) -> Result:
    """Return the gain in reward by the share of thumbs up, for losses as they are and with Eq. 7's weights.

    Losses with desirable_weight and undesirable_weight take part with and without Eq. 7, other unpaired ones as they
    are.
    """
    size = asked.budget.examples
    if size < 2:
        raise HaloTheoryError(f"examples={size}; give 2 or more, of both labels")
    check_within(f"a share of thumbs up among {size} examples", asked.at, 1 / size, 1 - 1 / size)
    design = Design(
        experiment="imbalance",
        question="What does it cost that one label is rare, and do the weights of Eq. 7 make up for it?",
        axis=Axis(
            where="at {} thumbs up",
            label="thumbs up among the examples, %",
            at=asked.at,
            percent=True,
            scale="logit",
        ),
        data=lambda fraction, tuning: judged_outputs(asked.budget, fraction, tuning=tuning),
        measures=(GAIN, WIN, KL),
        held_equal=(f"{size} single outputs for each world",),
        notes=(
            "the pairs compared differ in weights and, since each is tuned, in learning rate; which of them matters is "
            "not told apart",
        ),
    )
    return sweep(design, [each for plain in asked.contenders() for each in with_and_without(plain)], asked)


def judged_outputs(budget: Budget, fraction: float, *, tuning: bool) -> Data:
    """Return single outputs that people judged; those of one label are left out until the other has its share.

    Args:
        budget: for the number of examples, which is the same whatever the share.
        fraction: the share of thumbs up, rounded to whole examples.
        tuning: whether these worlds tune.
    """
    world = drawn_worlds(budget, tuning=tuning)
    people = bradley_terry(world)
    judged = thumbs(world, people)
    generator = generator_of(budget, tuning=tuning)
    desirable = round(fraction * budget.examples)
    counts = [
        size * with_desirable_fraction(judged, label).data_set(size, generator=generator).weights
        for label, size in ((1.0, desirable), (0.0, budget.examples - desirable))
    ]
    found = Thumbs(weights=(counts[0] + counts[1]) / budget.examples)
    return Data(world=world, people=people, pairs=None, thumbs=found, size=budget.examples)


def with_and_without(contender: Contender) -> list[Contender]:
    """Return a contender with the weights of Eq. 7 and as it is; alone where it has no such weights.

    Raises:
        HaloTheoryError: a weight was set by hand.
    """
    if not set(contender.loss.hyperparameters) >= _WEIGHTS:
        return [contender]
    by_hand = sorted(contender.fixed & _WEIGHTS)
    if by_hand:
        raise HaloTheoryError(f"--set {by_hand[0]}: this experiment sets the weights itself; leave it out")
    return [replace(contender, name=f"{contender.name} (Eq. 7)", adapted=balanced_weights), contender]


def balanced_weights(feedback: Feedback) -> Mapping[str, Tensor]:
    """Return lambda_D and lambda_U of each world, (W,), so that lambda_D n_D / (lambda_U n_U) is 4/3.

    The rarer label's weight is above 1 and the other 1; both are 1 where the ratio n_D / n_U is in [1, 3/2] already.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, eq. 7.

    Args:
        feedback: of both labels.
    """
    assert isinstance(feedback, Thumbs)
    fraction = feedback.desirable_fraction
    ratio = fraction / (1 - fraction)
    one = torch.ones_like(ratio)
    return {
        "desirable_weight": torch.where(ratio < LOWEST - _ROUNDING, AIMED_AT / ratio, one),
        "undesirable_weight": torch.where(ratio > HIGHEST + _ROUNDING, ratio / AIMED_AT, one),
    }


EXPERIMENT = Experiment(
    name="imbalance",
    varies="the share of thumbs up among the examples, in (0, 1)",
    losses=("kto",),
    at=(0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99),
    result=_result,
    budget=Budget(examples=400),
)
run = EXPERIMENT.run
