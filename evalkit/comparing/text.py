"""A comparison as text and as JSON: tables for people, one object for a program."""

from dataclasses import asdict
from typing import Any, TextIO

from evalkit.comparing.compare import Comparison
from evalkit.statistics import Interval
from evalkit.tables import interval_cell, p_cell, print_table, score_cells


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as one JSON object; an interval that does not exist is null."""
    return {
        "baseline": comparison.baseline,
        "level": comparison.level,
        "family_size": len(comparison.compared),
        "scores": [
            {
                "run": score.run,
                "benchmark": score.benchmark,
                "score": score.estimate.score,
                "n": score.estimate.n,
                "interval": _listed(score.estimate.interval),
                "method": score.estimate.method,
            }
            for score in comparison.scores
        ],
        "comparisons": [
            {
                "run": one.run,
                "baseline": one.baseline,
                "benchmark": one.benchmark,
                "difference": one.paired.difference,
                "interval": _listed(one.paired.interval),
                "interval_method": one.paired.interval_method,
                "n": one.paired.n,
                "wins": one.paired.wins,
                "losses": one.paired.losses,
                "unmatched": list(one.unmatched),
                "p_value": one.paired.p_value,
                "test": one.paired.test,
                "p_adjusted": one.p_adjusted,
                "adjustment": "holm",
                "significant": one.significant,
            }
            for one in comparison.compared
        ],
        "caveats": list(comparison.caveats),
    }


def print_comparison(comparison: Comparison, stream: TextIO) -> None:
    """Print scores, paired differences and caveats."""
    percent = f"{comparison.level:.0%}" if round(comparison.level * 100, 6).is_integer() else f"{comparison.level}"
    print_table(
        stream,
        "Scores",
        ("benchmark", "run", "score", f"{percent} interval", "items", "method"),
        [
            (score.benchmark, score.run, *score_cells(asdict(score.estimate)), score.estimate.method)
            for score in comparison.scores
        ],
    )
    family = len(comparison.compared)
    print_table(
        stream,
        "Paired differences",
        ("benchmark", "run - baseline", "difference", f"{percent} interval", "w:l", "p", "p (Holm)"),
        [
            (
                one.benchmark,
                f"{one.run} - {one.baseline}",
                f"{one.paired.difference:+.4f}",
                interval_cell(one.paired.interval, signed=True),
                f"{one.paired.wins}:{one.paired.losses}",
                p_cell(one.paired.p_value),
                p_cell(one.p_adjusted) + (" *" if one.significant else ""),
            )
            for one in comparison.compared
        ],
    )
    methods = sorted({f"{one.paired.test} test, {one.paired.interval_method} interval" for one in comparison.compared})
    print(f"{'; '.join(methods)}; Holm's adjustment over {family} comparison{'s'[: family > 1]}.", file=stream)
    print(f"w:l: items won and lost; *: significant at {1 - comparison.level:.4g} after adjustment.", file=stream)
    for caveat in comparison.caveats:
        print(f"note: {caveat}", file=stream)


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
