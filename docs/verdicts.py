"""Write the tables of docs/verdicts.md: every built-in loss with the verdict that the checker comes to now.

python docs/verdicts.py            # exit status 1 where docs/verdicts.inc is out of date
python docs/verdicts.py --write    # bring it up to date
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from halotheory.catalogue import Entry, catalogue
from halotheory.findings import Status, Verdict
from halotheory.reporting.typeset import latex, parsed

TABLES = Path(__file__).with_name("verdicts.inc")
_LONGEST = 90  # characters of a value function that is set as a formula


def tables(entries: Iterable[Entry]) -> str:
    """Return the built-in losses in three tables: HALOs strictly, with relaxations, and all others."""
    found = {entry.loss: entry.verdict for entry in entries if entry.verdict is not None}
    strictly = [verdict for verdict in found.values() if verdict.strict]
    relaxed = [verdict for verdict in found.values() if verdict.verdict == "halo" and not verdict.strict]
    others = [verdict for verdict in found.values() if verdict.verdict != "halo"]
    parts = [
        f"### Strictly: {len(strictly)}",
        _table(["loss", "$v(z)$", "holds for"], [[_name(v), _value(v), _holds(v)] for v in strictly]),
        f"### With relaxations: {len(relaxed)}",
        _table(
            ["loss", "relaxations", "$v(z)$", "holds for"],
            [[_name(v), _codes(v.relaxations), _value(v), _holds(v)] for v in relaxed],
        ),
        f"### Not: {len([v for v in others if v.verdict == 'not_halo'])}",
        _table(["loss", "refuted", "fails in"], [[_name(v), *_failure(v)] for v in others]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _name(verdict: Verdict) -> str:
    return f"`{verdict.loss}`" + (" (undecided)" if verdict.verdict == "undecided" else "")


def _value(verdict: Verdict) -> str:
    assert verdict.construction is not None
    text = verdict.construction.value_function
    formula = parsed(text, verdict.hyperparameters) if len(text) <= _LONGEST else None
    if formula is None:
        return f"see `halotheory check {verdict.loss}`"
    apart = re.sub(r"(\\mathrm\{[^}]*\}) (?=z|\\log)", r"\1\\, ", latex(formula))
    return f"${apart}$"


def _failure(verdict: Verdict) -> tuple[str, str]:
    """Return the conditions that are refuted, and the part of the loss that the first of them blames."""
    refuted = [finding for finding in verdict.conditions if finding.status is Status.REFUTED]
    guilty = next((finding.guilty for finding in refuted if finding.guilty), None)
    return _codes(finding.name for finding in refuted), f"`{guilty}`" if guilty else ""


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _holds(verdict: Verdict) -> str:
    """Return for which hyperparameters the verdict holds with these relaxations; others follow in `holds_for`."""
    words = verdict.holds_for.split(";")[0]
    return words.replace("<", "&lt;").replace("_", "\\_")


def main(write: bool) -> int:
    """Return 0 where the tables are those of the checker (or were rewritten), and 1 otherwise."""
    entries = catalogue()
    for entry in entries:
        if entry.verdict is None:
            print(f"error: {entry.loss}: {entry.error}", file=sys.stderr)
            return 1
    found = tables(entries)
    if write:
        TABLES.write_text(found, encoding="utf-8")
        return 0
    shown = TABLES.read_text(encoding="utf-8") if TABLES.exists() else ""
    if shown != found:
        print(f"{TABLES.name} is out of date: python docs/verdicts.py --write", file=sys.stderr)
    return int(shown != found)


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
