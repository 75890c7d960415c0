"""What a run found: per benchmark and subset, the score with its interval, from the rows of its items."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.running.benchmarks import Benchmark
from evalkit.running.scoring import Scored
from evalkit.statistics import Estimate, clustered, estimate, is_binary, macro_average

LEVEL = 0.95
Row = Mapping[str, Any]


def benchmark_results(benchmark: Benchmark, scored: Scored) -> dict[str, Any]:
    """Return the score of a benchmark and those of its subsets, as lm-eval defines them.

    gsm8k, bbh and mmlu, and groups of lm-eval weighted by size, are the mean over all items; a group whose subsets
    are weighted alike is the mean of their means. Failed items have no score and are counted apart.
    """
    rows = [row for row in scored.rows if row["score"] is not None]
    several = len(benchmark.subtasks) > 1
    found = estimate_items(rows, equal_subsets=benchmark.equal_subsets)
    whole = shown(found) | {
        "metric": rows[0]["metric"],
        "higher_is_better": rows[0]["higher_is_better"],
        "binary": is_binary([row["score"] for row in rows]),
        "num_samples": max(row.get("num_samples", 1) for row in rows),
        "other_scores": {} if benchmark.equal_subsets else _other_scores(rows),
        "failed": len(scored.rows) - len(rows),
        "truncated": sum(header["truncated"] for header in scored.subsets.values()),
    }
    if not several:
        return whole | {key: value for key, value in scored.subsets[""].items() if key not in whole}
    subsets = {}
    for subset, header in scored.subsets.items():
        own = [row for row in rows if row["subset"] == subset]
        subsets[subset] = (shown(estimate_items(own)) if own else {"score": None, "n": 0}) | header
    return whole | {"subsets": subsets}


def estimate_items(rows: Sequence[Row], *, equal_subsets: bool = False) -> Estimate:
    """Return the mean score of items with its interval.

    Subsets are fixed: the interval is about other items of the same subsets. Where items have several samples the
    items are the clusters.
    """
    scores = [row["score"] for row in rows]
    subsets = [row["subset"] for row in rows]
    if equal_subsets and len(set(subsets)) > 1:
        return macro_average(scores, subsets, level=LEVEL)
    if any("sample_scores" in row for row in rows):
        return _sampled(rows)
    return estimate(scores, strata=subsets, level=LEVEL)


def _sampled(rows: Sequence[Row]) -> Estimate:
    """Return the mean over all samples, each item a cluster within its subset."""
    scores, clusters, subsets = [], [], []
    for number, row in enumerate(rows):
        for value in row.get("sample_scores", [row["score"]]):
            scores.append(value)
            clusters.append(number)
            subsets.append(row["subset"])
    sizes = Counter(row["subset"] for row in rows)
    strata = subsets if len(sizes) > 1 and min(sizes.values()) > 1 else None  # one item says nothing of its subset
    return replace(clustered(scores, clusters, strata=strata, level=LEVEL), n=len(rows))


def _other_scores(rows: Sequence[Row]) -> dict[str, float]:
    """Return the means of the other metrics and filters that every item has."""
    first = rows[0].get("other_scores", {})
    return {
        name: sum(row["other_scores"][name] for row in rows) / len(rows)
        for name in first
        if all(name in row.get("other_scores", {}) for row in rows)
    }


def shown(value: Estimate) -> dict[str, Any]:
    """Return an estimate as results.json holds it."""
    return {
        "score": value.score,
        "n": value.n,
        "interval": list(value.interval) if value.interval else None,
        "level": value.level,
        "method": value.method,
    }
