"""What each loss gains for how far it goes from the reference, over training."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import contenders
from halotheory.experiments.data import Data, usual_data
from halotheory.experiments.measures import GAIN, KL
from halotheory.experiments.result import Choice, Key, Panel, Result, Series, compared, measured
from halotheory.experiments.statistics import estimate
from halotheory.experiments.sweep import Axis, difference_panels, limits, usual
from halotheory.experiments.trials import Condition, Started, by_replication, numbers, replicated, tuned
from halotheory.experiments.wording import sentences
from halotheory.worlds import ReferencePoint, rlhf_optimum

DISTANCES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
DEFAULT = Budget(steps=400)
BEST = "best possible"
_FIRST_STEP = 0.3  # nats: small, so that the course is that of gradient flow, nearly
_RECORDS = 60
_TEMPERATURES = torch.logspace(2, -2, 200, dtype=torch.float64)

Array = NDArray[np.float64]


def run(
    losses: Sequence[Loss | str] = ("kto", "dpo"),
    *,
    at: Sequence[float] = DISTANCES,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return the gain in reward when a policy first is at a given KL from the reference, in training.

    Args:
        losses: of the contract; unpaired ones get the same pairs as single outputs.
        at: distances from the reference, nats; those that some world of some loss never reaches are left out.
        budget: what each may spend.
        settings: hyperparameters.
        reference_point: what losses are told as `kl`.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss or a setting that cannot be used, or no distance that is always reached.
    """
    began = time.perf_counter()
    budget = budget or DEFAULT
    axis = Axis(where="at {} nats", label="KL from the reference, nats", at=sorted(at), scale="log")
    entered = contenders(losses, settings, reference_point=reference_point)
    condition = Condition(name="all", data=lambda tuning: usual_data(budget, tuning=tuning))
    tuning, data = condition.data(True), condition.data(False)
    marks = np.unique(np.geomspace(1, budget.steps, _RECORDS).astype(int)).tolist()
    courses: dict[str, tuple[Array, Array]] = {}
    choices: list[Choice] = []
    for contender in entered:
        started(f"{contender.name}: tuning")
        found = tuned(contender, budget, [condition], [tuning], aim=GAIN, first_steps=(_FIRST_STEP,))[0]
        started(contender.name)
        rows = replicated(contender, data, budget, found, record=marks)
        kls, gains = (torch.stack([measure.of(data, logits) for logits in rows]) for measure in (KL, GAIN))
        courses[contender.name] = numbers(contender, kls), numbers(contender, gains)
        choices += found
    reached = [kl for kl in axis.at if all(kl <= kls.max(0).min() for kls, _ in courses.values())]
    if not reached:
        least = min(float(kls.max(0).min()) for kls, _ in courses.values())
        raise HaloTheoryError(
            f"--at: some world never gets so far; give distances up to {least:.2g} nats, or more --steps"
        )
    courses[BEST] = best_possible(data)
    values = {
        Key(condition=f"{kl:g}", contender=name, measure=GAIN.name): by_replication(gain_at(kl, *course), budget)
        for name, course in courses.items()
        for kl in reached
    }

    def key(kl: float, name: str) -> Key:
        return Key(condition=f"{kl:g}", contender=name, measure=GAIN.name)

    names = [each.name for each in entered]
    comparisons = compared(values, [(key(kl, names[0]), key(kl, other)) for other in names[1:] for kl in reached])
    shown = Axis(where=axis.where, label=axis.label, at=reached, scale=axis.scale)
    findings = sentences(comparisons, [GAIN], {f"{kl:g}": f"{kl:g}" for kl in reached}, where=axis.where)
    missed = [kl for kl in axis.at if kl not in reached]
    return Result(
        experiment="drift",
        question="What does each loss gain for how far it goes from the reference?",
        findings=findings or [f"{names[0]}: nothing to compare with; name a second loss"],
        held_equal=[
            *usual(budget, entered, tuned="beta tuned"),
            f"learning rate: the largest logit moves by {_FIRST_STEP:g} nats in the first step",
            "the distance at which gains are compared",
        ],
        budget=asdict(budget),
        axis=axis.label,
        measurements=measured(values),
        comparisons=comparisons,
        choices=choices,
        panels=[
            Panel(
                x_label=axis.label,
                y_label=GAIN.label,
                series=[
                    Series(name=name, x=reached, estimates=[estimate(values[key(kl, name)]) for kl in reached])
                    for name in courses
                ],
                x_scale="log",
            ),
            *difference_panels(shown, comparisons, [GAIN]),
        ],
        notes=[
            "gains between recorded steps are interpolated, linearly in the root of KL",
            f"'{BEST}' knows the rewards: pi_ref exp(r / temperature)",
            *([f"not reached by every world: {', '.join(f'{kl:g}' for kl in missed)} nats"] if missed else []),
            *limits(choices),
        ],
        seconds=time.perf_counter() - began,
    )


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


def best_possible(data: Data) -> tuple[Array, Array]:
    """Return distances and gains of pi_ref exp(r / temperature), by falling temperature, (R, W) each."""

    def rows(of: "Tensor") -> list[Tensor]:
        return [KL.of(data, of), GAIN.of(data, of)]

    found = [rows(rlhf_optimum(data.world, beta=float(each))) for each in _TEMPERATURES]
    start = [torch.zeros_like(found[0][0]), torch.zeros_like(found[0][0])]
    kls, gains = (torch.stack([row[i] for row in [start, *found]]).cpu().numpy() for i in (0, 1))
    return kls, gains
