"""The items on which runs differ, with what was asked and answered."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.comparing.compare import Comparison
from evalkit.comparing.evaluation import Item, Texts
from evalkit.comparing.output import write_output

NO_TEXTS = Texts(prompt="", response="", prediction="", target="")


@dataclass(frozen=True, kw_only=True)
class Differing:
    """An item that not all runs score alike, or that one of them failed.

    Attributes:
        benchmark: whose item it is.
        subset: of the benchmark.
        id: its content hash.
        items: by the name of the run; runs that do not have it are left out.
    """

    benchmark: str
    subset: str
    id: str
    items: Mapping[str, Item]

    @property
    def prompt(self) -> str:
        """What the first run that has it was asked."""
        return next((item.texts.prompt for item in self.items.values() if item.texts and item.texts.prompt), "")

    @property
    def target(self) -> str:
        """What would have been right."""
        return next((item.texts.target for item in self.items.values() if item.texts and item.texts.target), "")


def differing(comparison: Comparison) -> Iterator[Differing]:
    """Yield the items on which two runs have different scores, or of which one failed, in the order of the runs."""
    for benchmark in comparison.benchmarks:
        having = {name: run.items[benchmark] for name, run in comparison.runs.items() if benchmark in run.items}
        for key in dict.fromkeys(key for items in having.values() for key in items):
            found = {name: items[key] for name, items in having.items() if key in items}
            if len({item.score for item in found.values()}) > 1 or any(item.score is None for item in found.values()):
                yield Differing(benchmark=benchmark, subset=key[0], id=key[1], items=found)


def write_differing(path: Path, comparison: Comparison) -> None:
    """Write one JSON object per differing item: its place, prompt and target, and per run score and answer."""
    rows = (json.dumps(_row(found), ensure_ascii=False) for found in differing(comparison))
    write_output(path, "".join(f"{row}\n" for row in rows))


def _row(found: Differing) -> dict[str, Any]:
    return {
        "benchmark": found.benchmark,
        "subset": found.subset,
        "id": found.id,
        "prompt": found.prompt,
        "target": found.target,
        "runs": {
            name: {
                "score": item.score,
                "error": item.error or None,
                "response": (item.texts or NO_TEXTS).response,
                "prediction": (item.texts or NO_TEXTS).prediction,
            }
            for name, item in found.items.items()
        },
    }
