"""Finished runs compared on the same items: paired differences, and p-values adjusted for the whole family."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.run_folder import Item, Run, read_run
from evalkit.statistics import Estimate, PairedDifference, estimate, holm, paired_difference

Key = tuple[str, str]
"""Subset and content hash: what makes two items the same."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One run's score on one benchmark."""

    run: str
    benchmark: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One run against the baseline on one benchmark.

    Attributes:
        run: name of the run.
        baseline: name of the other.
        benchmark: on which.
        paired: the difference, run minus baseline, over the items of both.
        unmatched: items that only the run, and only the baseline, has; left out.
        p_adjusted: Holm's, over the family of all comparisons made together.
    """

    run: str
    baseline: str
    benchmark: str
    paired: PairedDifference
    unmatched: tuple[int, int]
    p_adjusted: float

    @property
    def significant(self) -> bool:
        """Whether the adjusted p-value is below 1 - level."""
        return self.p_adjusted < round(1 - self.paired.level, 12)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that is said of a set of runs.

    Attributes:
        baseline: name of the run that the others are compared with; None where all pairs are.
        level: coverage of the intervals; 1 - level is the significance level.
        scores: per run and benchmark.
        compared: the family of comparisons.
        caveats: what the numbers do not hold.
    """

    baseline: str | None
    level: float
    scores: tuple[Score, ...]
    compared: tuple[Compared, ...]
    caveats: tuple[str, ...]


def compare(
    runs: Sequence[Path | str],
    *,
    baseline: Path | str | None = None,
    benchmarks: Sequence[str] | None = None,
    level: float = 0.95,
    allow_partial: bool = False,
    all_pairs: bool = False,
) -> Comparison:
    """Return the paired comparison of finished runs.

    Items are the same if benchmark, subset and content hash are. Subsets are pooled: every item counts once, as in
    the scores of bbh and mmlu, and each discordant item is a win or a loss whatever its subset.

    Args:
        runs: two run folders or more; the order decides the order of the output.
        baseline: one of them, or another run; the first by default.
        benchmarks: which; all by default.
        level: coverage of the intervals, in (0, 1); adjusted p-values below 1 - level are significant.
        allow_partial: compare the items and benchmarks that two runs share, and say how many are left out.
        all_pairs: compare every pair of runs instead of each with the baseline.

    Raises:
        EvalkitError: a folder that is no finished run, or runs of different items or metrics.
    """
    if not 0 < level < 1:
        raise EvalkitError(f"--level {level}: must lie between 0 and 1, such as 0.95")
    loaded, against_all = _load(runs, baseline)
    chosen = _chosen_benchmarks(loaded, benchmarks, allow_partial=allow_partial)
    pairs = (
        [(later, earlier) for earlier, later in itertools.combinations(loaded, 2)]
        if all_pairs
        else [(name, against_all) for name in loaded if name != against_all]
    )
    unadjusted = [
        _compare_two(loaded, run, against, benchmark, level=level, allow_partial=allow_partial)
        for benchmark in chosen
        for run, against in pairs
        if benchmark in loaded[run].items and benchmark in loaded[against].items
    ]
    if not unadjusted:
        raise EvalkitError("the runs have no benchmark in common; there is nothing to compare")
    adjusted = holm([one.paired.p_value for one in unadjusted])
    return Comparison(
        baseline=None if all_pairs else against_all,
        level=level,
        scores=tuple(
            Score(run=name, benchmark=benchmark, estimate=_estimate(run.items[benchmark], level))
            for benchmark in chosen
            for name, run in loaded.items()
            if benchmark in run.items
        ),
        compared=tuple(replace(one, p_adjusted=float(p)) for one, p in zip(unadjusted, adjusted, strict=True)),
        caveats=tuple(_caveats(loaded, chosen, unadjusted)),
    )


def _load(runs: Sequence[Path | str], baseline: Path | str | None) -> tuple[dict[str, Run], str]:
    """Return the runs by name, and the name of the baseline."""
    paths = [Path(run) for run in runs]
    resolved = [path.resolve() for path in paths]
    if baseline is not None and Path(baseline).resolve() not in resolved:
        paths.insert(0, Path(baseline))
        resolved.insert(0, Path(baseline).resolve())
    if len(set(resolved)) != len(paths):
        raise EvalkitError("a run is named twice; name each run once")
    if len(paths) < 2:
        raise EvalkitError("a comparison needs two runs; name another")
    names = _names(paths)
    first = 0 if baseline is None else resolved.index(Path(baseline).resolve())
    return dict(zip(names, [read_run(path) for path in paths], strict=True)), names[first]


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a name per run: the folder's, with as many of its parents as it takes to tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("resolved paths are distinct")


def _chosen_benchmarks(runs: Mapping[str, Run], benchmarks: Sequence[str] | None, *, allow_partial: bool) -> list[str]:
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


def _compare_two(
    runs: Mapping[str, Run], name: str, against: str, benchmark: str, *, level: float, allow_partial: bool
) -> Compared:
    """Return the comparison of two runs on one benchmark, its p-value not adjusted yet."""
    ours, theirs = (_by_key(runs[run].items[benchmark]) for run in (name, against))
    metrics = {(item.metric, item.higher_is_better) for item in (*ours.values(), *theirs.values())}
    if len(metrics) > 1:
        shown = ", ".join(sorted(metric for metric, _ in metrics))
        raise EvalkitError(f"{name}, {against}: {benchmark} was scored by different metrics: {shown}; score both alike")
    common = [key for key in ours if key in theirs]
    unmatched = (len(ours) - len(common), len(theirs) - len(common))
    if any(unmatched) and (not allow_partial or not common):
        remedy = "use --allow-partial to compare those in both" if common else "evaluate both on the same items"
        raise EvalkitError(
            f"{runs[name].path}, {runs[against].path}: {benchmark}: {len(common)} items in both, {unmatched[0]} "
            f"only in the first, {unmatched[1]} only in the second; {remedy}"
        )
    paired = paired_difference([ours[key].score for key in common], [theirs[key].score for key in common], level=level)
    return Compared(run=name, baseline=against, benchmark=benchmark, paired=paired, unmatched=unmatched, p_adjusted=1.0)


def _by_key(items: Sequence[Item]) -> dict[Key, Item]:
    return {(item.subset, item.id): item for item in items}


def _estimate(items: Sequence[Item], level: float) -> Estimate:
    return estimate([item.score for item in items], strata=[item.subset for item in items], level=level)


def _caveats(runs: Mapping[str, Run], benchmarks: Sequence[str], compared: Sequence[Compared]) -> list[str]:
    caveats = [
        "The intervals and p-values hold the chance in which items were asked, and nothing else: a training run "
        "with another seed varies too, and where a judge scores, so does the judge."
    ]
    for key, what in (("chat_template", "chat template"), ("limit", "limit"), ("lm_eval", "version of lm-eval")):
        values = {name: run.config[key] for name, run in runs.items() if key in run.config}
        if len(set(map(str, values.values()))) > 1:
            listed = ", ".join(f"{name}: {value}" for name, value in values.items())
            caveats.append(f"The runs differ in {what} ({listed}).")
    for one in compared:
        if any(one.unmatched):
            caveats.append(
                f"{one.benchmark}: {one.run} against {one.baseline} leaves out {one.unmatched[0]} items that only "
                f"the first and {one.unmatched[1]} that only the second has."
            )
        differ = _different_prompts(runs[one.run], runs[one.baseline], one.benchmark)
        if differ:
            caveats.append(
                f"{one.benchmark}: {one.run} and {one.baseline} got different prompts for {differ} of "
                f"{one.paired.n} items."
            )
    for benchmark in benchmarks:
        without = [name for name, run in runs.items() if benchmark not in run.items]
        if without:
            caveats.append(f"{benchmark}: not in {', '.join(without)}; no comparison with it there.")
        if not all(item.higher_is_better for run in runs.values() for item in run.items.get(benchmark, ())):
            caveats.append(f"{benchmark}: a lower score is better; a negative difference is an improvement.")
    return caveats


def _different_prompts(ours: Run, theirs: Run, benchmark: str) -> int:
    others = _by_key(theirs.items[benchmark])
    return sum(
        item.prompt_hash != others[key].prompt_hash
        for key, item in _by_key(ours.items[benchmark]).items()
        if key in others
    )
