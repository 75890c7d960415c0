"""What an experiment found: measurements with intervals, paired comparisons, what they say, and what to draw."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from halotheory.experiments.statistics import SIGNIFICANT, Estimate, estimate, holm, t_test

Direction = Literal["higher", "lower", "not shown"]
Values = Mapping["Key", NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Key:
    """What was measured of whom: a condition, a contender, a measure, by name."""

    condition: str
    contender: str
    measure: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A measure's mean over replications.

    Attributes:
        key: of what.
        estimate: with its interval.
    """

    key: Key
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A paired difference, first less second, on the same worlds and data.

    Attributes:
        first: what is compared.
        second: with what.
        difference: the mean with its interval, which is not adjusted.
        p_value: of Student's paired t test.
        adjusted: by Holm, over all comparisons of the experiment.
    """

    first: Key
    second: Key
    difference: Estimate
    p_value: float
    adjusted: float

    @property
    def direction(self) -> Direction:
        """Whether the first is higher, after Holm's adjustment at 5 %."""
        if self.adjusted > SIGNIFICANT:
            return "not shown"
        return "higher" if self.difference.mean > 0 else "lower"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The hyperparameters that a contender was trained with, and how they were found.

    Attributes:
        condition: where.
        contender: who.
        replication: in which of them, from 0 on.
        learning_rate: of gradient descent.
        first_step: the largest change of a logit that this makes in the first step, on average, nats.
        beta: tuned with it, or None where it was given or the loss has none.
        settled: rounding does not decide where training ends.
        at_edge: its learning rate or beta is the smallest or the largest of several that were tried, and the best
            choice inside was worse by more than 0.01 in what tuning maximises.
    """

    condition: str
    contender: str
    replication: int
    learning_rate: float
    first_step: float
    beta: float | None
    settled: bool
    at_edge: bool


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line through means with intervals, or a column of them.

    Attributes:
        name: for the legend.
        x: places, numbers or names.
        estimates: one at each place.
    """

    name: str
    x: Sequence[float] | Sequence[str]
    estimates: Sequence[Estimate]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One system of axes with lines and bands over numbers, or dots and bars over names.

    Attributes:
        x_label: with unit.
        y_label: with unit.
        series: what is drawn.
        title: above it, where there are several.
        legend: what all names are about.
        percent: whether numbers across are shares.
        guide: a value that a horizontal line marks.
        x_scale: whether equal steps across are equal differences or equal ratios.
    """

    x_label: str
    y_label: str
    series: Sequence[Series]
    title: str = ""
    legend: str = ""
    percent: bool = False
    guide: float | None = None
    x_scale: Literal["linear", "log", "logit"] = "linear"


@dataclass(frozen=True, kw_only=True)
class Map:
    """A probability over two axes, with the curve on which it is one half in theory.

    Attributes:
        x_label: with unit; the axis is logarithmic.
        y_label: with unit.
        x: places across, (n,).
        y: places up, (m,).
        values: (m, n), in [0, 1].
        title: above it; those of one column have the same.
        row: beside it; those of one row have the same.
        curve: (x, y) of the theory.
    """

    x_label: str
    y_label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    values: NDArray[np.float64]
    title: str = ""
    row: str = ""
    curve: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """An experiment's result.

    Attributes:
        experiment: its name.
        question: what it asks.
        findings: what the comparisons say, in sentences made from them.
        held_equal: what was the same for all contenders.
        budget: what was spent.
        axis: what conditions are.
        measurements: means with intervals.
        comparisons: paired differences.
        choices: tuned hyperparameters.
        notes: what limits the findings.
        panels: of the figure.
        claim: the figure's title, where the findings are too long for one.
        seconds: that it took.
    """

    experiment: str
    question: str
    findings: Sequence[str]
    held_equal: Sequence[str]
    budget: Mapping[str, Any]
    axis: str
    measurements: Sequence[Measurement]
    comparisons: Sequence[Comparison]
    choices: Sequence[Choice]
    panels: Sequence[Panel] | Sequence[Map]
    notes: Sequence[str] = ()
    claim: str = ""
    seconds: float = field(default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it; the figure's numbers are those of the measurements."""
        return {
            "experiment": self.experiment,
            "question": self.question,
            "findings": list(self.findings),
            "held_equal": list(self.held_equal),
            "notes": list(self.notes),
            "budget": dict(self.budget),
            "axis": self.axis,
            "measurements": [{**asdict(each.key), **asdict(each.estimate)} for each in self.measurements],
            "comparisons": [
                {
                    "first": asdict(each.first),
                    "second": asdict(each.second),
                    **asdict(each.difference),
                    "p_value": each.p_value,
                    "adjusted_p_value": each.adjusted,
                    "direction": each.direction,
                }
                for each in self.comparisons
            ],
            "choices": [asdict(each) for each in self.choices],
            "seconds": self.seconds,
        }


def measured(values: Values) -> list[Measurement]:
    """Return the mean of each measure."""
    return [Measurement(key=key, estimate=estimate(found)) for key, found in values.items()]


def compared(values: Values, whom: Sequence[tuple[Key, Key]]) -> list[Comparison]:
    """Return the paired differences of one family."""
    differences = [values[first] - values[second] for first, second in whom]
    p_values = [t_test(each) for each in differences]
    return [
        Comparison(first=first, second=second, difference=estimate(each), p_value=p_value, adjusted=adjusted)
        for (first, second), each, p_value, adjusted in zip(whom, differences, p_values, holm(p_values), strict=True)
    ]
