"""What it costs that thumbs up are rare, or thumbs down, with and without the weights of the paper's Eq. 7."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender, contenders
from halotheory.experiments.data import Data, drawn_worlds, generator_of
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.experiments.trials import Started
from halotheory.worlds import Feedback, ReferencePoint, Thumbs, bradley_terry, thumbs, with_desirable_fraction

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
LOWEST, HIGHEST, AIMED_AT = 1.0, 1.5, 4 / 3
"""The interval of Eq. 7, and the ratio that the paper takes."""
DEFAULT = Budget(examples=400)
_ROUNDING = 1e-9
_WEIGHTS = frozenset({"desirable_weight", "undesirable_weight"})


def run(
    losses: Sequence[Loss | str] = ("kto",),
    *,
    at: Sequence[float] = FRACTIONS,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return the gain in reward by the share of thumbs up, for losses as they are and with Eq. 7's weights.

    People judge single outputs. Outputs of one label are left out until the other has the share; the number of
    examples is the same everywhere.

    Args:
        losses: unpaired ones; those with desirable_weight and undesirable_weight take part with and without Eq. 7.
        at: shares of thumbs up, in (0, 1).
        budget: what each may spend.
        settings: hyperparameters.
        reference_point: what losses are told as `kl`.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss, a share or a setting that cannot be used.
    """
    budget = budget or DEFAULT
    check_within(
        f"a share of thumbs up among {budget.examples} examples", at, 1 / budget.examples, 1 - 1 / budget.examples
    )

    def data(fraction: float, tuning: bool) -> Data:
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

    design = Design(
        experiment="imbalance",
        question="What does it cost that one label is rare, and do the weights of Eq. 7 make up for it?",
        axis=Axis(
            where="at {} thumbs up",
            label="thumbs up among the examples, %",
            at=sorted(at),
            percent=True,
            scale="logit",
        ),
        data=data,
        measures=(GAIN, WIN, KL),
        held_equal=(f"{budget.examples} single outputs for each world",),
        notes=(
            "the pairs compared differ in weights and, since each is tuned, in learning rate; which of them matters is "
            "not told apart",
        ),
    )
    entered = [
        each
        for plain in contenders(losses, settings, reference_point=reference_point)
        for each in with_and_without(plain)
    ]
    return sweep(design, entered, budget, started)


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
