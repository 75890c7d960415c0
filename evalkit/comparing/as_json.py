"""A comparison as one JSON object, for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from evalkit.comparing.breakdown import Breakdown
from evalkit.comparing.compare import Compared, Comparison
from evalkit.statistics import Estimate, Interval, PairedDifference


def comparison_json(
    comparison: Comparison, breakdown: Breakdown, *, failures: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return a comparison as one JSON object; an interval that does not exist is null.

    Args:
        comparison: what was found.
        breakdown: of the same, by subset.
        failures: what `--fail-on` found; None where it was not asked for.
    """
    return {
        "baseline": comparison.baseline,
        "level": comparison.procedure.level,
        "family_size": len(comparison.compared),
        "procedure": asdict(comparison.procedure),
        "runs": [
            {"name": name, "path": str(run.path), "kind": run.kind, "model": run.settings.get("model")}
            for name, run in comparison.runs.items()
        ],
        "scores": [
            {"run": one.run, "benchmark": one.benchmark, **_estimate(one.estimate), "failed": one.failed}
            for one in comparison.scores
        ],
        "comparisons": [_compared(one, comparison) for one in comparison.compared],
        "overall": [{"benchmark": one.benchmark, "n": one.n, **asdict(one.test)} for one in comparison.overall],
        "subsets": {
            "scores": [
                {"run": one.run, "benchmark": one.benchmark, "subset": one.subset, **_estimate(one.estimate)}
                for one in breakdown.scores
            ],
            "comparisons": [
                {
                    "run": one.run,
                    "baseline": one.baseline,
                    "benchmark": one.benchmark,
                    "subset": one.subset,
                    **_paired(one.paired),
                    "p_adjusted": one.p_adjusted,
                    "adjustment": "holm",
                }
                for one in breakdown.differences
            ],
        },
        "failures": None if failures is None else list(failures),
        "caveats": list(comparison.caveats),
    }


def _compared(one: Compared, comparison: Comparison) -> dict[str, Any]:
    return {
        "run": one.run,
        "baseline": one.baseline,
        "benchmark": one.benchmark,
        **_paired(one.paired),
        "metric": one.matched.metric,
        "higher_is_better": one.matched.higher_is_better,
        "unmatched": list(one.matched.unmatched),
        "failed": list(one.matched.failed),
        "different_prompts": one.matched.different_prompts,
        "p_adjusted": one.p_adjusted,
        "adjustment": comparison.procedure.adjust,
        "family_size": one.family_size,
        "significant": one.significant,
        "detectable": one.detectable,
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {
        "score": found.score,
        "n": found.n,
        "interval": _listed(found.interval),
        "method": found.method,
        "assumptions": found.assumptions,
    }


def _paired(found: PairedDifference) -> dict[str, Any]:
    return {
        "difference": found.difference,
        "interval": _listed(found.interval),
        "interval_method": found.interval_method,
        "n": found.n,
        "wins": found.wins,
        "losses": found.losses,
        "p_value": found.p_value,
        "test": found.test,
        "assumptions": found.assumptions,
    }


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
