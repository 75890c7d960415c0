"""A comparison subset by subset: subjects of mmlu, tasks of bbh."""

from dataclasses import dataclass, replace

from evalkit.comparing.compare import Compared, Comparison
from evalkit.statistics import Estimate, PairedDifference, estimate, holm, paired_difference


@dataclass(frozen=True, kw_only=True)
class SubsetScore:
    """One run's score on one subset."""

    run: str
    benchmark: str
    subset: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class SubsetDifference:
    """One run against another on one subset.

    Attributes:
        run: name of the run.
        baseline: name of the other.
        benchmark: on which.
        subset: of the benchmark.
        paired: the difference, run minus baseline.
        p_adjusted: Holm's, over the subsets of this benchmark for this pair. A breakdown explores: it is no part of
            the comparison's family.
    """

    run: str
    baseline: str
    benchmark: str
    subset: str
    paired: PairedDifference
    p_adjusted: float


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Scores and differences by subset, of the benchmarks that have several."""

    scores: tuple[SubsetScore, ...]
    differences: tuple[SubsetDifference, ...]


def break_down(comparison: Comparison) -> Breakdown:
    """Return the scores and the paired differences of every subset, each by the method that suits its scores."""
    several = [
        benchmark
        for benchmark in comparison.benchmarks
        if len({key[0] for run in comparison.runs.values() for key in run.items.get(benchmark, ())}) > 1
    ]
    level = comparison.procedure.level
    return Breakdown(
        scores=tuple(score for benchmark in several for score in _scores(comparison, benchmark, level)),
        differences=tuple(
            found for one in comparison.compared if one.benchmark in several for found in _differences(one, level)
        ),
    )


def _scores(comparison: Comparison, benchmark: str, level: float) -> list[SubsetScore]:
    found = []
    for name, run in comparison.runs.items():
        groups: dict[str, list[float]] = {}
        for (subset, _), item in run.items.get(benchmark, {}).items():
            if item.score is not None:
                groups.setdefault(subset, []).append(item.score)
        found += [
            SubsetScore(run=name, benchmark=benchmark, subset=subset, estimate=estimate(scores, level=level))
            for subset, scores in groups.items()
        ]
    return found


def _differences(one: Compared, level: float) -> list[SubsetDifference]:
    groups: dict[str, list[int]] = {}
    for index, subset in enumerate(one.matched.subsets):
        groups.setdefault(subset, []).append(index)
    found = [
        SubsetDifference(
            run=one.run,
            baseline=one.baseline,
            benchmark=one.benchmark,
            subset=subset,
            paired=paired_difference(one.matched.first[members], one.matched.second[members], level=level),
            p_adjusted=1.0,
        )
        for subset, members in groups.items()
    ]
    adjusted = holm([part.paired.p_value for part in found])
    return [replace(part, p_adjusted=float(p)) for part, p in zip(found, adjusted, strict=True)]
