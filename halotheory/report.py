"""Verdicts as text for a terminal."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from halotheory.findings import Finding, Status, Verdict

_STYLES = {Status.PROVED: "green", Status.REFUTED: "red", Status.UNDECIDED: "yellow"}


def headline(verdict: Verdict) -> str:
    """Return the verdict in one line."""
    if verdict.verdict == "halo":
        how = "strictly" if verdict.strict else f"with {', '.join(verdict.relaxations)}"
        return f"{verdict.loss} is a human-aware loss, {how}"
    if verdict.verdict == "not_halo" and verdict.relaxations:
        return f"{verdict.loss} is not a human-aware loss strictly, only with {', '.join(verdict.relaxations)}"
    if verdict.verdict == "not_halo":
        return f"{verdict.loss} is not a human-aware loss"
    return f"{verdict.loss}: undecided"


def render(verdict: Verdict) -> Group:
    """Return the whole verdict for a terminal: construction, conditions, notes."""
    style = {"halo": "bold green", "not_halo": "bold red", "undecided": "bold yellow"}[verdict.verdict]
    settings = ", ".join(f"{name} = {value:g}" for name, value in verdict.hyperparameters.items())
    facts = [("as set", settings or "no hyperparameters"), ("holds for", verdict.holds_for)]
    parts: list[RenderableType] = [Text(headline(verdict), style=style), _pairs(facts)]
    if verdict.construction is not None:
        made = verdict.construction
        parts += [
            Text("construction: loss = a * v(z) + C with z = r - E_Q[r]", style="bold"),
            _pairs(
                [
                    ("implied reward r", made.implied_reward),
                    ("normaliser l", made.normalizer),
                    ("value function v(z)", made.value_function),
                    ("reference point", made.reference_point),
                    ("sign a", made.sign),
                    ("constant C", made.constant),
                ]
            ),
        ]
    parts += [Text("conditions", style="bold"), _conditions(verdict.conditions)]
    if verdict.notes:
        parts += [
            Text("notes", style="bold"),
            *(Padding(Text(f"- {note}"), (0, 0, 0, 2)) for note in verdict.notes),
        ]
    return Group(*parts, Text(f"{verdict.seconds:.2f} s", style="dim"))


def summary(verdicts: Iterable[Verdict]) -> Table:
    """Return a table with one line per loss."""
    table = Table("loss", "verdict", "value function v(z)", "holds for", box=None, pad_edge=False)
    for verdict in verdicts:
        words = {"halo": "HALO", "not_halo": "not a HALO", "undecided": "undecided"}[verdict.verdict]
        needs = f" with {', '.join(verdict.relaxations)}" if verdict.relaxations else ""
        value = verdict.construction.value_function if verdict.construction else "-"
        table.add_row(verdict.loss, words + needs, value, verdict.holds_for)
    return table


def show(*renderables: RenderableType) -> None:
    """Print to standard output: in colour on a terminal, in plain lines elsewhere."""
    terminal = Console()
    if terminal.is_terminal:
        terminal.print(*renderables)
        return
    console = Console(width=200, file=io.StringIO())
    console.print(*renderables)
    assert isinstance(console.file, io.StringIO)
    print("\n".join(line.rstrip() for line in console.file.getvalue().splitlines()))


def _pairs(rows: Sequence[tuple[str, str]]) -> Padding:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, Text(text))
    return Padding(table, (0, 0, 0, 2))


def _conditions(findings: Sequence[Finding]) -> Padding:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        lines = [finding.statement, finding.method]
        if finding.witness:
            lines[1:] = [", ".join(f"{name} = {value}" for name, value in finding.witness.items())]
        status = Text(finding.status.value, style=_STYLES[finding.status])
        table.add_row(status, finding.name, Text.assemble(lines[0], "\n", (lines[1], "dim")))
    return Padding(table, (0, 0, 0, 2))
