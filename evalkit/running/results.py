"""What a run found: per benchmark and subset, the score with its interval, from the rows of its items."""

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.running.benchmarks import Benchmark
from evalkit.statistics import Estimate, estimate, is_binary

LEVEL = 0.95


def benchmark_results(
    benchmark: Benchmark, rows: Sequence[Mapping[str, Any]], headers: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the score of a benchmark, the mean over all of its items, and those of its subsets.

    gsm8k, bbh and mmlu define their scores so; a group of lm-eval that weights its subsets alike does not, and its
    score here is the mean over items all the same.

    Args:
        benchmark: what was scored.
        rows: its items, as `evalkit.running.scoring.score` returns them.
        headers: by subset, what is known of the scoring: task, version, num_fewshot, truncated, seconds.
    """
    several = len(benchmark.subtasks) > 1
    scores = [row["score"] for row in rows]
    whole = _shown(estimate(scores, strata=[row["subset"] for row in rows], level=LEVEL)) | {
        "metric": rows[0]["metric"],
        "higher_is_better": rows[0]["higher_is_better"],
        "binary": is_binary(scores),
        "other_scores": _other_scores(rows),
        "truncated": sum(header["truncated"] for header in headers.values()),
        "seconds": round(sum(header["seconds"] for header in headers.values()), 3),
    }
    if not several:
        return whole | headers[""]
    subsets = {}
    for subset, header in headers.items():
        own = [row["score"] for row in rows if row["subset"] == subset]
        subsets[subset] = _shown(estimate(own, level=LEVEL)) | header
    return whole | {"subsets": subsets}


def _other_scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the means of the other metrics and filters that every item has."""
    return {
        name: sum(row["other_scores"][name] for row in rows) / len(rows)
        for name in rows[0]["other_scores"]
        if all(name in row["other_scores"] for row in rows)
    }


def _shown(value: Estimate) -> dict[str, Any]:
    return {
        "score": value.score,
        "n": value.n,
        "interval": list(value.interval) if value.interval else None,
        "level": value.level,
        "method": value.method,
    }
