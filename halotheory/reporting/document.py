"""Pages and articles: the templates' environment, and prose for browsers and for LaTeX."""

import re
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

import jinja2
from markupsafe import Markup
from sympy import Expr

from halotheory.findings import Status
from halotheory.reporting.drawing import svg, tikz
from halotheory.reporting.typeset import GREEK, in_ascii, latex, mathml, parsed, prose

_CODE_WIDTH = 94  # characters of a line of code in an article
_LONG_FORMULA = 100  # characters of LaTeX, from which on a formula may not fit into a line

Filters = Mapping[str, Callable[..., object]]


def render_page(template: str, filters: Filters | None = None, **values: Any) -> str:
    """Return a page that needs no network, from a template and what it shows.

    Args:
        template: of `halotheory/reporting/templates`.
        filters: beside `math`, `prose`, `sentence` and `svg`.
        values: what the template names.
    """
    environment = _environment(autoescape=True)
    environment.filters |= {
        "math": _html_math,
        "prose": html_prose,
        "sentence": _sentence,
        "svg": lambda panel: Markup(svg(panel)),  # noqa: S704 - escaped by the writer
        **(filters or {}),
    }
    return environment.get_template(template).render(Status=Status, **values)


def render_article(template: str, filters: Filters | None = None, **values: Any) -> str:
    """Return an article that pdflatex sets with amsmath, amsthm and TikZ; see `render_page`.

    In its templates, LaTeX's braces stay what they are: blocks stand in <% %>, values in << >>.
    """
    environment = _environment(
        autoescape=False,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    environment.filters |= {
        "math": _latex_math,
        "text": latex_text,
        "sentence": _sentence,
        "verbatim": _verbatim,
        "tikz": lambda panel: tikz(panel, latex_text),
        **(filters or {}),
    }
    return environment.get_template(template).render(Status=Status, **values)


def html_prose(text: str) -> Markup:
    """Return prose for a page, with the subscripts that mathematics has."""
    shown = prose(
        text,
        escape,
        lambda head, below: f"{head}<sub>{html_prose(below)}</sub>",
        lambda above: f"<sup>{escape(above)}</sup>",
    )
    return Markup(shown)  # noqa: S704 - escaped in the lines above


def latex_text(text: str) -> str:
    """Return plain text for LaTeX's text mode: its special characters quoted, Greek, arrows and subscripts in math."""
    return prose(text, _latex_quoted, _latex_index, lambda above: rf"\textsuperscript{{{_latex_quoted(above)}}}")


def _environment(**options: Any) -> jinja2.Environment:
    return jinja2.Environment(  # noqa: S701 - escaping is on for pages; an article quotes by its own filter
        loader=jinja2.PackageLoader("halotheory.reporting"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )


def _latex_index(head: str, tail: str) -> str:
    below = _LATEX_LETTERS.get(tail, tail) if len(tail) == 1 else rf"{{\text{{{latex_text(tail)}}}}}"
    return f"${_LATEX_LETTERS.get(head, head)}_{below}$"


def _latex_quoted(text: str) -> str:
    return "".join(_LATEX.get(character) or in_ascii(character) for character in text)


def _html_math(expression: Expr | str | None, text: str = "") -> Markup:
    if isinstance(expression, str):
        expression, text = parsed(expression), expression
    if expression is None:
        return html_prose(text)
    return Markup(mathml(expression, block=True))  # noqa: S704 - escaped by the printer


def _latex_math(expression: Expr | str | None, text: str = "") -> str:
    if isinstance(expression, str):
        expression, text = parsed(expression), expression
    if expression is None:
        return latex_text(text)
    formula = latex(expression)
    return rf"\fitted{{${formula}$}}" if len(formula) > _LONG_FORMULA else f"${formula}$"


def _sentence(text: str) -> str:
    """Return a finding's words as a sentence; a symbol at its beginning stays as it is."""
    text = text.strip().rstrip(".")
    first = re.match(r"[a-z]{2,}\b", text)
    return f"{text[0].upper()}{text[1:]}." if first and first[0] not in {"log", "kl", "pi"} else f"{text}."


def _verbatim(code: str) -> str:
    lines = [part for line in "".join(map(in_ascii, code)).split("\n") for part in _broken(line)]
    return "\n".join(lines).replace(r"\end{verbatim}", r"\end {verbatim}")


def _broken(line: str) -> Iterator[str]:
    """Yield a line of code in parts that a page is wide enough for; what goes on is set in by eight."""
    indent = " " * (len(line) - len(line.lstrip()) + 8)
    while len(line) > _CODE_WIDTH:
        at = line.rfind(" ", len(indent) + 1, _CODE_WIDTH)
        at = at + 1 if at > 0 else _CODE_WIDTH
        yield line[:at].rstrip()
        line = indent + line[at:]
    yield line


_LATEX_LETTERS = {character: f"\\{name}" for name, character in GREEK.items()} | {"π": r"\pi"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_\allowbreak{}",
    "%": r"\%",
    "~": r"$\sim$",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "*": r"*\allowbreak{}",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "±": r"$\pm$",
    "−": "$-$",
    **{character: f"${command}$" for character, command in _LATEX_LETTERS.items()},
}
