"""What the reference point z0 is worth: none, the exact KL, shared, estimated, moving, and a constant."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender, contenders
from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.experiments.trials import Started
from halotheory.worlds import ReferencePoint, bradley_terry, with_label_noise

LEVELS = (0.0, 0.2, 0.4)
POINTS: Mapping[str, ReferencePoint] = {
    "z0 = KL": "kl",
    "z0 = 0": 0.0,
    "z0 = mean KL": "shared_kl",
    "z0 as estimated": "mismatched",
    "z0 = KL, with gradient": "moving_kl",
}
"""What is told as `kl`, by name."""


def run(
    losses: Sequence[Loss | str] = ("kto",),
    *,
    at: Sequence[float] = LEVELS,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return the gain in reward of one loss with several reference points, by label noise.

    Args:
        losses: one loss that takes `kl`.
        at: shares of labels that are turned round, in [0, 1].
        budget: what each may spend.
        settings: hyperparameters.
        reference_point: which of those of `POINTS`, or what other number, is compared with each of the others.
        started: is told what comes next.

    Raises:
        HaloTheoryError: several losses, one that takes no `kl`, a share or a setting that cannot be used.
    """
    check_within("a share of labels", at, 0, 1)
    budget = budget or Budget()
    entered = with_points(contenders(losses, settings), reference_point)

    def data(flipped: float, tuning: bool) -> Data:
        world = drawn_worlds(budget, tuning=tuning)
        people = bradley_terry(world)
        return drawn_pairs(world, people, with_label_noise(people, flipped), budget, tuning=tuning)

    design = Design(
        experiment="reference-point",
        question=f"What is the reference point of {entered[0].loss.name} worth?",
        axis=Axis(where="at {} label noise", label="labels that are turned round, %", at=sorted(at), percent=True),
        data=data,
        measures=(GAIN, KL, WIN),
        notes=(
            "prompts of a tabular world share no parameters; in a network a shared reference point may do other things",
        ),
    )
    return sweep(design, entered, budget, started)


def with_points(entered: Sequence[Contender], first: ReferencePoint) -> list[Contender]:
    """Return one contender with each of the reference points.

    Args:
        entered: one contender.
        first: the reference point to begin with; another number than 0 is one more.

    Raises:
        HaloTheoryError: several contenders, or one whose loss takes no `kl`.
    """
    if len(entered) > 1:
        raise HaloTheoryError(f"{len(entered)} losses; this experiment compares the reference points of one")
    if not entered[0].loss.needs_kl:
        raise HaloTheoryError(f"{entered[0].name}: takes no argument `kl`: it has no reference point to change")
    points = dict(POINTS) if first in POINTS.values() else {f"z0 = {first:g}": first, **POINTS}
    ordered = sorted(points.items(), key=lambda point: point[1] != first)
    return [replace(entered[0], name=name, reference_point=point) for name, point in ordered]
