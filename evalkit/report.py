"""Results as text and as JSON: tables on a terminal, plain columns in a pipe, one object for a program."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from evalkit.compare import Comparison
from evalkit.statistics import Interval


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
    _print_table(
        stream,
        "Scores",
        ("benchmark", "run", "score", f"{percent} interval", "items", "method"),
        [
            (score.benchmark, score.run, *_score_cells(asdict(score.estimate)), score.estimate.method)
            for score in comparison.scores
        ],
    )
    family = len(comparison.compared)
    _print_table(
        stream,
        "Paired differences",
        ("benchmark", "run - baseline", "difference", f"{percent} interval", "w:l", "p", "p (Holm)"),
        [
            (
                one.benchmark,
                f"{one.run} - {one.baseline}",
                f"{one.paired.difference:+.4f}",
                _interval(one.paired.interval, signed=True),
                f"{one.paired.wins}:{one.paired.losses}",
                _p(one.paired.p_value),
                _p(one.p_adjusted) + (" *" if one.significant else ""),
            )
            for one in comparison.compared
        ],
    )
    methods = sorted({f"{one.paired.test} test, {one.paired.interval_method} interval" for one in comparison.compared})
    print(f"{'; '.join(methods)}; Holm's adjustment over {family} comparison{'s'[: family > 1]}.", file=stream)
    print(f"w:l: items won and lost; *: significant at {1 - comparison.level:.4g} after adjustment.", file=stream)
    for caveat in comparison.caveats:
        print(f"note: {caveat}", file=stream)


def print_results(results: Mapping[str, Any], stream: TextIO) -> None:
    """Print the scores of one run."""
    rows = [
        (name, *_score_cells(found), found["method"], found["metric"]) for name, found in results["benchmarks"].items()
    ]
    _print_table(stream, "", ("benchmark", "score", "95% interval", "items", "method", "metric"), rows)


def _print_table(stream: TextIO, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a rich table on a terminal, else columns with two spaces between them."""
    if stream.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for column in header:
            foldable = column in {"run", "run - baseline", "method"}
            table.add_column(column, overflow="fold", no_wrap=not foldable)
        for row in rows:
            table.add_row(*row)
        Console(file=stream, markup=False).print(table)
        return
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    if title:
        print(title, file=stream)
    for row in (header, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip(), file=stream)
    if title:
        print(file=stream)


def _score_cells(found: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{found['score']:.4f}", _interval(found["interval"]), str(found["n"])


def _interval(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    if interval is None:
        return "none"
    low, high = interval
    return f"[{low:+.4f}, {high:+.4f}]" if signed else f"[{low:.4f}, {high:.4f}]"


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
