"""What the reference point z0 is worth: none, the exact KL, shared, estimated, moving, and a constant."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from halotheory.errors import HaloTheoryError
from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import noisy_data
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.worlds import ReferencePoint

POINTS: Mapping[str, ReferencePoint] = {
    "z0 = KL": "kl",
    "z0 = 0": 0.0,
    "z0 = mean KL": "shared_kl",
    "z0 as estimated": "mismatched",
    "z0 = KL, with gradient": "moving_kl",
}
"""What is told as `kl`, by name."""


def _result(asked: Asked) -> Result:
    """Return the gain in reward of one loss with several reference points, by label noise."""
    check_within("a share of labels", asked.at, 0, 1)
    first = "kl" if asked.reference_point is None else asked.reference_point
    entered = with_points(asked.contenders(), first)
    design = Design(
        experiment="reference-point",
        question=f"What is the reference point of {entered[0].loss.name} worth?",
        axis=Axis(where="at {} label noise", label="labels that are turned round, %", at=asked.at, percent=True),
        data=lambda flipped, tuning: noisy_data(asked.budget, flipped, tuning=tuning),
        measures=(GAIN, KL, WIN),
        notes=(
            "prompts of a tabular world share no parameters; in a network a shared reference point may do other things",
        ),
    )
    return sweep(design, entered, asked)


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


EXPERIMENT = Experiment(
    name="reference-point",
    varies="the share of labels that are turned round, in [0, 1]",
    losses=("kto",),
    at=(0.0, 0.2, 0.4),
    result=_result,
)
run = EXPERIMENT.run
