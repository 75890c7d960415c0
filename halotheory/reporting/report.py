"""Verdicts as text for a terminal."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from halotheory.errors import HaloTheoryError
from halotheory.findings import Construction, Finding, Status, Verdict

if TYPE_CHECKING:
    from halotheory.catalogue import Entry

_STYLES = {Status.PROVED: "green", Status.REFUTED: "red", Status.UNDECIDED: "yellow"}
_COLOURS = {"halo": "green", "not_halo": "red", "undecided": "yellow"}
_WIDEST = 90  # characters of a value function in the table of losses


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
    settings = ", ".join(f"{name} = {value:g}" for name, value in verdict.hyperparameters.items())
    facts = [("as set", settings or "no hyperparameters")]
    facts += [("holds for", verdict.holds_for)] if verdict.verdict != "undecided" else []
    parts: list[RenderableType] = [Text(headline(verdict), style=f"bold {_COLOURS[verdict.verdict]}"), _pairs(facts)]
    if verdict.construction is not None:
        parts += [
            Text("construction: loss = a * v(z) + C with z = r - E_Q[r]", style="bold"),
            _pairs(_parts(verdict, verdict.construction)),
        ]
    parts += [Text("conditions", style="bold"), _conditions(verdict.conditions)]
    if verdict.notes:
        parts += [
            Text("notes", style="bold"),
            *(Padding(Text(f"- {note}"), (0, 0, 0, 2)) for note in verdict.notes),
        ]
    return Group(*parts, Text(f"{verdict.seconds:.2f} s", style="dim"))


def summary(entries: Iterable["Entry"]) -> Table:
    """Return a table with one line per loss."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, style in (("loss", ""), ("kind", "dim"), ("verdict", ""), ("value function v(z)", ""), ("holds for", "")):
        table.add_column(name, style=style, no_wrap=name in {"loss", "kind"}, overflow="fold")
    for entry in entries:
        if entry.verdict is None:
            table.add_row(entry.loss, entry.kind, Text("could not be checked", "yellow"), Text(_short(entry.error)), "")
            continue
        made = entry.verdict.construction
        words = Text(_in_the_table(entry.verdict), style=_COLOURS[entry.verdict.verdict])
        value = _short(made.value_function) if made else "-"
        table.add_row(entry.loss, entry.kind, words, Text(value), Text(entry.verdict.holds_for))
    return table


def _in_the_table(verdict: Verdict) -> str:
    words = {"halo": "HALO", "not_halo": "not a HALO", "undecided": "undecided"}[verdict.verdict]
    if verdict.verdict == "halo" and verdict.strict:
        return f"{words}, strictly"
    return words + (f", with {', '.join(verdict.relaxations)}" if verdict.relaxations else "")


def _short(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


@contextmanager
def counting(total: int) -> Iterator[Callable[[str], None]]:
    """Yield what to call as each loss's turn comes; a bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda name: None
        return
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total} {task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, completed=-1)
        yield lambda name: progress.update(task, advance=1, description=name)


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


def _parts(verdict: Verdict, made: Construction) -> list[tuple[str, str]]:
    return [
        ("implied reward r", made.implied_reward),
        ("normaliser l", made.normalizer),
        ("value function v(z)", made.value_function),
        ("slope v'(z)", _slope(verdict)),
        ("reference point", made.reference_point),
        ("sign a", made.sign),
        ("constant C", made.constant),
    ]


def _slope(verdict: Verdict) -> str:
    """Return what the weight of an example tends to: the paper's Proposition 2, in one line."""
    from halotheory.proving.saturation import saturation
    from halotheory.reporting.implied import implied_value

    try:
        value = implied_value(verdict)
    except HaloTheoryError:
        return "not analysed"
    found = saturation(value.v, value.settings)
    remark = {Status.PROVED: ": gradients saturate on both sides", Status.REFUTED: "", Status.UNDECIDED: ": open"}
    return f"{found}{remark[found.status]}"


def _conditions(findings: Sequence[Finding]) -> Padding:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        status = Text(finding.status.value, style=_STYLES[finding.status])
        table.add_row(status, finding.name, Text("\n").join(_explanation(finding)))
    return Padding(table, (0, 0, 0, 2))


def _explanation(finding: Finding) -> list[Text]:
    """Return the statement, then how it was decided, the witness, what is guilty, and what would mend it."""
    lines = [Text(finding.statement)]
    if finding.witness:
        numbers = ", ".join(f"{name} = {value}" for name, value in finding.witness.items())
        lines += [Text(numbers), Text(finding.method, style="dim")]
    else:
        lines += [Text(finding.method, style="dim")]
    guilty, remedy = (getattr(finding, name, None) for name in ("guilty", "remedy"))
    lines += [Text(f"fails in: {guilty}", style="red")] if guilty else []
    lines += [Text(f"remedy: {remedy}", style="cyan")] if remedy else []
    return lines
