"""A comparison as text: tables for people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from evalkit.comparing.breakdown import Breakdown
from evalkit.comparing.compare import Comparison
from evalkit.comparing.procedure import Procedure
from evalkit.tables import difference_cells, p_cell, percent, print_table, score_cells

ADJUSTED = {"holm": "p (Holm)", "bh": "q (BH)", "none": "p"}


def print_comparison(comparison: Comparison, stream: TextIO) -> None:
    """Print scores, paired differences, methods and caveats."""
    level = percent(comparison.procedure.level)
    print_table(
        stream,
        "Scores",
        ("benchmark", "run", "score", f"{level} interval", "items", "failed", "method"),
        [
            (one.benchmark, one.run, *score_cells(asdict(one.estimate)), str(one.failed), one.estimate.method)
            for one in comparison.scores
        ],
    )
    if comparison.compared:
        _print_differences(comparison, level, stream)
    for one in comparison.overall:
        p = p_cell(one.test.p_value)
        print(
            f"{one.benchmark}: are all runs alike? {one.test.test}: Q = {one.test.statistic:.4g}, "
            f"p {'' if p.startswith('<') else '= '}{p} over {one.n} items; beside the family, not in it.",
            file=stream,
        )
    for caveat in comparison.caveats:
        print(f"note: {caveat}", file=stream)


def _print_differences(comparison: Comparison, level: str, stream: TextIO) -> None:
    adjusted = adjusted_name(comparison.procedure)
    header = ("benchmark", "run - baseline", "difference", f"{level} interval", "w:l", "p")
    print_table(
        stream,
        "Paired differences",
        (*header, *((adjusted,) if adjusted != "p" else ()), "detectable"),
        [
            (
                one.benchmark,
                f"{one.run} - {one.baseline}",
                *difference_cells(asdict(one.paired)),
                *((p_cell(one.paired.p_value),) if adjusted != "p" else ()),
                p_cell(one.p_adjusted) + (" *" if one.significant else ""),
                "none" if one.detectable is None else f"{one.detectable:.4f}",
            )
            for one in comparison.compared
        ],
    )
    for sentence in methods(comparison):
        print(sentence, file=stream)


def adjusted_name(procedure: Procedure) -> str:
    """Return the heading of the column of adjusted p-values."""
    return "p" if procedure.family == "none" else ADJUSTED[procedure.adjust]


def methods(comparison: Comparison) -> list[str]:
    """Return how the differences were computed, what that assumes, and what the columns mean."""
    compared, procedure = comparison.compared, comparison.procedure
    used = sorted({f"{one.paired.test} test, {one.paired.interval_method} interval" for one in compared})
    said = [f"{'; '.join(used)}; {_adjustment(comparison)}."]
    said += [f"Assumed: {text}." for text in sorted({one.paired.assumptions for one in compared})]
    said.append(
        f"w:l: items won and lost; *: significant at {procedure.alpha:.4g} after adjustment. detectable: a true "
        "difference smaller than this would probably be missed (power below 80 %)."
    )
    return said


def _adjustment(comparison: Comparison) -> str:
    procedure, number = comparison.procedure, len(comparison.compared)
    if procedure.family == "none" or procedure.adjust == "none":
        return "p-values are not adjusted"
    name = {"holm": "Holm's", "bh": "Benjamini and Hochberg's"}[procedure.adjust]
    if procedure.family == "benchmark":
        return f"{name} adjustment within each benchmark"
    return f"{name} adjustment over {number} comparison{'s'[: number > 1]}"


def print_breakdown(breakdown: Breakdown, stream: TextIO) -> None:
    """Print differences by subset, the largest first within each pair; scores by subset of a single run."""
    rows = sorted(
        breakdown.differences, key=lambda one: (one.benchmark, one.run, one.baseline, -abs(one.paired.difference))
    )
    if rows:
        print_table(
            stream,
            "By subset (p adjusted by Holm within each pair; no part of the family)",
            ("benchmark", "subset", "run - baseline", "difference", "interval", "w:l", "p (Holm)"),
            [
                (
                    one.benchmark,
                    one.subset,
                    f"{one.run} - {one.baseline}",
                    *difference_cells(asdict(one.paired)),
                    p_cell(one.p_adjusted),
                )
                for one in rows
            ],
        )
        return
    print_table(
        stream,
        "By subset",
        ("benchmark", "subset", "run", "score", "interval", "items"),
        [(one.benchmark, one.subset, one.run, *score_cells(asdict(one.estimate))) for one in breakdown.scores],
    )


def print_failures(failures: Sequence[str], stream: TextIO) -> None:
    """Print what --fail-on found."""
    for sentence in failures:
        print(f"regression: {sentence}", file=stream)
    if not failures:
        print("regression: none", file=stream)
