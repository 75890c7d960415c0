"""Theorem 4's phase diagram: where the majority's output ends up the likelier one."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender, distinct
from halotheory.experiments.experiment import Asked, Experiment
from halotheory.experiments.measures import Measure
from halotheory.experiments.memory import check_memory
from halotheory.experiments.result import Key, Map, Result, compared, measured
from halotheory.experiments.sweep import Axis, nothing_to_compare
from halotheory.experiments.wording import sentences
from halotheory.worlds import ReferencePoint
from halotheory.worlds.phase import PhaseDiagram, phase_of_dynamics, phase_of_minimum

Diagram = Callable[..., PhaseDiagram]
Reading = tuple[ReferencePoint, Diagram]

READINGS: Mapping[str, Reading] = {
    "z0 = KL": ("kl", phase_of_dynamics),
    "z0 = 0": (0.0, phase_of_dynamics),
    "z0 = KL, with gradient": ("moving_kl", phase_of_dynamics),
    "least loss, z0 = KL": ("moving_kl", phase_of_minimum),
}
"""What Theorem 4 may mean: where gradient flow rests, z0 held fixed, constant or moving, or the least loss."""
_BETAS = np.geomspace(0.05, 5, 60)
_REFERENCES = np.linspace(0.01, 0.99, 50)
_CERTAIN = 0.99
_COARSE = 3  # every third of both, for the finite data sets

Array = NDArray[np.float64]


def _result(asked: Asked) -> Result:
    """Return which of two outputs training ends with, where a share p of the people prefers the first.

    The maps are exact: gradient flow from pi_ref on infinitely much feedback. The areas are those of finite data sets,
    `budget.examples` pairs in each of `budget.seeds` worlds, of whom a binomial number prefers the first output.
    """
    axis = Axis(where="at p = {}", label="p, the majority's share", at=asked.at)
    entered = _entered(asked)
    check_memory(replace(asked.budget, examples=1), conditions=1)  # here, examples are but a number
    maps, areas = list[Map](), dict[Key, Array]()
    for each in entered:
        asked.started(f"{each.name}: diagram")
        maps += _maps(each, axis.at)
        asked.started(f"{each.name}: finite data")
        areas |= _areas(each, axis.at, asked.budget)
    first, *others = (each.name for each in entered)
    whom = [
        (_key(p, first, measure), _key(p, other, measure)) for measure in AREAS for other in others for p in axis.at
    ]
    comparisons = compared(areas, whom)
    findings = sentences(comparisons, AREAS, {f"{p:g}": f"{p:g}" for p in axis.at}, where=axis.where)
    return Result(
        experiment="phase",
        question="Theorem 4: with which output does training end, the majority's or the reference's favourite?",
        claim=_claim(entered, maps),
        findings=[_claim(entered, maps), *(findings or [nothing_to_compare(first)])],
        held_equal=[
            "two outputs, gradient flow from the reference to where it rests, every beta and reference alike",
            f"areas: {asked.budget.seeds} data sets of {asked.budget.examples} pairs, the same for all",
        ],
        budget=asdict(asked.budget),
        axis=axis.label,
        measurements=measured(areas),
        comparisons=comparisons,
        choices=[],
        panels=maps,
        notes=[
            f"the plane: beta from {_BETAS[0]:g} to {_BETAS[-1]:g}, by its logarithm, "
            f"and pi_ref of the majority's output from {_REFERENCES[0]:g} to {_REFERENCES[-1]:g}",
            "where all data sets agree an interval has no width",
            "where a data set is split evenly, KTO has no favourite",
            "dotted: DPO's boundary in closed form, 1 / (1 + (p / (1 - p))^(1/beta))",
        ],
    )


LIKELIER = Measure(
    name="likelier",
    label="share of the plane where the majority's output is the likelier one",
    topic="the area where the majority's output is the likelier one",
    more="prefers the majority's output on more of the plane than",
    less="prefers the majority's output on less of the plane than",
    of=lambda data, logits: logits,
)
CERTAIN = replace(
    LIKELIER,
    name="certain",
    label=f"share of the plane where the majority's output has probability above {_CERTAIN:g}",
    topic="the area where the majority's output is all but certain",
    more="makes the majority's output all but certain on more of the plane than",
    less="makes the majority's output all but certain on less of the plane than",
)
AREAS = (LIKELIER, CERTAIN)


@dataclass(frozen=True, kw_only=True)
class _Entered:
    contender: Contender
    diagram: Diagram

    @property
    def name(self) -> str:
        return self.contender.name


def dpo_boundary(share: float, betas: Array) -> Array:
    """Return pi_ref of the majority's output at which DPO's optimum is 1/2: 1 / (1 + (p / (1 - p))^(1/beta))."""
    return 1 / (1 + np.exp(np.log(share / (1 - share)) / betas))


def _entered(asked: Asked) -> list[_Entered]:
    """Return each loss under each reading of z0 that is asked for.

    Raises:
        HaloTheoryError: a share or a setting that cannot be used, or a loss without beta.
    """
    outside = next((p for p in asked.at if not 0.5 < p < 1), None)
    if outside is not None:
        raise HaloTheoryError(f"--at {outside}: the majority's share; give numbers between 0.5 and 1")
    if "beta" in asked.settings:
        raise HaloTheoryError("--set beta: is an axis of this experiment; leave it out")
    readings = READINGS
    if asked.reference_point is not None:
        only: Reading = (asked.reference_point, phase_of_dynamics)
        readings = {f"z0 = {asked.reference_point}": only}
    entered = [one for each in asked.contenders() for one in _by_reading(each, readings)]
    distinct([each.contender for each in entered])
    return entered


def _by_reading(contender: Contender, readings: Mapping[str, Reading]) -> list[_Entered]:
    if "beta" not in contender.loss.hyperparameters:
        raise HaloTheoryError(f"{contender.name}: has no hyperparameter beta, an axis of this experiment")
    if not contender.loss.needs_kl:
        return [_Entered(contender=contender, diagram=phase_of_dynamics)]
    return [
        _Entered(
            contender=replace(contender, name=f"{contender.name} ({name})", reference_point=point), diagram=diagram
        )
        for name, (point, diagram) in readings.items()
    ]


def _probabilities(entered: _Entered, shares: Sequence[float], betas: Array, references: Array) -> Array:
    """Return the probability of the first output, (P, B, Q)."""
    found = entered.diagram(
        entered.contender.loss,
        shares=list(shares),
        betas=torch.from_numpy(betas),
        reference_probabilities=torch.from_numpy(references),
        reference_point=entered.contender.reference_point,
    )
    return found.probabilities.numpy()


def _maps(entered: _Entered, shares: Sequence[float]) -> list[Map]:
    found = _probabilities(entered, shares, _BETAS, _REFERENCES)
    return [
        Map(
            x_label="beta",
            y_label="pi_ref of the majority's output",
            x=_BETAS,
            y=_REFERENCES,
            values=values.T,
            title=f"p = {p:g}",
            row=entered.name,
            curve=(_BETAS, dpo_boundary(p, _BETAS)),
        )
        for p, values in zip(shares, found, strict=True)
    ]


def _areas(entered: _Entered, shares: Sequence[float], budget: Budget) -> dict[Key, Array]:
    """Return the share of the plane that the majority wins with each data set, (seeds,), for each p and measure."""
    generator = np.random.default_rng(budget.seed)
    counts = generator.binomial(budget.examples, np.array(shares)[:, None], (len(shares), budget.seeds))
    occurring, where = np.unique(counts, return_inverse=True)
    betas, references = _BETAS[::_COARSE], _REFERENCES[::_COARSE]
    found = _probabilities(entered, (occurring / budget.examples).tolist(), betas, references)
    areas: dict[Key, Array] = {}
    for measure, least in ((LIKELIER, 0.5), (CERTAIN, _CERTAIN)):
        area = (found > least).mean((1, 2))[where.reshape(counts.shape)]
        areas |= {_key(p, entered.name, measure): row for p, row in zip(shares, area, strict=True)}
    return areas


def _claim(entered: Sequence[_Entered], maps: Sequence[Map]) -> str:
    """Return on how much of the maps each loss ends with the majority's output as the likelier one."""
    won = {(each.row, each.title): float((each.values > 0.5).mean()) for each in maps}
    readings: dict[str, list[str]] = {}
    for each in entered:
        readings.setdefault(each.contender.loss.name, []).append(each.name)
    said: list[str] = []
    for loss, rows in readings.items():
        found = sorted((share, title) for (row, title), share in won.items() if row in rows)
        (least, at_least), (most, at_most) = found[0], found[-1]
        words = [loss, _percent(least)]
        if least < most:
            words += [f"({at_least}) to {_percent(most)} ({at_most})"]
        if len(rows) > 1:
            words += [f"over {len(rows)} readings" if least < most else f"in each of {len(rows)} readings"]
        said.append(" ".join(words))
    return f"share of the map where the majority's output ends up the likelier one: {'; '.join(said)}"


def _percent(share: float) -> str:
    """Return a share in whole percent, rounded down: 100 % is all of it."""
    return f"{math.floor(100 * share)} %"


def _key(share: float, name: str, measure: Measure) -> Key:
    return Key(condition=f"{share:g}", contender=name, measure=measure.name)


EXPERIMENT = Experiment(
    name="phase",
    varies="p, the majority's share, in (0.5, 1)",
    losses=("kto", "dpo"),
    at=(0.55, 0.65, 0.8, 0.95),
    result=_result,
    budget=Budget(examples=50),
)
run = EXPERIMENT.run
