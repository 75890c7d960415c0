"""Experiments in tabular worlds: what each varies, and one way to run them all."""

from collections.abc import Mapping

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
from halotheory.experiments.experiment import Experiment
from halotheory.experiments.result import Result

__all__ = ["EXPERIMENTS", "Budget", "Experiment", "Result"]

_MODULES = (
    phase,
    noise,
    imbalance,
    one_per_prompt,
    reference_point,
    shape,
    utility,
    minority,
    drift,
    intransitive,
)

EXPERIMENTS: Mapping[str, Experiment] = {each.EXPERIMENT.name: each.EXPERIMENT for each in _MODULES}
"""By name, in the order of `halotheory.simulate.EXPERIMENTS`."""
