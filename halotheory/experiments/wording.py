"""Sentences that say what paired comparisons show, and no more."""

from collections.abc import Callable, Mapping, Sequence

from halotheory.experiments.measures import Measure
from halotheory.experiments.result import Comparison, Direction, Key

Named = Callable[[Key], str]


def sentences(
    comparisons: Sequence[Comparison], measures: Sequence[Measure], named: Mapping[str, str], *, axis: str = ""
) -> list[str]:
    """Return one sentence for each pair of contenders and each measure: where one is higher, and where none is shown.

    Args:
        comparisons: of any measures, in the order of their conditions.
        measures: those of the comparisons.
        named: the conditions as a sentence names them.
        axis: what conditions are, before their names; none where there is one condition.
    """
    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    for each in comparisons:
        key = (each.first.measure, each.first.contender, each.second.contender)
        groups.setdefault(key, []).append(each)
    words = {measure.name: measure for measure in measures}
    return [
        _sentence(group, words[measure], first, second, named, axis)
        for (measure, first, second), group in groups.items()
    ]


def _sentence(
    group: Sequence[Comparison], measure: Measure, first: str, second: str, named: Mapping[str, str], axis: str
) -> str:
    if len(group) == 1:
        return single(group[0], measure, first, second)
    order = [each.first.condition for each in group]
    where: dict[Direction, list[str]] = {"higher": [], "lower": [], "not shown": []}
    for each in group:
        where[each.direction].append(each.first.condition)
    shown = {way: listed(found, order, named, axis) for way, found in where.items() if found}
    if set(shown) == {"not shown"}:
        return f"{first} and {second}: no difference shown, {_matter(measure)}"
    parts = []
    if "higher" in shown:
        parts.append(f"{first} {measure.more} {second} {shown['higher']}")
    if "lower" in shown:
        verb = f"{measure.less} {second}" if parts else f"{first} {measure.less} {second}"
        parts.append(f"{verb} {shown['lower']}")
    if "not shown" in shown:
        parts.append(f"no difference shown {shown['not shown']}")
    return "; ".join(parts)


def single(comparison: Comparison, measure: Measure, first: str, second: str) -> str:
    """Return what one comparison shows, with its numbers."""
    found = comparison.difference
    size = f"difference {found.mean:+.3f}, 95 % interval {found.low:+.3f} to {found.high:+.3f}"
    if comparison.direction == "not shown":
        return f"{first} and {second}: no difference shown, {_matter(measure)} ({size})"
    verb = measure.more if comparison.direction == "higher" else measure.less
    return f"{first} {verb} {second} ({size})"


def of_one(comparisons: Sequence[Comparison], measure: Measure, named: Mapping[str, str]) -> list[str]:
    """Return sentences on one contender, compared with itself in another condition."""
    return [
        single(each, measure, *(f"{key.contender} at {named[key.condition]}" for key in (each.first, each.second)))
        for each in comparisons
        if each.first.measure == measure.name
    ]


def listed(found: Sequence[str], order: Sequence[str], named: Mapping[str, str], axis: str) -> str:
    """Return conditions in words: neighbours as a span, all of them as such."""
    if len(found) == len(order):
        return f"{'at every ' if axis else 'everywhere'}{axis}"
    spans: list[list[int]] = []
    for i in sorted(order.index(name) for name in found):
        if spans and spans[-1][-1] == i - 1:
            spans[-1].append(i)
        else:
            spans.append([i])
    words = [
        f"{named[order[span[0]]]} to {named[order[span[-1]]]}"
        if len(span) > 2 and axis
        else " and ".join(named[order[i]] for i in span)
        for span in spans
    ]
    return f"at {axis + ' ' if axis else ''}{joined(words)}"


def joined(words: Sequence[str]) -> str:
    """Return 'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _matter(measure: Measure) -> str:
    return f"in {measure.label.partition(',')[0]}"
