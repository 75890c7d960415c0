"""Whether a run has become worse than the baseline, for continuous integration."""

from collections import Counter
from dataclasses import dataclass

from evalkit.comparing.compare import Compared, Comparison
from evalkit.comparing.procedure import SUBSET
from evalkit.errors import EvalkitError


@dataclass(frozen=True, kw_only=True)
class FailOn:
    """When a comparison fails.

    Attributes:
        margin: None to fail on a significant loss; else the loss that is still accepted, in units of the score: a
            comparison fails unless its interval excludes a larger one.
    """

    margin: float | None


def read_fail_on(text: str) -> FailOn:
    """Return what `regression` or `regression:0.02` says.

    Raises:
        EvalkitError: anything else.
    """
    name, colon, margin = text.partition(":")
    if name == "regression" and not colon:
        return FailOn(margin=None)
    try:
        value = float(margin) if name == "regression" else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise EvalkitError(
            f"--fail-on {text}: it may be regression (a significant loss), or regression:0.02 (a loss of more than "
            "0.02 that the interval does not exclude)"
        )
    return FailOn(margin=value)


def failures(comparison: Comparison, fail_on: FailOn) -> list[str]:
    """Return a sentence per comparison that fails; none means that the answer is yes.

    Without a margin, a comparison fails where the run is worse than the baseline and the adjusted p-value is below
    1 - level. With a margin it is a non-inferiority test: it fails unless the worse end of the interval is a loss of
    at most the margin, each at level (1 - level) / 2. All comparisons must pass, so that no adjustment is due:
    the chance to pass a set of runs of which one has lost more than the margin is at most (1 - level) / 2.

    Source: for the latter the intersection-union test, Berger 1982, Technometrics 24:295.

    Args:
        comparison: of runs with a baseline.
        fail_on: what is a failure.

    Raises:
        EvalkitError: a comparison of all pairs, in which no run is the one to be as good as; or of a single run.
    """
    if comparison.baseline is None:
        raise EvalkitError("--fail-on needs a baseline, and --all-pairs has none; leave one of them out")
    if not comparison.compared:
        raise EvalkitError("--fail-on needs two runs; name another")
    subsets = comparison.procedure.clusters == SUBSET
    found = [(one, _failure(one, fail_on, subsets=subsets)) for one in comparison.compared]
    return [f"{one.benchmark}: {one.run} against {one.baseline}: {why}" for one, why in found if why]


def _failure(one: Compared, fail_on: FailOn, *, subsets: bool) -> str:
    if fail_on.margin is None:
        if one.significant and one.gain < 0:
            return f"{one.paired.difference:+.4f}, p = {one.p_adjusted:.2g} after adjustment"
        return ""
    worst = _largest_loss(one, subsets=subsets)
    if worst is None:
        return f"the scores determine no interval, so that a loss of more than {fail_on.margin:g} is not excluded"
    if worst > fail_on.margin:
        return f"a loss of {worst:.4f} is not excluded, and more than the margin of {fail_on.margin:g}"
    return ""


def _largest_loss(one: Compared, *, subsets: bool) -> float | None:
    """Return the loss at the worse end of the interval.

    Where no item differs and scores lie in [0, 1], it is at most the share of items that may differ unseen,
    1 - ((1 - level) / 2)^(1 / n), though a t interval of no spread does not exist. In place of the n items stand the
    clusters that they come in, subsets or others; where each of S subsets counts once, S times the smallest's items.
    """
    paired, matched = one.paired, one.matched
    if paired.interval is not None:
        return -paired.interval[0] if matched.higher_is_better else paired.interval[1]
    scores = (matched.first, matched.second)
    bounded = all(values.min() >= 0 and values.max() <= 1 for values in scores)
    if paired.wins or paired.losses or not bounded:
        return None
    if matched.equal_subsets:
        sizes = Counter(matched.subsets).values()
        units = len(sizes) * min(sizes)
    else:
        units = len(set(matched.subsets if subsets else matched.clusters))
    return float(1 - ((1 - paired.level) / 2) ** (1 / units))
