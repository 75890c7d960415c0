"""Verified statements as text for a terminal."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from halotheory.findings import Status
from halotheory.reporting.boundaries import columns
from halotheory.theorems.claims import Boundary, Claim, Statement, Step, Trial

_STYLES = {Status.PROVED: "green", Status.REFUTED: "red", Status.UNDECIDED: "yellow"}
_WORDS = len("undecided")
_SHORT = {"dpo", "kto", "kl"}


def render(statement: Statement, *, steps: bool = True) -> Group:
    """Return one statement for a terminal: formal reading, claims, boundaries, notes.

    Args:
        statement: verified.
        steps: with the derivations; else a claim has its method and witness alone.
    """
    parts: list[RenderableType] = [
        _headline(statement),
        _facts(
            [("source", statement.source), ("formally", statement.formal), ("assumes", _each(statement.assumptions))]
        ),
    ]
    for claim in statement.claims:
        parts += [Text(), _named(claim.status, claim.name), *_claim(claim, steps, own_assumptions(claim, statement))]
    for boundary in statement.boundaries:
        parts += [Text(), Text.assemble(("boundary".ljust(_WORDS), "cyan"), "  ", (boundary.name, "bold"))]
        parts += _boundary(boundary)
    if statement.notes:
        parts += [Text(), Text("notes", style="bold"), *(_indented(Text(f"- {note}")) for note in statement.notes)]
    return Group(*parts, Text(f"{statement.seconds:.2f} s", style="dim"))


def summary(statements: Iterable[Statement]) -> Group:
    """Return each statement with one line per claim and boundary."""
    parts: list[RenderableType] = []
    for statement in statements:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for claim in statement.claims:
            reading = (f" ({claim.reading.rstrip('.')})", "dim") if claim.reading else ""
            table.add_row(
                Text(claim.status.value, style=_STYLES[claim.status]), Text.assemble(claim.statement, reading)
            )
        for boundary in statement.boundaries:
            table.add_row(Text("boundary", style="cyan"), Text(boundary.statement))
        parts += [_headline(statement), _indented(table), Text()]
    return Group(*parts)


def tally(statements: Sequence[Statement]) -> str:
    """Return how many claims came to which status: `2 statements, 4 claims: 3 proved, 1 refuted, 0 undecided`."""
    counts = Counter(claim.status for statement in statements for claim in statement.claims)
    found = ", ".join(f"{counts[status]} {status.value}" for status in Status)
    return f"{_counted(len(statements), 'statement')}, {_counted(counts.total(), 'claim')}: {found}"


def named(statement: Statement) -> str:
    """Return a statement's name as a paper has it: `Theorem 4, KTO` for theorem4_kto."""
    words = [word.upper() if word in _SHORT else word for word in statement.name.split("_")]
    name = " ".join(words[:1]) + "".join(f", {word}" if word.isupper() else f" {word}" for word in words[1:])
    name = re.sub(r"(?<=[a-z])(?=\d)", " ", name)
    return name[0].upper() + name[1:]


def heading(statement: Statement) -> str:
    """Return name and title: `Theorem 4, KTO: contradictory preferences`."""
    name, title = named(statement), statement.title
    return title if title.startswith(name.split(",")[0]) else f"{name}: {title}"


def own_assumptions(claim: Claim, statement: Statement) -> list[str]:
    """Return what a claim assumes beside what its statement does."""
    return [assumption for assumption in claim.assumptions if assumption not in statement.assumptions]


def said(trial: Trial) -> str:
    """Return a trial in one line."""
    relation = "<=" if trial.passed else "exceeds"
    return f"{trial.text}: {trial.count} worlds, largest error {trial.largest_error:.1e} {relation} {trial.tolerance:g}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _headline(statement: Statement) -> Text:
    return Text.assemble((statement.name, "bold"), "  ", statement.title)


def _named(status: Status, name: str) -> Text:
    return Text.assemble((status.value.ljust(_WORDS), f"bold {_STYLES[status]}"), "  ", (name, "bold"))


def _claim(claim: Claim, steps: bool, assumptions: Sequence[str]) -> list[RenderableType]:
    witness = ", ".join(f"{name} = {value}" for name, value in (claim.witness or {}).items())
    facts: list[tuple[str, RenderableType | str]] = [
        ("reading", claim.reading or ""),
        ("assuming", _each(assumptions)),
        ("witness", witness),
        ("steps", _steps(claim.steps) if steps else ""),
        ("trials", _each([said(trial) for trial in claim.trials]) if steps else ""),
        ("method", claim.method),
    ]
    return [_indented(Text(claim.statement)), _facts(facts)]


def _steps(steps: Sequence[Step]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for number, step in enumerate(steps, 1):
        lines = [Text(step.text)]
        if step.formula is not None:
            lines.append(Text(str(step.formula), style="bold"))
        if step.conditions:
            lines.append(Text(f"for {', '.join(step.conditions)}"))
        if step.status is not None:
            lines.append(Text(f"{step.status.value}: {step.method}", style=f"dim {_STYLES[step.status]}"))
        table.add_row(str(number), Text("\n").join(lines))
    return table


def _boundary(boundary: Boundary) -> list[RenderableType]:
    facts: list[tuple[str, RenderableType | str]] = [
        ("formula", boundary.formula or ""),
        ("points", _points(boundary) if boundary.points else ""),
        ("tends to", _each(boundary.asymptotes)),
    ]
    return [_indented(Text(boundary.statement)), _facts(facts)]


def _points(boundary: Boundary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    names = columns(boundary)
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for point in boundary.points:
        table.add_row(*(Text(point.get(name, "")) for name in names))
    return table


def _facts(rows: Sequence[tuple[str, RenderableType | str]]) -> Padding:
    """Return what is known, each with its name; what is empty is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=_WORDS)
    table.add_column(overflow="fold")
    for name, fact in rows:
        if fact != "":
            table.add_row(name, Text(fact) if isinstance(fact, str) else fact)
    return _indented(table)


def _each(texts: Sequence[str]) -> str:
    return "\n".join(texts)


def _indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, 2))
