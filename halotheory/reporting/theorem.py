"""Verified statements written out for a referee: a page for browsers, an article for LaTeX."""

import re
from collections.abc import Callable, Sequence

from markupsafe import Markup

from halotheory import __version__
from halotheory.reporting.boundaries import columns, number, panel
from halotheory.reporting.derivation import heading, named, own_assumptions, said, tally
from halotheory.reporting.document import Filters, html_prose, latex_text, render_article, render_page
from halotheory.reporting.notation import set_latex, set_mathml
from halotheory.reporting.typeset import GREEK
from halotheory.theorems.claims import Boundary, Formula, Statement

_RELATION = re.compile(r" (<=|>=|=|<|>) ")
_WORDS = re.compile(r"(?!pi_)[A-Za-z]{3,}(?:_\w+)?(?:/\d+)?")
_WIDEST = 90  # characters of a row that fits on a line of the article

Setter = Callable[[str, str, str], str | None]


def html(statements: Sequence[Statement]) -> str:
    """Return statements as one page that needs no network: MathML, inline SVG, light and dark, fit for print."""
    filters: Filters = {"formula": _html_formula, "value": _html_value, **_COMMON}
    return render_page("theorem.html.j2", filters, **_shown(statements))


def latex_article(statements: Sequence[Statement]) -> str:
    """Return statements as an article that pdflatex sets with amsmath, amsthm, longtable and TikZ."""
    filters: Filters = {"formula": _latex_formula, "value": _latex_value, "cell": _latex_cell, **_COMMON}
    return render_article("theorem.tex.j2", filters, **_shown(statements))


def _shown(statements: Sequence[Statement]) -> dict[str, object]:
    one = len(statements) == 1
    return {
        "statements": statements,
        "title": f"{named(statements[0])}: {statements[0].title}"
        if one
        else "What the KTO paper proves, and under which assumptions",
        "tally": tally(statements),
        "version": __version__,
    }


def _html_formula(formula: Formula) -> Markup:
    shown = set_mathml(formula.left, formula.sign, formula.right)
    return html_prose(str(formula)) if shown is None else Markup(shown)  # noqa: S704 - escaped by the writer


def _html_value(text: str) -> Markup:
    shown = _set(text, set_mathml)
    return html_prose(text) if shown is None else Markup(shown)  # noqa: S704 - escaped by the writer


def _latex_formula(formula: Formula) -> str:
    shown = set_latex(formula.left, formula.sign, formula.right)
    return latex_text(str(formula)) if shown is None else f"${shown}$"


def _latex_value(text: str) -> str:
    shown = _set(text, set_latex)
    return latex_text(text) if shown is None else f"${shown}$"


def _latex_cell(text: str) -> str:
    """Return an entry of a table; no line breaks within a number."""
    return rf"\mbox{{{latex_text(text)}}}" if number(text) is not None else latex_text(text)


def _set(text: str, setter: Setter) -> str | None:
    """Return a text set as a formula, or None where it is prose."""
    if _WORDS.fullmatch(text) and text.partition("_")[0] not in GREEK:
        return None
    sides = _RELATION.split(text, maxsplit=1)
    return setter(*sides) if len(sides) == 3 else setter(text, "", "")


def _specification(boundary: Boundary) -> str:
    """Return LaTeX's columns for the points: as wide as they are, or sharing the line where it is too short."""
    rows = [{name: name for name in columns(boundary)}, *boundary.points]
    widths = [max(len(row.get(name, "")) for row in rows) for name in columns(boundary)]
    if sum(widths) + 2 * len(widths) <= _WIDEST:
        return "l" * len(widths)
    roots = [width**0.5 for width in widths]
    room = rf"\dimexpr\linewidth-{2 * len(widths)}\tabcolsep\relax"
    shares = (rf">{{\raggedright\arraybackslash}}p{{{root / sum(roots):.3f}{room}}}" for root in roots)
    return "".join(shares)


_COMMON: Filters = {
    "named": named,
    "heading": heading,
    "assumptions": own_assumptions,
    "said": said,
    "columns": columns,
    "panel": panel,
    "specification": _specification,
}
