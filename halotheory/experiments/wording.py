"""Sentences that say what paired comparisons show, and no more."""

from collections.abc import Mapping, Sequence

from halotheory.experiments.measures import Measure
from halotheory.experiments.result import Comparison, Direction

Pattern = tuple[tuple[str, Direction], ...]
"""In which conditions which direction was shown."""


def sentences(
    comparisons: Sequence[Comparison], measures: Sequence[Measure], named: Mapping[str, str], *, where: str = "{}"
) -> list[str]:
    """Return what was shown for each pair of contenders and each measure; one sentence where it is the same.

    Args:
        comparisons: of any measures, in the order of their conditions.
        measures: those of the comparisons.
        named: the conditions as a sentence names them.
        where: how a sentence says where, with {} for the conditions.
    """
    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    for each in comparisons:
        key = (each.first.measure, each.first.contender, each.second.contender)
        groups.setdefault(key, []).append(each)
    alike: dict[tuple[str, str, Pattern], list[str]] = {}
    for (measure, first, second), group in groups.items():
        pattern: Pattern = tuple((each.first.condition, each.direction) for each in group)
        alike.setdefault((measure, first, pattern), []).append(second)
    words = {measure.name: measure for measure in measures}
    said: list[str] = []
    for (measure, first, pattern), others in alike.items():
        if len(pattern) == len(others) == 1:
            said.append(single(groups[measure, first, others[0]][0], words[measure], first, others[0]))
        else:
            sizes = _sizes([each for other in others for each in groups[measure, first, other]])
            said.append(_sentence(pattern, words[measure], first, joined(others), sizes, named, where))
    return said


def single(comparison: Comparison, measure: Measure, first: str, second: str) -> str:
    """Return what one comparison shows, with its numbers."""
    found = comparison.difference
    size = f"{found.mean:+.3f}, 95 % interval {found.low:+.3f} to {found.high:+.3f}"
    if comparison.direction == "not shown":
        return f"{first} against {second}: no difference shown in {measure.topic} ({size})"
    verb = measure.more if comparison.direction == "higher" else measure.less
    return f"{first} {verb} {second} ({size})"


def of_one(comparisons: Sequence[Comparison], measure: Measure, named: Mapping[str, str], *, where: str) -> list[str]:
    """Return sentences on one contender, compared with itself in another condition."""
    return [
        single(
            each,
            measure,
            f"{each.first.contender} {where.format(named[each.first.condition])}",
            where.format(named[each.second.condition]),
        )
        for each in comparisons
        if each.first.measure == measure.name
    ]


def joined(words: Sequence[str]) -> str:
    """Return 'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(
    pattern: Pattern,
    measure: Measure,
    first: str,
    second: str,
    sizes: Mapping[Direction, str],
    named: Mapping[str, str],
    where: str,
) -> str:
    order = [condition for condition, _ in pattern]
    found: dict[Direction, list[str]] = {"higher": [], "lower": [], "not shown": []}
    for condition, direction in pattern:
        found[direction].append(condition)
    places = {way: _listed(names, order, named, where) for way, names in found.items() if names}
    if set(places) == {"not shown"}:
        return f"{first} against {second}: no difference shown in {measure.topic}"
    verbs = {"higher": measure.more, "lower": measure.less}
    parts = [
        f"{' '.join(filter(None, [verbs[way], second, places[way]]))}, by {sizes[way]}"
        for way in ("higher", "lower")
        if way in places
    ]
    open_ = [f"no difference shown {places['not shown']}"] if "not shown" in places else []
    return f"{first} {', and '.join(parts)}" + "".join(f"; {text}" for text in open_)


def _sizes(comparisons: Sequence[Comparison]) -> dict[Direction, str]:
    """Return how large the differences of each direction are, the smallest and the largest."""
    found: dict[Direction, str] = {}
    for way in ("higher", "lower"):
        ends = [abs(each.difference.mean) for each in comparisons if each.direction == way]
        shown = sorted({f"{end:.2g}" for end in (min(ends), max(ends))}, key=float) if ends else []
        found[way] = " to ".join(shown)
    return found


def _listed(found: Sequence[str], order: Sequence[str], named: Mapping[str, str], where: str) -> str:
    """Return where in words: three or more neighbours as a span, all of them as such."""
    if len(found) == len(order):
        return "throughout" if len(order) > 1 else ""
    spans: list[list[int]] = []
    for i in sorted(order.index(name) for name in found):
        if spans and spans[-1][-1] == i - 1:
            spans[-1].append(i)
        else:
            spans.append([i])
    words: list[str] = []
    for span in spans:
        names = [named[order[i]] for i in span]
        words += [f"{names[0]} to {names[-1]}"] if len(span) > 2 else names
    return where.format(joined(words))
