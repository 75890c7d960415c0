"""Power analyses of runs that are there: how small a difference their items can tell from chance."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.planning.plan import Goal, Noise, Planned, analyses, designs, graded_designs
from evalkit.run_folder import Item, Run, read_run
from evalkit.statistics import PairedDesign, intraclass_correlation, is_binary


def plan_runs(
    paths: Sequence[Path], noise: Noise, goal: Goal, *, comparisons: int | None = None, cluster_subsets: bool = False
) -> tuple[tuple[Planned, ...], tuple[str, ...]]:
    """Return, for each benchmark of one run or of two, how small a difference its items can tell from chance.

    One run: its score is the baseline's, and how another model's scores correlate with it is supposed. Two runs: the
    noise is the observed one, the share of items that only one of the two has right, or the deviation of graded
    differences. The difference observed is not used: the power "to find what was found" is the p-value in other words.

    Args:
        paths: one run folder or two.
        noise: of one run: `correlation`, or `discordant` in place of it; of two: nothing.
        goal: what is asked.
        comparisons: in the family; as many as benchmarks by default.
        cluster_subsets: of two runs: take the subsets for a sample of subsets, with the differences' correlation
            within them as observed.

    Returns:
        The lines, and notes on what was left out.

    Raises:
        EvalkitError: not finished runs, no benchmark in common, or options that do not fit.
    """
    if len(paths) > 2:
        raise EvalkitError(f"power is of one run or of two; got {len(paths)}")
    _check_options(len(paths), noise, goal, cluster_subsets=cluster_subsets)
    runs = [read_run(path) for path in paths]
    names = [name for name in runs[0].items if name in runs[-1].items]
    if not names:
        raise EvalkitError(f"{paths[0]}, {paths[1]}: no benchmark in common; they tell nothing of each other")
    goal = replace(goal, comparisons=len(names) if comparisons is None else comparisons)
    lines: list[Planned] = []
    notes: list[str] = []
    for name in names:
        try:
            if len(runs) == 1:
                lines += _of_one(runs[0].items[name], name, noise, goal)
                continue
            found, note = _of_two(runs[0], runs[1], name, goal, cluster_subsets=cluster_subsets)
            lines += found
            notes += note
        except EvalkitError as problem:
            lines.append(Planned(benchmark=name, correlation=None, analysis=None, problem=str(problem)))
    return tuple(lines), tuple(notes)


def _check_options(runs: int, noise: Noise, goal: Goal, *, cluster_subsets: bool) -> None:
    if runs == 2 and noise != Noise():
        raise EvalkitError(
            "two runs have their own noise; leave --baseline-score, --discordant, --correlation and --sd out"
        )
    if runs == 1 and noise.baseline_score is not None:
        raise EvalkitError("a run has its own score; leave --baseline-score out")
    if cluster_subsets and (runs == 1 or goal.clusters is not None):
        raise EvalkitError("--cluster-subsets is for two runs, and in place of --clusters and --icc")


def _of_one(items: Sequence[Item], name: str, noise: Noise, goal: Goal) -> list[Planned]:
    if noise.discordant is not None or noise.deviation is not None:
        found: Sequence[tuple[float | None, PairedDesign]] = designs(noise, goal)
    else:
        found = _designs_of_scores(_scores(items), noise.correlation, goal)
    return [line for correlation, design in found for line in _lines(name, correlation, design, len(items), goal)]


def _designs_of_scores(
    scores: np.ndarray, correlation: float | None, goal: Goal
) -> Sequence[tuple[float | None, PairedDesign]]:
    if len(scores) < 2 or not np.ptp(scores):
        raise EvalkitError(f"every item scores {scores[0]:g}: the run does not say which items tell models apart")
    if is_binary(scores):
        return designs(Noise(baseline_score=float(scores.mean()), correlation=correlation), goal)
    return graded_designs(float(scores.std(ddof=1)), correlation, goal)


def _of_two(
    first: Run, second: Run, name: str, goal: Goal, *, cluster_subsets: bool
) -> tuple[list[Planned], list[str]]:
    """Return the lines of one benchmark, and a note if items were left out."""
    differences, subsets, binary, left_out = _paired(first, second, name)
    if cluster_subsets:
        goal = replace(goal, clusters=len(set(subsets)), icc=intraclass_correlation(differences, subsets))
    note = [f"{name}: {left_out} items are in one of the runs only, and left out."] if left_out else []
    return _lines(name, None, _observed(differences, goal, binary=binary), len(differences), goal), note


def _lines(name: str, correlation: float | None, design: PairedDesign, n: int, goal: Goal) -> list[Planned]:
    return [Planned(benchmark=name, correlation=correlation, analysis=one) for one in analyses(design, n, goal)]


def _paired(first: Run, second: Run, name: str) -> tuple[np.ndarray, list[Hashable], bool, int]:
    """Return the differences of the items in both runs, their subsets, whether all scores are 0 or 1, and the rest."""
    ours, theirs = ({(item.subset, item.id): item for item in run.items[name]} for run in (first, second))
    common = [key for key in ours if key in theirs]
    metrics = {item.metric for items in (ours, theirs) for item in items.values()}
    if len(metrics) > 1:
        raise EvalkitError(f"scored by different metrics: {', '.join(sorted(metrics))}")
    if len(common) < 2:
        raise EvalkitError(f"the runs have {len(common)} items in common; two are needed")
    a, b = (_scores([items[key] for key in common]) for items in (ours, theirs))
    left_out = len(ours) + len(theirs) - 2 * len(common)
    return a - b, [subset for subset, _ in common], is_binary(a) and is_binary(b), left_out


def _scores(items: Sequence[Item]) -> np.ndarray:
    return np.array([item.score for item in items], dtype=float)


def _observed(differences: np.ndarray, goal: Goal, *, binary: bool) -> PairedDesign:
    if not np.ptp(differences):
        raise EvalkitError("the runs differ alike on every item: they say nothing of the noise between models")
    noise = (
        Noise(discordant=float((differences != 0).mean()))
        if binary
        else Noise(deviation=float(differences.std(ddof=1)))
    )
    return designs(noise, goal)[0][1]
