"""Write the tables and figures of docs/theorems.md: what `halotheory verify` finds now.

python docs/theorems.py            # exit status 1 where docs/theorems.inc or a figure is out of date
python docs/theorems.py --write    # bring them up to date

The page's own words name claims with their statuses, (refuted: `optimum_with_kl`); those are compared, too.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from halotheory import theorems
from halotheory.findings import Status
from halotheory.reporting.boundaries import columns, panel
from halotheory.reporting.derivation import heading, own_assumptions
from halotheory.reporting.drawing import picture
from halotheory.reporting.notation import set_latex
from halotheory.reporting.typeset import prose
from halotheory.theorems.claims import Boundary, Claim, Statement

PAGE = Path(__file__).with_name("theorems.md")
TABLES = Path(__file__).with_name("theorems.inc")
IMAGES = Path(__file__).with_name("images")
_MOST = 24  # rows that are shown unfolded
_CITED = re.compile(r"\((proved|refuted|undecided):\s((?:`\w+`,?\s?)+)\)")
_SPECIAL = re.compile(r"([\\`*_\[\]|])")


def files(statements: Sequence[Statement]) -> Mapping[Path, str]:
    """Return what the files of the page hold: all parts in one, each between comments, and the figures."""
    parts = [_part("overview", [_overview(statements)])]
    for statement in statements:
        name = statement.name
        parts += [_part(name, _opening(statement)), _part(f"{name}/claims", _claims(statement))]
        parts += [_part(f"{name}/{bound.name}", _bounded(bound, statement)) for bound in statement.boundaries]
        parts += [_part(f"{name}/notes", [_listed(statement.notes)])] if statement.notes else []
    return {TABLES: "\n".join(parts), **_figures(statements)}


def misquoted(page: str, statements: Iterable[Statement]) -> list[str]:
    """Return the claims that a text names with another status than they have, or that there are not."""
    found = {(claim.name, claim.status.value) for statement in statements for claim in statement.claims}
    cited = [(name, status) for status, names in _CITED.findall(page) for name in re.findall(r"\w+", names)]
    return [f"{name}: {status}" for name, status in cited if (name, status) not in found]


def _figures(statements: Iterable[Statement]) -> dict[Path, str]:
    drawn = {
        _image(boundary, statement): panel(boundary) for statement in statements for boundary in statement.boundaries
    }
    return {path: picture(found) for path, found in drawn.items() if found is not None}


def _part(name: str, blocks: Iterable[str]) -> str:
    return "\n\n".join([f"<!-- begin {name} -->", *blocks, f"<!-- end {name} -->"]) + "\n"


def _overview(statements: Sequence[Statement]) -> str:
    counts = [
        [str(sum(claim.status is status for claim in statement.claims)) for status in Status]
        for statement in statements
    ]
    rows = [
        [f"`{statement.name}`", _text(heading(statement)), *found]
        for statement, found in zip(statements, counts, strict=True)
    ]
    return _table(["`halotheory verify`", "", *(status.value for status in Status)], rows)


def _opening(statement: Statement) -> list[str]:
    blocks = [f"*{_text(statement.source)}.* {_text(statement.formal)}"]
    assumed = "; ".join(map(_text, statement.assumptions))
    return [*blocks, *([f"Assumed: {assumed}."] if assumed else [])]


def _claims(statement: Statement) -> list[str]:
    table = _table(["", "claim", "reading", "witness"], [_row(claim, statement) for claim in statement.claims])
    return _folded(f"{len(statement.claims)} claims (<code>halotheory verify {statement.name}</code>)", table)


def _folded(summary: str, table: str) -> list[str]:
    return [f"<details>\n<summary>{summary}</summary>", table, "</details>"]


def _row(claim: Claim, statement: Statement) -> list[str]:
    witness = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in (claim.witness or {}).items())
    readings = [claim.reading.rstrip(".")] if claim.reading else []
    reading = "; ".join([*readings, *own_assumptions(claim, statement)])
    return [f"**{claim.status.value}**", f"{_text(claim.statement)} `{claim.name}`", _text(reading), witness]


def _bounded(boundary: Boundary, statement: Statement) -> list[str]:
    blocks = [_text(boundary.statement)]
    blocks += [_formula(boundary.formula)] if boundary.formula else []
    drawn, names = panel(boundary), columns(boundary)
    if drawn is not None:
        image = f"images/{_image(boundary, statement).name}"
        blocks.append(f"```{{image}} {image}\n:alt: {drawn.said}\n:width: 480px\n```")
    if names:
        rows = [[_text(point.get(name, "")) for name in names] for point in boundary.points]
        table = _table([_text(name) for name in names], rows)
        blocks += [table] if len(rows) <= _MOST else _folded(f"{len(rows)} rows", table)
    return [
        *blocks,
        *(["\n".join(f"- {_text(words)}" for words in boundary.asymptotes)] if boundary.asymptotes else []),
    ]


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_text(sentence)}" for sentence in sentences)


def _formula(text: str) -> str:
    sides = re.split(r" (<=|>=|=|<|>) ", text, maxsplit=1)
    shown = set_latex(*sides) if len(sides) == 3 else set_latex(text)
    return _text(text) if shown is None else f"$${shown.replace('allowbreak', '')}$$".replace("\\,\\ ", "\\, ")


def _image(boundary: Boundary, statement: Statement) -> Path:
    return IMAGES / f"{statement.name}-{boundary.name}.svg".replace("_", "-")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(words: str) -> str:
    """Return prose for Markdown: its special characters quoted, with the subscripts that mathematics has."""
    return prose(
        words.replace("\n", " "),
        lambda text: _SPECIAL.sub(r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;")),
        lambda head, below: f"{head}<sub>{_text(below)}</sub>",
        lambda above: f"<sup>{above}</sup>",
    )


def main(write: bool) -> int:
    """Return 0 where page and files are those of the commands (the files may be rewritten), and 1 otherwise."""
    statements = theorems.verify()
    stale = misquoted(PAGE.read_text(encoding="utf-8"), statements)
    for path, found in files(statements).items():
        if write:
            path.write_text(found, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != found:
            stale.append(f"{path.name} is out of date: python docs/theorems.py --write")
    print("\n".join(stale), file=sys.stderr, end="\n" if stale else "")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
