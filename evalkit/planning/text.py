"""Power analyses as text and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from evalkit.planning.plan import Planned
from evalkit.statistics import EVERY_COMPARISON
from evalkit.tables import print_table

TITLES = {
    "difference": "Smallest difference that is found",
    "power": "Power",
    "items": "Items needed",
}


def as_json(planned: Sequence[Planned], notes: Sequence[str]) -> dict[str, Any]:
    """Return analyses as one JSON object."""
    return {
        "analyses": [
            {"benchmark": one.benchmark, "correlation": one.correlation, "problem": one.problem or None}
            | ({} if one.analysis is None else asdict(one.analysis))
            for one in planned
        ],
        "notes": [*notes, *EVERY_COMPARISON],
    }


def print_plan(planned: Sequence[Planned], notes: Sequence[str], stream: TextIO) -> None:
    """Print a table for each question that was answered, then what was supposed."""
    for solved_for, title in TITLES.items():
        rows = [_row(one) for one in planned if one.analysis is not None and one.analysis.solved_for == solved_for]
        if rows:
            header = ("benchmark", "items", "difference", "power", "correlation", "discordant", "sd", "alpha", "method")
            used = [at for at in range(len(header)) if any(row[at] for row in rows)]
            cells = [tuple(row[at] for at in used) for row in rows]
            print_table(stream, title, tuple(header[at] for at in used), cells)
    for one in planned:
        if one.problem:
            print(f"{one.benchmark}: {one.problem}", file=stream)
    supposed = dict.fromkeys(one.analysis.assumptions for one in planned if one.analysis is not None)
    for line in supposed:
        print(f"supposed: {line}.", file=stream)
    for note in (*notes, *EVERY_COMPARISON):
        print(f"note: {note}", file=stream)


def _row(one: Planned) -> tuple[str, ...]:
    found = one.analysis
    assert found is not None
    return (
        one.benchmark,
        str(found.n),
        f"{found.difference:.4f}",
        f"{found.power:.4f}",
        "" if one.correlation is None else f"{one.correlation:g}",
        "" if found.discordant is None else f"{found.discordant:.4f}",
        f"{found.deviation:.4f}",
        f"{found.alpha:.4g}",
        found.method,
    )
