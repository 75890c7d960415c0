"""Experiments in tabular worlds, each a function `run(...) -> Result` in a file of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from halotheory.experiments import (
    drift,
    imbalance,
    intransitive,
    minority,
    noise,
    one_per_prompt,
    phase,
    reference_point,
    shape,
    utility,
)
from halotheory.experiments.budget import Budget
from halotheory.experiments.result import Result

__all__ = ["EXPERIMENTS", "Budget", "Experiment", "Result"]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment as the command line knows it.

    Attributes:
        run: runs it.
        budget: that it has by default.
        has_axis: whether `run` takes `at`.
    """

    run: Callable[..., Result]
    budget: Budget = field(default_factory=Budget)
    has_axis: bool = True


EXPERIMENTS: Mapping[str, Experiment] = {
    "phase": Experiment(run=phase.run, budget=phase.DEFAULT),
    "noise": Experiment(run=noise.run),
    "imbalance": Experiment(run=imbalance.run, budget=imbalance.DEFAULT),
    "one-per-prompt": Experiment(run=one_per_prompt.run),
    "reference-point": Experiment(run=reference_point.run),
    "shape": Experiment(run=shape.run),
    "utility": Experiment(run=utility.run, has_axis=False),
    "minority": Experiment(run=minority.run),
    "drift": Experiment(run=drift.run, budget=drift.DEFAULT),
    "intransitive": Experiment(run=intransitive.run),
}
"""By name, in the order of `halotheory.simulate.EXPERIMENTS`."""
