"""The scores of one run as text."""

from collections.abc import Mapping
from typing import Any, TextIO

from evalkit.tables import print_table, score_cells


def print_results(results: Mapping[str, Any], stream: TextIO) -> None:
    """Print the scores of one run."""
    rows = [
        (name, *score_cells(found), found["method"], found["metric"]) for name, found in results["benchmarks"].items()
    ]
    print_table(stream, "", ("benchmark", "score", "95% interval", "items", "method", "metric"), rows)
