"""Theorem 4's phase diagram: where the majority's output ends up the likelier one."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender, contenders, distinct
from halotheory.experiments.measures import Measure
from halotheory.experiments.result import Key, Map, Result, compared, measured
from halotheory.experiments.trials import Started
from halotheory.experiments.wording import sentences
from halotheory.worlds import ReferencePoint
from halotheory.worlds.phase import PhaseDiagram, phase_of_dynamics, phase_of_minimum

Diagram = Callable[..., PhaseDiagram]
Reading = tuple[ReferencePoint, Diagram]

SHARES = (0.55, 0.65, 0.8, 0.95)
DEFAULT = Budget(examples=50)
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


def run(
    losses: Sequence[Loss | str] = ("kto", "dpo"),
    *,
    at: Sequence[float] = SHARES,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint | None = None,
    started: Started = print,
) -> Result:
    """Return which of two outputs training ends with, where a share p of the people prefers the first.

    The maps are exact: gradient flow from pi_ref on infinitely much feedback. The areas are those of finite data sets,
    `budget.examples` pairs in each of `budget.seeds` worlds, of whom a binomial number prefers the first output.

    Args:
        losses: of the contract, with a hyperparameter beta; those that take `kl` take part once for each reading.
        at: p, the majority's share, in (1/2, 1).
        budget: for the numbers of worlds and of pairs.
        settings: other hyperparameters.
        reference_point: a single reading of z0.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss without beta, a share or a setting that cannot be used.
    """
    began = time.perf_counter()
    budget = budget or DEFAULT
    shares = sorted(set(at))
    outside = next((p for p in shares if not 0.5 < p < 1), None)
    if outside is not None or not shares:
        raise HaloTheoryError(f"--at {outside}: the majority's share; give numbers between 0.5 and 1")
    if "beta" in (settings or {}):
        raise HaloTheoryError("--set beta: is an axis of this experiment; leave it out")
    readings = READINGS
    if reference_point is not None:
        only: Reading = (reference_point, phase_of_dynamics)
        readings = {f"z0 = {reference_point}": only}
    entered = [one for each in contenders(losses, settings) for one in _by_reading(each, readings)]
    distinct([each.contender for each in entered])
    maps, areas = list[Map](), dict[Key, Array]()
    for each in entered:
        started(f"{each.name}: diagram")
        maps += _maps(each, shares)
        started(f"{each.name}: finite data")
        areas |= _areas(each, shares, budget)
    first, *others = (each.name for each in entered)
    whom = [(_key(p, first, measure), _key(p, other, measure)) for measure in AREAS for other in others for p in shares]
    comparisons = compared(areas, whom)
    named = {f"{p:g}": f"{p:g}" for p in shares}
    findings = sentences(comparisons, AREAS, named, where="at p = {}")
    return Result(
        experiment="phase",
        question="Theorem 4: with which output does training end, the majority's or the reference's favourite?",
        findings=[*_everywhere(maps), *findings],
        held_equal=[
            "two outputs, gradient flow from the reference to where it rests, every beta and reference alike",
            f"areas: {budget.seeds} data sets of {budget.examples} pairs, the same for all",
        ],
        budget=asdict(budget),
        axis="p, the majority's share",
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
        seconds=time.perf_counter() - began,
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


def _everywhere(maps: Sequence[Map]) -> list[str]:
    """Return who prefers the majority's output everywhere on the maps."""
    least: dict[str, float] = {}
    for each in maps:
        least[each.row] = min(float(each.values.min()), least.get(each.row, 1.0))
    always = [name for name, value in least.items() if value > 0.5]
    return [f"everywhere on the maps the majority's output is the likelier one: {'; '.join(always)}"] if always else []


def _key(share: float, name: str, measure: Measure) -> Key:
    return Key(condition=f"{share:g}", contender=name, measure=measure.name)
