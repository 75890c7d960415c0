"""An experiment that trains every contender at each value of one quantity."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender, distinct
from halotheory.experiments.data import Data
from halotheory.experiments.experiment import Asked
from halotheory.experiments.measures import Measure
from halotheory.experiments.memory import check_memory
from halotheory.experiments.result import Choice, Comparison, Key, Panel, Result, Series, Values, compared, measured
from halotheory.experiments.statistics import estimate
from halotheory.experiments.trials import Condition, trials
from halotheory.experiments.tuning import BETAS, betas_of
from halotheory.experiments.wording import of_one, sentences


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What differs between conditions.

    Attributes:
        where: how a sentence says where, with {} for values.
        label: of the figure's axis, with unit.
        at: the values, increasing.
        percent: whether they are shares, to be shown in percent.
        scale: of the figure's axis.
    """

    where: str
    label: str
    at: Sequence[float]
    percent: bool = False
    scale: Literal["linear", "log", "logit"] = "linear"

    def __post_init__(self) -> None:
        if not self.at or len(set(self.at)) < len(self.at):
            raise HaloTheoryError("--at: give one or more different values")

    def named(self, value: float) -> str:
        """Return a value as a sentence has it."""
        return f"{100 * value:g} %" if self.percent else f"{value:g}"


@dataclass(frozen=True, kw_only=True)
class Design:
    """What an experiment does.

    Attributes:
        experiment: its name.
        question: what it asks.
        axis: what differs between conditions.
        data: from a value and whether it is for tuning to worlds and data.
        measures: of trained policies; the first is what tuning maximises.
        told: measures that are compared; the first alone by default.
        held_equal: what was the same for all, beside what always is.
        notes: what limits the findings.
        largest: examples of the largest data set, where it is not the budget's.
    """

    experiment: str
    question: str
    axis: Axis
    data: Callable[[float, bool], Data]
    measures: Sequence[Measure]
    told: Sequence[Measure] = ()
    held_equal: Sequence[str] = ()
    notes: Sequence[str] = ()
    largest: int = 0


def check_within(name: str, values: Sequence[float], low: float, high: float) -> None:
    """Raise where a value is outside of a closed interval.

    Raises:
        HaloTheoryError: with the value.
    """
    for value in values:
        if not low <= value <= high:
            raise HaloTheoryError(f"--at {value:g}: {name}; give numbers from {low:g} to {high:g}")


def check_sizes(values: Sequence[float]) -> None:
    """Raise where a value is no number of pairs.

    Raises:
        HaloTheoryError: with the value.
    """
    check_within("a number of pairs", values, 1, 1e6)
    for value in values:
        if value != round(value):
            raise HaloTheoryError(f"--at {value:g}: a number of pairs; give whole numbers")


def sweep(design: Design, entered: Sequence[Contender], asked: Asked) -> Result:
    """Return the result of training every contender at each value; the first is compared with each other one.

    One contender alone is compared with itself at the first value.

    Raises:
        HaloTheoryError: a contender that cannot be trained, or more than fits into memory.
    """
    distinct(entered)
    budget, axis, told = asked.budget, design.axis, design.told or design.measures[:1]
    check_memory(budget, conditions=len(axis.at), largest=design.largest)
    conditions = [
        Condition(name=f"{value:g}", data=lambda tuning, value=value: design.data(value, tuning)) for value in axis.at
    ]
    found = trials(budget, conditions, entered, design.measures, aim=design.measures[0], started=asked.started)
    comparisons = compared(found.values, _whom(conditions, entered, told))
    named = {condition.name: axis.named(value) for condition, value in zip(conditions, axis.at, strict=True)}
    if len(entered) > 1:
        findings = sentences(comparisons, told, named, where=axis.where)
    else:
        findings = [sentence for measure in told for sentence in of_one(comparisons, measure, named, where=axis.where)]
    return Result(
        experiment=design.experiment,
        question=design.question,
        findings=findings or [nothing_to_compare(entered[0].name)],
        held_equal=[*usual(budget, entered), *design.held_equal],
        budget=asdict(budget),
        axis=axis.label,
        measurements=measured(found.values),
        comparisons=comparisons,
        choices=found.choices,
        panels=[
            *(line_panel(design, found.values, conditions, entered, measure) for measure in told),
            *difference_panels(axis, comparisons, told),
        ],
        notes=[*design.notes, *limits(found.choices)],
    )


def nothing_to_compare(name: str) -> str:
    """Return what is found where there is a single contender in a single condition."""
    return f"{name}: nothing to compare with; name a second loss"


def _whom(
    conditions: Sequence[Condition], entered: Sequence[Contender], told: Sequence[Measure]
) -> list[tuple[Key, Key]]:
    """Return whose measures are compared: the first contender's with each other one's, or with its own."""
    first, *others = entered
    if others:
        return [
            (_key(each, first, measure), _key(each, other, measure))
            for measure in told
            for other in others
            for each in conditions
        ]
    return [
        (_key(each, first, measure), _key(conditions[0], first, measure)) for measure in told for each in conditions[1:]
    ]


def usual(budget: Budget, entered: Sequence[Contender], *, tuned: str = "") -> list[str]:
    """Return what is always held equal, in sentences.

    Args:
        budget: of the experiment.
        entered: the contenders.
        tuned: what was tuned, where it was not learning rate and beta.
    """
    way = f"minibatches of {budget.batch_size}" if budget.batch_size else "the whole data set in each step"
    sizes = f"{budget.prompts} prompts and {budget.outputs} outputs"
    free = any(betas_of(each) != (None,) for each in entered)
    tuned = tuned or ("learning rate and beta tuned" if free else "learning rate tuned")
    by_hand = {name: each.loss.hyperparameters[name] for each in entered for name in sorted(each.fixed)}
    return [
        f"{budget.seeds} worlds of {sizes} with the same data for all, in {budget.replications} replications",
        f"{budget.steps} steps of gradient descent from the reference, {way}",
        f"{tuned} for each contender, condition and replication on {budget.tuning_seeds} other worlds, divided likewise"
        + (f" (beta of {', '.join(map(str, BETAS))})" if free else ""),
        *(f"{name} = {value:g}, as set" for name, value in by_hand.items()),
    ]


def limits(choices: Sequence[Choice]) -> list[str]:
    """Return what limits findings that rest on tuned contenders."""
    at_edge = sum(each.at_edge for each in choices)
    loose = Counter(each.contender for each in choices if not each.settled)
    words = ["intervals are over replications, each tuned and measured in worlds of its own"]
    if at_edge:
        words.append(
            f"{at_edge} of {len(choices)} choices lie at an end of the learning rates or betas tried, by more than 0.01"
        )
    if loose:
        who = ", ".join(f"{name} ({count})" for name, count in loose.items())
        words.append(f"rounding has a say in where training ends, at every learning rate: {who} of {len(choices)}")
    return words


def line_panel(
    design: Design, values: Values, conditions: Sequence[Condition], entered: Sequence[Contender], measure: Measure
) -> Panel:
    """Return a measure over the values, a line for each contender."""
    return Panel(
        x_label=design.axis.label,
        y_label=measure.label,
        series=[
            Series(
                name=each.name,
                x=list(design.axis.at),
                estimates=[estimate(values[_key(condition, each, measure)]) for condition in conditions],
            )
            for each in entered
        ],
        percent=design.axis.percent,
        x_scale=design.axis.scale,
    )


def difference_panels(axis: Axis, comparisons: Sequence[Comparison], told: Sequence[Measure]) -> list[Panel]:
    """Return the paired differences between contenders over the values, a panel for each measure.

    There are none where one contender was compared with itself.
    """
    if not comparisons or comparisons[0].first.contender == comparisons[0].second.contender:
        return []
    return [_difference_panel(axis, [each for each in comparisons if each.first.measure == m.name], m) for m in told]


def _difference_panel(axis: Axis, comparisons: Sequence[Comparison], measure: Measure) -> Panel:
    groups: dict[str, list[Comparison]] = {}
    for each in comparisons:
        groups.setdefault(each.second.contender, []).append(each)
    return Panel(
        x_label=axis.label,
        y_label=f"difference in {measure.label}",
        series=[
            Series(name=second, x=list(axis.at), estimates=[each.difference for each in group])
            for second, group in groups.items()
        ],
        title="paired differences, same worlds and data",
        legend=f"{comparisons[0].first.contender} minus ...",
        percent=axis.percent,
        guide=0.0,
        x_scale=axis.scale,
    )


def _key(condition: Condition, contender: Contender, measure: Measure) -> Key:
    return Key(condition=condition.name, contender=contender.name, measure=measure.name)
