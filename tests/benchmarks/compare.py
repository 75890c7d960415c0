"""How long two MMLU-size runs take to compare, beside lm-eval's bootstrap; how often `compare` raises false alarms.

python tests/benchmarks/compare.py [--runs 5] [--resamples-of-lm-eval 100]
python tests/benchmarks/compare.py --false-alarms [--worlds 500]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.comparing.compare import compare
from evalkit.comparing.procedure import Procedure

ITEMS, SUBJECTS, RESAMPLES = 14_042, 57, 10_000
PROMPT = "The following are multiple choice questions (with answers) about a subject.\n\n" + 8 * "Some words of it. "

Scores = Mapping[str, NDArray]
World = Callable[[np.random.Generator], tuple[Sequence[Scores], Mapping[str, NDArray], set[str]]]


def write_run(folder: Path, scores: Scores, subsets: Mapping[str, NDArray]) -> Path:
    """Write a run folder with these scores, by benchmark, (items,)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "benchmark": name,
            "subset": f"s{subsets[name][i]:02d}",
            "id": f"{i:016x}",
            "score": float(value),
            "metric": "acc,none",
            "prompt": f"{PROMPT}{i}",
            "response": [-1.5, -0.5, -2.5, -3.5],
        }
        for name, values in scores.items()
        for i, value in enumerate(values)
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "results.json").write_text("{}")
    return folder


Seconds = tuple[float, float]
"""Of the clock, and of the processor: on a busy machine the clock runs on while the command waits."""


def timings(runs: int, lm_eval_resamples: int) -> dict[str, Seconds]:
    """Return seconds: of the whole command, of the comparison alone, and of lm-eval's bootstrap of the same items."""
    random = np.random.default_rng(0)
    subjects = {"mmlu": random.integers(0, SUBJECTS, ITEMS)}
    easy = random.normal(size=ITEMS)
    with tempfile.TemporaryDirectory() as folder:
        folders = []
        for name, shift in (("a", 0.25), ("b", 0.3)):
            scores = (easy + random.normal(size=ITEMS) + shift > 0).astype(float)
            folders.append(write_run(Path(folder) / name, {"mmlu": scores}, subjects))
        words = [sys.executable, "-m", "evalkit", "compare", *map(str, folders), "--clusters", "subset"]
        words += ["--method", "clustered-bootstrap", "--resamples", str(RESAMPLES)]
        procedure = Procedure(clusters="subset", method="clustered-bootstrap", resamples=RESAMPLES)
        found = {
            "evalkit compare, whole process": median(
                lambda: subprocess.run(words, check=True, capture_output=True), runs
            ),
            "evalkit compare, from files": median(lambda: compare(folders, procedure=procedure), runs),
        }
    return found | {f"lm-eval, {RESAMPLES} resamples of one model": lm_eval_seconds(scores.tolist(), lm_eval_resamples)}


def lm_eval_seconds(scores: list[float], resamples: int) -> Seconds:
    """Return how long lm-eval's bootstrap of a mean takes on one core, from fewer resamples; its time is linear."""
    os.environ["DISABLE_MULTIPROC"] = "1"
    from lm_eval.api.metrics import bootstrap_stderr, mean

    clock, processor = median(lambda: bootstrap_stderr(mean, scores, resamples), 1)
    return clock * RESAMPLES / resamples, processor * RESAMPLES / resamples


def median(call: Callable[[], object], runs: int) -> Seconds:
    """Return the medians of the seconds that a call takes, children included, after one that is not counted."""
    call()
    clock, processor = [], []
    for _ in range(runs):
        began, used = time.perf_counter(), sum(os.times()[:4])
        call()
        clock.append(time.perf_counter() - began)
        processor.append(sum(os.times()[:4]) - used)
    return statistics.median(clock), statistics.median(processor)


def alike(random: np.random.Generator) -> tuple[Sequence[Scores], Mapping[str, NDArray], set[str]]:
    """Four models that are alike, on two benchmarks of 100 and 60 correlated items, right or wrong."""
    easy = {"x": random.normal(size=100), "y": random.normal(size=60)}
    runs = [{k: (v + random.normal(size=len(v)) > 0).astype(float) for k, v in easy.items()} for _ in range(4)]
    return runs, {name: np.zeros(len(values), dtype=int) for name, values in easy.items()}, {"a", "b", "c", "d"}


def one_better(random: np.random.Generator) -> tuple[Sequence[Scores], Mapping[str, NDArray], set[str]]:
    """The same, but the fourth is better: alarms among the other three alone are false."""
    runs, subsets, _ = alike(random)
    for name, values in runs[3].items():
        values[random.random(len(values)) < 0.25] = 1.0
        assert name in subsets
    return runs, subsets, {"a", "b", "c"}


def graded(random: np.random.Generator) -> tuple[Sequence[Scores], Mapping[str, NDArray], set[str]]:
    """Four models that are alike, with skewed scores in [0, 1] on 80 items of two benchmarks."""
    runs = []
    easy = {name: random.normal(size=80) for name in ("x", "y")}
    for _ in range(4):
        runs.append({k: np.exp(np.minimum(0.0, v + random.normal(size=len(v)) - 1)) for k, v in easy.items()})
    return runs, {name: np.zeros(80, dtype=int) for name in easy}, {"a", "b", "c", "d"}


def in_subjects(random: np.random.Generator) -> tuple[Sequence[Scores], Mapping[str, NDArray], set[str]]:
    """Four models that are alike over all subjects, each with its own strengths: 40 subjects of 10 items."""
    subjects = np.repeat(np.arange(40), 10)
    easy, runs = random.normal(size=400), []
    for _ in range(4):
        strengths = random.normal(size=40)[subjects] * 0.7
        runs.append({"x": (easy + strengths + random.normal(size=400) > 0).astype(float)})
    return runs, {"x": subjects}, {"a", "b", "c", "d"}


WORLDS: Sequence[tuple[str, World, Procedure]] = (
    ("alike, right or wrong", alike, Procedure()),
    ("one is better", one_better, Procedure()),
    ("alike, graded", graded, Procedure()),
    ("alike over subjects, clustered", in_subjects, Procedure(clusters="subset")),
    ("alike over subjects, clusters ignored", in_subjects, Procedure()),
)


def false_alarms(world: World, procedure: Procedure, worlds: int) -> float:
    """Return the share of worlds in which `compare`, all pairs of four runs, calls any true null significant."""
    alarms, random = 0, np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for _ in range(worlds):
            runs, subsets, null = world(random)
            paths = [write_run(Path(folder) / name, scores, subsets) for name, scores in zip("abcd", runs, strict=True)]
            compared = compare(paths, all_pairs=True, procedure=procedure).compared
            alarms += any(one.significant and {one.run, one.baseline} <= null for one in compared)
    return alarms / worlds


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--resamples-of-lm-eval", type=int, default=100)
    parser.add_argument("--false-alarms", action="store_true")
    parser.add_argument("--worlds", type=int, default=500)
    options = parser.parse_args()
    if options.false_alarms:
        print(f"{'world':40} {'false alarms':>12} {'+- (95 %)':>10}   target <= 0.05")
        for name, world, procedure in WORLDS:
            rate = false_alarms(world, procedure, options.worlds)
            print(f"{name:40} {rate:12.4f} {1.96 * (rate * (1 - rate) / options.worlds) ** 0.5:10.4f}", flush=True)
        return
    found = timings(options.runs, options.resamples_of_lm_eval)
    ours = found["evalkit compare, from files"][1]
    print(f"{'two runs of 14,042 items':46} {'clock s':>8} {'CPU s':>8}   target 2 s")
    for name, (clock, processor) in found.items():
        print(f"{name:46} {clock:8.2f} {processor:8.2f}   {processor / ours:6.1f} times")


if __name__ == "__main__":
    main()
