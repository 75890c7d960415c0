"""Evaluations compared on the same items: paired differences, and p-values adjusted for their family."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evalkit.comparing.caveats import caveats
from evalkit.comparing.comparability import check_comparable, check_same_questions
from evalkit.comparing.evaluation import Evaluation, Key
from evalkit.comparing.matching import Matched, has_equal_subsets, match
from evalkit.comparing.procedure import SUBSET, Procedure, adjusted, difference, family_size
from evalkit.comparing.reading import ReadOptions, baseline_name, read_evaluations
from evalkit.errors import EvalkitError
from evalkit.statistics import Estimate, PairedDifference, estimate
from evalkit.statistics.records import FamilyTest

POWER = 0.8
"""With which probability a difference of the detectable size is found."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One run's score on one benchmark.

    Attributes:
        run: its name.
        benchmark: on which.
        estimate: over the items that have a score.
        failed: items without one.
    """

    run: str
    benchmark: str
    estimate: Estimate
    failed: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One run against another on one benchmark.

    Attributes:
        run: name of the run.
        baseline: name of the other.
        benchmark: on which.
        paired: the difference, run minus baseline, over the items that both scored.
        matched: those items.
        p_adjusted: the p-value, adjusted within its family.
        family_size: number of comparisons in that family.
        detectable: the smallest true difference that such a comparison finds with probability 0.8, after the
            adjustment; None where the scores do not determine it. A smaller one would probably be missed.
    """

    run: str
    baseline: str
    benchmark: str
    paired: PairedDifference
    matched: Matched = field(repr=False, compare=False)
    p_adjusted: float = 1.0
    family_size: int = 1
    detectable: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the adjusted p-value is below 1 - level."""
        return self.p_adjusted < round(1 - self.paired.level, 12)

    @property
    def gain(self) -> float:
        """The difference in the direction that is better."""
        return self.paired.difference if self.matched.higher_is_better else -self.paired.difference


@dataclass(frozen=True, kw_only=True)
class Overall:
    """One test that all runs are alike on a benchmark.

    Attributes:
        benchmark: on which.
        n: items that every run scored.
        test: Cochran's Q.
    """

    benchmark: str
    n: int
    test: FamilyTest


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that is said of a set of runs.

    Attributes:
        baseline: name of the run that the others are compared with; None where all pairs are.
        procedure: how they were compared.
        runs: the evaluations, by name.
        benchmarks: on which, in order.
        scores: per run and benchmark.
        compared: every comparison made.
        overall: per benchmark, where three runs or more have scores of 0 and 1.
        caveats: what the numbers do not hold.
    """

    baseline: str | None
    procedure: Procedure
    runs: Mapping[str, Evaluation] = field(repr=False, compare=False)
    benchmarks: tuple[str, ...]
    scores: tuple[Score, ...]
    compared: tuple[Compared, ...]
    overall: tuple[Overall, ...]
    caveats: tuple[str, ...]


def compare(
    runs: Sequence[Path | str],
    *,
    baseline: Path | str | None = None,
    benchmarks: Sequence[str] | None = None,
    all_pairs: bool = False,
    allow_partial: bool = False,
    allow_differences: bool = False,
    procedure: Procedure = Procedure(),  # noqa: B008 (frozen)
    read: ReadOptions = ReadOptions(),  # noqa: B008 (frozen)
) -> Comparison:
    """Return the paired comparison of finished evaluations.

    Items are the same if benchmark, subset and content hash are. Subsets are pooled: every item counts once, as in
    the scores of bbh and mmlu, and each discordant item is a win or a loss whatever its subset; but where a run's
    score is the mean of its subsets' means, so is the difference.

    Args:
        runs: paths of evaluations, `NAME=PATH` to name one; see `evalkit.comparing.reading.read_sources`. The order
            decides the order of the output. A single one has scores and no comparison.
        baseline: one of them by name or path, or the path of another; the first by default.
        benchmarks: which; all by default.
        all_pairs: compare every pair of runs instead of each with the baseline.
        allow_partial: compare the items and benchmarks that two runs share, and say how many are left out.
        allow_differences: compare runs of different judges, references or task versions all the same, and say so.
        procedure: the statistics.
        read: how files of other tools are read.

    Raises:
        EvalkitError: a path that is no finished evaluation, or runs whose items or scores cannot be compared.
    """
    read = replace(read, clusters=procedure.clusters)
    loaded = read_evaluations(_with_baseline(runs, baseline), read)
    against_all = baseline_name(loaded, baseline)
    chosen = _chosen_benchmarks(loaded, benchmarks, allow_partial=allow_partial)
    if not allow_differences:
        check_comparable(loaded, chosen)
    pairs = (
        [(later, earlier) for earlier, later in itertools.combinations(loaded, 2)]
        if all_pairs
        else [(name, against_all) for name in loaded if name != against_all]
    )
    compared = _compared(
        loaded, pairs, chosen, procedure, allow_partial=allow_partial, allow_differences=allow_differences
    )
    if pairs and not compared:
        raise EvalkitError("the runs have no benchmark in common; there is nothing to compare")
    return Comparison(
        baseline=None if all_pairs else against_all,
        procedure=procedure,
        runs=loaded,
        benchmarks=tuple(chosen),
        scores=tuple(
            score(loaded[name], name, benchmark, procedure)
            for benchmark in chosen
            for name in loaded
            if benchmark in loaded[name].items
        ),
        compared=compared,
        overall=tuple(found for benchmark in chosen if (found := _overall(loaded, benchmark)) is not None),
        caveats=tuple(caveats(loaded, chosen, compared, procedure)),
    )


def _with_baseline(runs: Sequence[Path | str], baseline: Path | str | None) -> list[Path | str]:
    """Return the runs, and before them the baseline if it is the path of another run."""
    if baseline is None or not Path(baseline).exists():
        return list(runs)
    given = {Path(str(run).partition("=")[2]).resolve() for run in runs if "=" in str(run)}
    given |= {Path(run).resolve() for run in runs}
    return list(runs) if Path(baseline).resolve() in given else [baseline, *runs]


def _chosen_benchmarks(
    runs: Mapping[str, Evaluation], benchmarks: Sequence[str] | None, *, allow_partial: bool
) -> list[str]:
    every = list(dict.fromkeys(name for run in runs.values() for name in run.items))
    for wanted in benchmarks or ():
        if wanted not in every:
            raise EvalkitError(f"no run has the benchmark '{wanted}'; they have {', '.join(every)}")
    chosen = list(dict.fromkeys(benchmarks or every))
    for name in chosen:
        without = [run for run, loaded in runs.items() if name not in loaded.items]
        if without and not allow_partial:
            raise EvalkitError(
                f"{runs[without[0]].path}: has no benchmark '{name}', which another run has; choose with "
                "--benchmarks, or compare what is there with --allow-partial"
            )
    return chosen


def _compared(
    runs: Mapping[str, Evaluation],
    pairs: Sequence[tuple[str, str]],
    benchmarks: Sequence[str],
    procedure: Procedure,
    *,
    allow_partial: bool,
    allow_differences: bool,
) -> tuple[Compared, ...]:
    """Return every comparison that is made, adjusted within its family."""
    unadjusted = []
    for benchmark in benchmarks:
        for pair in pairs:
            if all(benchmark in runs[name].items for name in pair):
                matched = match(runs, pair, benchmark, allow_partial=allow_partial)
                if not allow_differences:
                    check_same_questions(matched, pair, benchmark)
                paired = difference(matched, benchmark, procedure)
                run, baseline = pair
                unadjusted.append(
                    Compared(run=run, baseline=baseline, benchmark=benchmark, paired=paired, matched=matched)
                )
    names = [one.benchmark for one in unadjusted]
    p_values = adjusted([one.paired.p_value for one in unadjusted], names, procedure)
    sizes = [family_size(one.benchmark, names, procedure) for one in unadjusted]
    return tuple(
        replace(one, p_adjusted=p, family_size=size, detectable=detectable(one.paired, size))
        for one, p, size in zip(unadjusted, p_values, sizes, strict=True)
    )


def detectable(paired: PairedDifference, family: int) -> float | None:
    """Return the smallest true difference that a comparison of this precision finds with probability 0.8.

    (z(1 - alpha / 2 m) + z(0.8)) times the standard error, which is half the interval's width over z(1 - alpha / 2);
    m, the size of the family, takes Holm's first and hardest step. It is a property of the design, not of the
    difference that was found.

    Source: the normal approximation of Miller 2024, arXiv 2411.00640, section 5.

    Args:
        paired: a difference with its interval.
        family: number of comparisons that p-values are adjusted for.
    """
    from scipy.special import ndtri

    if paired.interval is None:
        return None
    low, high = paired.interval
    alpha = 1 - paired.level
    error = (high - low) / 2 / ndtri(1 - alpha / 2)
    return float((ndtri(1 - alpha / 2 / family) + ndtri(POWER)) * error)


def score(run: Evaluation, name: str, benchmark: str, procedure: Procedure) -> Score:
    """Return a run's score on a benchmark, over the items that have one.

    Raises:
        EvalkitError: none has.
    """
    from evalkit.statistics import bias_reduced, macro_average

    items = run.items[benchmark]
    scored = {key: item for key, item in items.items() if item.score is not None}
    if not scored:
        raise EvalkitError(f"{run.path}: {benchmark}: none of its {len(items)} items has a score; evaluate it again")
    scores = [item.score for item in scored.values() if item.score is not None]
    subsets = [subset for subset, _ in scored]
    groups = subsets if procedure.clusters == SUBSET else [item.cluster or key for key, item in scored.items()]
    if has_equal_subsets(run, benchmark):
        found = macro_average(scores, subsets, level=procedure.level)
    elif procedure.clusters is not None:
        found = bias_reduced(scores, groups, level=procedure.level)
    elif len(set(groups)) < len(groups):  # answers to one prompt belong together, whatever their subset
        found = estimate(scores, clusters=groups, level=procedure.level)
    else:
        found = estimate(scores, strata=subsets, level=procedure.level)
    return Score(run=name, benchmark=benchmark, estimate=found, failed=len(items) - len(scored))


def _overall(runs: Mapping[str, Evaluation], benchmark: str) -> Overall | None:
    """Return the test that all runs are alike, where there are three or more with scores of 0 and 1."""
    import numpy as np

    from evalkit.statistics import cochran_q, is_binary

    having = [run.items[benchmark] for run in runs.values() if benchmark in run.items]
    if len(having) < 3:
        return None
    first, *others = having
    shared: list[Key] = [
        key for key in first if all(key in items and items[key].score is not None for items in (first, *others))
    ]
    table = np.array([[items[key].score for items in having] for key in shared], dtype=float)
    if not len(table) or not is_binary(table):
        return None
    return Overall(benchmark=benchmark, n=len(shared), test=cochran_q(table))
