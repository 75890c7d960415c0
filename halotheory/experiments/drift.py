"""What each loss gains for how far it goes from the reference, over training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray

from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import Data, usual_data
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import GAIN, KL
from halotheory.experiments.memory import check_memory
from halotheory.experiments.result import Choice, Comparison, Key, Panel, Result, Series, Values, compared, measured
from halotheory.experiments.statistics import estimate
from halotheory.experiments.sweep import Axis, difference_panels, limits, nothing_to_compare, usual
from halotheory.experiments.training import by_replication, numbers
from halotheory.experiments.trials import replicated
from halotheory.experiments.tuning import tuned
from halotheory.experiments.wording import sentences
from halotheory.worlds import rlhf_optimum

BEST = "best possible"
_FIRST_STEP = 0.3  # nats: small, so that the course is that of gradient flow, nearly
_RECORDS = 60
_TEMPERATURES = torch.logspace(2, -2, 200, dtype=torch.float64)

Array = NDArray[np.float64]
Course = tuple[Array, Array]
"""Distances from the reference and gains over training, (R, W) each."""


def _result(asked: Asked) -> Result:
    """Return the gain in reward when a policy first is at a given KL from the reference, in training.

    Distances that some world of some loss never reaches are left out.
    """
    budget, entered = asked.budget, asked.contenders()
    axis = Axis(where="at {} nats", label="KL from the reference, nats", at=asked.at, scale="log")
    check_distances(axis.at)
    check_memory(budget, conditions=1, records=_RECORDS)
    tuning, data = (usual_data(budget, tuning=each) for each in (True, False))
    courses: dict[str, Course] = {}
    choices: list[Choice] = []
    for contender in entered:
        asked.started(f"{contender.name}: tuning")
        found = tuned(contender, budget, ["all"], [tuning], aim=GAIN, first_steps=(_FIRST_STEP,))[0]
        asked.started(contender.name)
        courses[contender.name] = course(contender, data, budget, found)
        choices += found
    reached = distances_reached(axis.at, courses)
    courses[BEST] = best_possible(data)
    values = {
        _key(kl, name): by_replication(gain_at(kl, *found), budget) for name, found in courses.items() for kl in reached
    }
    first, *others = (each.name for each in entered)
    comparisons = compared(values, [(_key(kl, first), _key(kl, other)) for other in others for kl in reached])
    shown = Axis(where=axis.where, label=axis.label, at=reached, scale=axis.scale)
    findings = sentences(comparisons, [GAIN], {f"{kl:g}": f"{kl:g}" for kl in reached}, where=axis.where)
    return Result(
        experiment="drift",
        question="What does each loss gain for how far it goes from the reference?",
        findings=findings or [nothing_to_compare(first)],
        held_equal=_held_equal(budget, entered),
        budget=asdict(budget),
        axis=axis.label,
        measurements=measured(values),
        comparisons=comparisons,
        choices=choices,
        panels=_panels(shown, values, list(courses), comparisons),
        notes=_notes([kl for kl in axis.at if kl not in reached], choices),
    )


def check_distances(at: Sequence[float]) -> None:
    """Raise where a value is no distance.

    Raises:
        HaloTheoryError: with the value.
    """
    for kl in at:
        if not 0 < kl < float("inf"):
            raise HaloTheoryError(f"--at {kl:g}: a KL from the reference, nats; give numbers above 0")


def course(contender: Contender, data: Data, budget: Budget, choices: Sequence[Choice]) -> Course:
    """Return distances and gains of every world over training, from the start on, (R, W) each.

    Args:
        contender: whose.
        data: the worlds.
        budget: for one training.
        choices: hyperparameters of each replication.
    """
    marks = np.unique(np.geomspace(1, budget.steps, _RECORDS).astype(int)).tolist()
    rows = replicated(contender, data, budget, choices, record=marks)
    kls, gains = (torch.stack([measure.of(data, logits) for logits in rows]) for measure in (KL, GAIN))
    return numbers(contender, kls), numbers(contender, gains)


def distances_reached(at: Sequence[float], courses: Mapping[str, Course]) -> list[float]:
    """Return the distances that every world of every contender reaches.

    Raises:
        HaloTheoryError: there is none.
    """
    least = min(float(kls.max(0).min()) for kls, _ in courses.values())
    reached = [kl for kl in at if kl <= least]
    if not reached:
        raise HaloTheoryError(
            f"--at: some world never gets so far; give distances up to {least:.2g} nats, or more --steps"
        )
    return reached


def gain_at(kl: float, kls: Array, gains: Array) -> Array:
    """Return each world's gain when it first is at a distance, (W,).

    Args:
        kl: the distance, nats; every world reaches it.
        kls: over training, from 0 on, (R, W).
        gains: alike.
    """
    after = (kls >= kl).argmax(0)
    before = np.maximum(after - 1, 0)
    worlds = np.arange(kls.shape[1])
    near, far = np.sqrt(kls[before, worlds].clip(0)), np.sqrt(kls[after, worlds])
    part = np.where(far > near, (np.sqrt(kl) - near) / np.where(far > near, far - near, 1), 1.0)
    return gains[before, worlds] + part * (gains[after, worlds] - gains[before, worlds])


def best_possible(data: Data) -> Course:
    """Return distances and gains of pi_ref exp(r / temperature), by falling temperature, (R, W) each."""
    temperatures = _TEMPERATURES.tolist()
    policies = [data.world.reference_logits, *(rlhf_optimum(data.world, beta=each) for each in temperatures)]
    kls, gains = (torch.stack([measure.of(data, logits) for logits in policies]) for measure in (KL, GAIN))
    return kls.cpu().numpy(), gains.cpu().numpy()


def _key(kl: float, name: str) -> Key:
    return Key(condition=f"{kl:g}", contender=name, measure=GAIN.name)


def _held_equal(budget: Budget, entered: Sequence[Contender]) -> list[str]:
    return [
        *usual(budget, entered, tuned="beta tuned"),
        f"learning rate: the largest logit moves by {_FIRST_STEP:g} nats in the first step",
        "the distance at which gains are compared",
    ]


def _panels(axis: Axis, values: Values, names: Sequence[str], comparisons: Sequence[Comparison]) -> list[Panel]:
    series = [
        Series(name=name, x=axis.at, estimates=[estimate(values[_key(kl, name)]) for kl in axis.at]) for name in names
    ]
    gains = Panel(x_label=axis.label, y_label=GAIN.label, series=series, x_scale="log")
    return [gains, *difference_panels(axis, comparisons, [GAIN])]


def _notes(missed: Sequence[float], choices: Sequence[Choice]) -> list[str]:
    return [
        "gains between recorded steps are interpolated, linearly in the root of KL",
        f"'{BEST}' knows the rewards: pi_ref exp(r / temperature)",
        *([f"not reached by every world: {', '.join(f'{kl:g}' for kl in missed)} nats"] if missed else []),
        *limits(choices),
    ]


EXPERIMENT = Experiment(
    name="drift",
    varies="the distance from the reference at which gains are compared, nats, > 0",
    losses=("kto", "dpo"),
    at=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    result=_result,
    budget=Budget(steps=400),
)
run = EXPERIMENT.run
