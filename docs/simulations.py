"""Run every experiment of `halotheory simulate` with its defaults, for the tables and figures of docs/simulate.md.

    python docs/simulations.py                  # exit status 1 where docs/simulate.inc is out of date
    python docs/simulations.py --write          # bring it and the figures up to date
    python docs/simulations.py --write noise    # those of some experiments only

Numbers are compared to within 0.01, since other machines round otherwise.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from halotheory.experiments import EXPERIMENTS, Result
from halotheory.files import write_bytes, write_text
from halotheory.reporting.experiment_figure import draw, spoken
from halotheory.reporting.simulation import differences, means

TABLES = Path(__file__).with_name("simulate.inc")
IMAGES = Path(__file__).with_name("images")
_PART = re.compile(r"<!-- begin ([\w-]+) -->\n.*?<!-- end \1 -->\n", re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+\.\d+")
_CLOSE = 0.01


def computed(name: str) -> Result:
    """Return an experiment's result with its default budget."""
    experiment = EXPERIMENTS[name]
    return experiment.run(budget=replace(experiment.budget), started=lambda text: None)


def part(result: Result) -> str:
    """Return what the page shows of a result."""
    name = result.experiment
    blocks = [
        f"<!-- begin {name} -->",
        _listed(f"**{finding}**" for finding in result.findings),
        f"```{{image}} images/simulate-{name}.svg\n:alt: {_plain(spoken(result))}\n:width: 100%\n```",
        _folded("Means with intervals of 95 %", _table(*means(result))),
        *([_folded("Paired differences", _table(*differences(result)))] if result.comparisons else []),
        f"Held equal: {'; '.join(result.held_equal)}.",
        f"To be kept in mind: {'; '.join(result.notes)}." if result.notes else "",
        f"<!-- end {name} -->",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def agree(shown: str, found: str) -> bool:
    """Return whether two parts say the same, up to rounding."""
    numbers = [[float(number) for number in _NUMBER.findall(text)] for text in (shown, found)]
    words = [_NUMBER.sub("NUMBER", text) for text in (shown, found)]
    return words[0] == words[1] and all(abs(a - b) <= _CLOSE for a, b in zip(*numbers, strict=True))


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _folded(summary: str, table: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{table}\n\n</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _plain(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("_", r"\_")


def main(words: Sequence[str]) -> int:
    """Return 0 where the page agrees with the commands (it may be rewritten), and 1 otherwise."""
    write, names = "--write" in words, [word for word in words if word != "--write"] or list(EXPERIMENTS)
    text = TABLES.read_text(encoding="utf-8") if TABLES.exists() else ""
    parts = {found[1]: found[0] for found in _PART.finditer(text)}
    stale = 0
    for name in names:
        result = computed(name)
        found = part(result)
        if write:
            parts[name] = found
            write_text(TABLES, "\n".join(parts[each] for each in EXPERIMENTS if each in parts))
            write_bytes(IMAGES / f"simulate-{name}.svg", draw(result, ".svg"))
        elif not agree(parts.get(name, ""), found):
            print(f"{name} is out of date: python docs/simulations.py --write {name}", file=sys.stderr)
            stale += 1
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
