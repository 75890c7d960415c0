"""From a comparison to a page: what its template shows."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import evalkit
from evalkit.comparing.breakdown import Breakdown, SubsetDifference, break_down
from evalkit.comparing.compare import Compared, Comparison, Score
from evalkit.comparing.output import write_output
from evalkit.comparing.page.items import BUDGET, ItemData, item_data
from evalkit.comparing.page.strips import Axis, axis, strip
from evalkit.comparing.text import adjusted_name, methods
from evalkit.statistics import Interval
from evalkit.tables import difference_cells, p_cell, percent, score_cells


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table with a strip: its cells, and whether it is better, worse or neither."""

    cells: Sequence[str]
    strip: Any
    kind: str = "plain"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose last column is a strip on one axis."""

    title: str
    header: Sequence[str]
    rows: Sequence[Row]
    axis: Axis


def write_page(path: Path, comparison: Comparison, *, budget: int = BUDGET) -> ItemData:
    """Write a comparison as one page, whole or not at all, and return what of its items the page holds."""
    items = item_data(comparison, budget=budget)
    write_output(path, render(comparison, items))
    return items


def render(comparison: Comparison, items: ItemData) -> str:
    """Return the page: no script, style, font or image of anywhere else, and no network.

    Texts of models are shown as text. The page's own policy (a Content-Security-Policy by hashes) forbids every
    script and style but its own, and every request.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("evalkit.comparing.page"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_resource(name) for name in ("page.css", "page.js"))
    breakdown = break_down(comparison)
    return environment.get_template("page.html.j2").render(
        policy=(
            f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; "
            "form-action 'none'"
        ),
        style=_own(style),
        script=_own(script),
        title=title(comparison),
        findings=findings(comparison),
        scores=[_scores(comparison, benchmark) for benchmark in comparison.benchmarks],
        matrices=matrices(comparison),
        differences=_differences(comparison),
        overall=[_overall(one) for one in comparison.overall],
        subsets=list(_subset_tables(comparison, breakdown)),
        methods=methods(comparison) if comparison.compared else [],
        caveats=comparison.caveats,
        runs=[
            (name, run.kind, str(run.path), run.settings.get("model") or "") for name, run in comparison.runs.items()
        ],
        items=items,
        items_note=items_note(items),
        version=evalkit.__version__,
    )


def _resource(name: str) -> str:
    return files("evalkit.comparing.page").joinpath("templates", name).read_text(encoding="utf-8")


def _own(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 (a file of this package)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def title(comparison: Comparison) -> str:
    """Return the page's heading: who is compared with whom."""
    names = list(comparison.runs)
    if len(names) == 1:
        return f"{names[0]}: {', '.join(comparison.benchmarks)}"
    if comparison.baseline is None and len(names) > 2:
        return " · ".join(names)
    baseline = comparison.baseline or names[0]
    return f"{', '.join(name for name in names if name != baseline)} against {baseline}"


def findings(comparison: Comparison) -> list[tuple[str, str]]:
    """Return (kind, sentence) per comparison: better, worse, or no difference shown and what would be missed."""
    return [(_kind(one), _finding(one)) for one in comparison.compared]


def _kind(one: Compared) -> str:
    if not one.significant:
        return "plain"
    return "better" if one.gain > 0 else "worse"


def _finding(one: Compared) -> str:
    difference, interval, _ = difference_cells(asdict(one.paired))
    numbers = f"{difference}, interval {interval}, adjusted p {p_cell(one.p_adjusted)}"
    if one.significant:
        word = "better" if one.gain > 0 else "worse"
        return f"{one.benchmark}: {one.run} is {word} than {one.baseline} ({numbers})."
    missed = (
        "" if one.detectable is None else f" A true difference below {one.detectable:.4f} would probably be missed."
    )
    return f"{one.benchmark}: no difference is shown between {one.run} and {one.baseline} ({numbers}).{missed}"


def _scores(comparison: Comparison, benchmark: str) -> Table:
    found = [one for one in comparison.scores if one.benchmark == benchmark]
    on = axis(_ends((one.estimate.score, one.estimate.interval) for one in found), zero=False)
    level = percent(comparison.procedure.level)
    return Table(
        title=benchmark,
        header=("run", "score", f"{level} interval", "items", "failed"),
        rows=[_score_row(one, on) for one in found],
        axis=on,
    )


def _score_row(one: Score, on: Axis) -> Row:
    cells = (one.run, *score_cells(asdict(one.estimate)), str(one.failed))
    return Row(cells=cells, strip=strip(on, one.estimate.score, one.estimate.interval))


def _ends(numbers: Iterable[tuple[float, Interval | None]]) -> list[float]:
    return [end for value, interval in numbers for end in (value, *(interval or ()))]


def matrices(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the matrices of differences: benchmarks by runs with a baseline, else runs by runs per benchmark.

    A cell is (kind, difference, adjusted p), row less column; None on the diagonal or where there is no comparison.
    """
    cells = {(one.benchmark, one.run, one.baseline): _cell(one, 1) for one in comparison.compared}
    cells |= {(one.benchmark, one.baseline, one.run): _cell(one, -1) for one in comparison.compared}
    names = list(comparison.runs)
    if comparison.baseline is not None:
        others = [name for name in names if name != comparison.baseline]
        rows = [
            (name, [cells.get((benchmark, name, comparison.baseline)) for benchmark in comparison.benchmarks])
            for name in others
        ]
        head = f"less {comparison.baseline}"
        return [{"title": "", "head": head, "columns": comparison.benchmarks, "rows": rows}] if others else []
    return [
        {
            "title": benchmark,
            "head": "row less column",
            "columns": names,
            "rows": [(row, [cells.get((benchmark, row, column)) for column in names]) for row in names],
        }
        for benchmark in comparison.benchmarks
    ]


def _cell(one: Compared, sign: int) -> tuple[str, str, str]:
    kind = _kind(one)
    if sign < 0:
        kind = {"better": "worse", "worse": "better"}.get(kind, kind)
    star = " *" if one.significant else ""
    return kind, f"{sign * one.paired.difference:+z.4f}{star}", f"p {p_cell(one.p_adjusted)}"


def _differences(comparison: Comparison) -> Table | None:
    if not comparison.compared:
        return None
    on = axis(_ends((one.paired.difference, one.paired.interval) for one in comparison.compared), zero=True)
    adjusted = adjusted_name(comparison.procedure)
    level = percent(comparison.procedure.level)
    header = ("benchmark", "run", "less", "difference", f"{level} interval", "won : lost", "p", adjusted, "detectable")
    if adjusted == "p":
        header = (*header[:6], "p", "detectable")
    return Table(
        title="", header=header, rows=[_difference_row(one, on, len(header)) for one in comparison.compared], axis=on
    )


def _difference_row(one: Compared, on: Axis, columns: int) -> Row:
    difference, interval, counts = difference_cells(asdict(one.paired))
    p_values = (p_cell(one.paired.p_value), p_cell(one.p_adjusted) + (" *" if one.significant else ""))
    detectable = "none" if one.detectable is None else f"{one.detectable:.4f}"
    shown = p_values if columns == 9 else p_values[1:]
    return Row(
        cells=(one.benchmark, one.run, one.baseline, difference, interval, counts, *shown, detectable),
        strip=strip(on, one.paired.difference, one.paired.interval, kind=_kind(one)),
        kind=_kind(one),
    )


def _overall(one: Any) -> str:
    p = p_cell(one.test.p_value)
    shown = f"p {p}" if p.startswith("<") else f"p = {p}"
    return (
        f"{one.benchmark}: are all runs alike? {one.test.test}: Q = {one.test.statistic:.4g}, {shown} over {one.n} "
        "items. This test stands beside the family of comparisons, not in it."
    )


def _subset_tables(comparison: Comparison, breakdown: Breakdown) -> Iterable[Table]:
    """Yield a table per benchmark and pair, or per benchmark where there is a single run."""
    scores = {(one.benchmark, one.run, one.subset): one.estimate for one in breakdown.scores}
    for one in comparison.compared:
        found = [
            part
            for part in breakdown.differences
            if (part.benchmark, part.run, part.baseline) == (one.benchmark, one.run, one.baseline)
        ]
        if found:
            yield _subset_differences(one, found, scores)
    if not comparison.compared:
        for benchmark in comparison.benchmarks:
            found = [part for part in breakdown.scores if part.benchmark == benchmark]
            if found:
                on = axis(_ends((part.estimate.score, part.estimate.interval) for part in found), zero=False)
                rows = [
                    Row(
                        cells=(part.subset, *score_cells(asdict(part.estimate))),
                        strip=strip(on, part.estimate.score, part.estimate.interval),
                    )
                    for part in found
                ]
                yield Table(title=benchmark, header=("subset", "score", "interval", "items"), rows=rows, axis=on)


def _subset_differences(one: Compared, found: Sequence[SubsetDifference], scores: Any) -> Table:
    on = axis(_ends((part.paired.difference, part.paired.interval) for part in found), zero=True)
    rows = []
    for part in sorted(found, key=lambda part: -part.paired.difference):
        difference, interval, counts = difference_cells(asdict(part.paired))
        means = [f"{scores[one.benchmark, name, part.subset].score:.4f}" for name in (one.run, one.baseline)]
        kind = "plain"
        if part.p_adjusted < 1 - one.paired.level:
            kind = "better" if (part.paired.difference > 0) is one.matched.higher_is_better else "worse"
        cells = (part.subset, str(part.paired.n), *means, difference, interval, counts, p_cell(part.p_adjusted))
        picture = strip(on, part.paired.difference, part.paired.interval, kind=kind)
        rows.append(Row(cells=cells, strip=picture, kind=kind))
    return Table(
        title=f"{one.benchmark}: {one.run} less {one.baseline}",
        header=("subset", "items", one.run, one.baseline, "difference", "interval", "won : lost", "p (Holm)"),
        rows=rows,
        axis=on,
    )


def items_note(items: ItemData) -> str:
    """Return what the list of items leaves out, in a sentence; "" where it is nothing."""
    said = []
    if items.left_out:
        said.append(
            f"{items.left_out} more differing items do not fit into the page (evalkit compare --items has them)"
        )
    if items.text_limit == 0:
        said.append("prompts and answers are left out, because they do not fit")
    elif items.cut:
        said.append(f"{items.cut} texts of more than {items.text_limit} characters are cut in their middle")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else ""
