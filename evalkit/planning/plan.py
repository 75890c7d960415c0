"""Power analyses of a comparison that is planned: of a number of items, or of a benchmark by its name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import EvalkitError
from evalkit.published import ITEMS
from evalkit.statistics import PairedDesign, PowerAnalysis, detectable_difference, sample_size
from evalkit.statistics import power as power_of

CORRELATIONS = (0.3, 0.5, 0.7)
"""Between two models' scores over items, where nobody says: the range that Miller 2024 (arXiv 2411.00640) reports."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What is known of how two models' scores differ, before or after they are compared; all may be None.

    Attributes:
        discordant: share of items that only one of the two has right.
        baseline_score: mean score of the baseline; of scores of 0 and 1 unless `deviation` is given.
        correlation: between the two models' scores.
        deviation: standard deviation of the paired differences of graded scores.
    """

    discordant: float | None = None
    baseline_score: float | None = None
    correlation: float | None = None
    deviation: float | None = None


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is asked.

    Attributes:
        difference: that should be found; None to ask for the smallest that is.
        power: with which probability, in (0, 1).
        level: coverage of the intervals; 1 - level is the significance level.
        comparisons: in the family.
        clusters: number of clusters of items, or None.
        icc: intraclass correlation of the differences within a cluster.
    """

    difference: float | None = None
    power: float = 0.8
    level: float = 0.95
    comparisons: int = 1
    clusters: int | None = None
    icc: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One line of an answer.

    Attributes:
        benchmark: its name; "" where there is only a number of items.
        correlation: that was supposed between the two models; None where none was.
        analysis: the numbers; None where there is a problem.
        problem: why there are none; "" where there are.
    """

    benchmark: str
    correlation: float | None
    analysis: PowerAnalysis | None
    problem: str = ""


def plan(*, n: int | None, benchmark: str | None, noise: Noise, goal: Goal) -> tuple[Planned, ...]:
    """Return what so many items can find, or how many items a difference needs.

    Without a difference: the smallest that is found. With one: the power at n, and the items that it takes. Where
    neither the discordant share nor a correlation is known, one line for each of the usual correlations.

    Args:
        n: number of items, or None.
        benchmark: one of `ITEMS`, in place of n, or None.
        noise: what is known of the two models; at least one of its numbers.
        goal: what is asked.

    Raises:
        EvalkitError: neither items nor a difference, an unknown benchmark, or numbers that do not fit.
    """
    items = items_of(benchmark) if benchmark is not None and n is None else n
    if benchmark is not None and n is not None:
        raise EvalkitError("give --n or --benchmark, not both: a benchmark has as many items as it has")
    if items is None and goal.difference is None:
        raise EvalkitError("nothing to work out; give the number of items (--n, --benchmark), a --difference, or both")
    return tuple(
        Planned(benchmark=benchmark or "", correlation=correlation, analysis=analysis)
        for correlation, design in designs(noise, goal)
        for analysis in analyses(design, items, goal)
    )


def items_of(benchmark: str) -> int:
    """Return the number of items of a benchmark.

    Raises:
        EvalkitError: an unknown one.
    """
    if benchmark not in ITEMS:
        raise EvalkitError(f"--benchmark {benchmark}: known are {', '.join(ITEMS)}; give another's size with --n")
    return ITEMS[benchmark]


def designs(noise: Noise, goal: Goal) -> Sequence[tuple[float | None, PairedDesign]]:
    """Return the designs that fit what is known, each with the correlation that it supposes."""
    if noise.discordant is not None and noise.correlation is not None:
        raise EvalkitError("give --discordant or --correlation, not both: one follows from the other")
    if sum(value is not None for value in (noise.discordant, noise.baseline_score, noise.deviation)) > 1:
        raise EvalkitError("give one of --baseline-score, --discordant and --sd: each says how noisy the comparison is")
    if noise.discordant is None and noise.deviation is None and noise.baseline_score is None:
        raise EvalkitError("say how noisy the comparison is: --baseline-score (a score in [0, 1]), --discordant, --sd")
    known = {"level": goal.level, "comparisons": goal.comparisons, "clusters": goal.clusters, "icc": goal.icc}
    if noise.discordant is not None:
        return [(None, PairedDesign(discordant=noise.discordant, **known))]
    if noise.deviation is not None:
        return [(None, PairedDesign(deviation=noise.deviation, **known))]
    supposed = CORRELATIONS if noise.correlation is None else (noise.correlation,)
    return [
        (correlation, PairedDesign(baseline_score=noise.baseline_score, correlation=correlation, **known))
        for correlation in supposed
    ]


def analyses(design: PairedDesign, n: int | None, goal: Goal) -> list[PowerAnalysis]:
    """Return what a design answers: one or two analyses."""
    if goal.difference is None:
        assert n is not None
        return [detectable_difference(design, n=n, power=goal.power)]
    needed = sample_size(design, difference=goal.difference, power=goal.power)
    return [needed] if n is None else [power_of(design, n=n, difference=goal.difference), needed]


def graded_designs(
    deviation: float, correlation: float | None, goal: Goal
) -> Sequence[tuple[float | None, PairedDesign]]:
    """Return designs for graded scores of one model with this deviation: sd of a difference s sqrt(2 (1 - r))."""
    supposed = CORRELATIONS if correlation is None else (correlation,)
    for one in supposed:
        if not -1 <= one < 1:
            raise EvalkitError(f"--correlation {one}: must lie in [-1, 1)")
    spreads = {one: deviation * math.sqrt(2 * (1 - one)) for one in supposed}
    return [(one, design) for one, sd in spreads.items() for _, design in designs(Noise(deviation=sd), goal)]
