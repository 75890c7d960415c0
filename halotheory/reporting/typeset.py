"""Formulas that are given as text, set as MathML for browsers and as LaTeX for papers."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from html import escape, unescape
from xml.dom.minidom import Element, Node, Text

import sympy
from sympy import Expr, Symbol
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter

from halotheory.errors import HaloTheoryError
from halotheory.formula import FUNCTIONS, read_formula

_NAME = re.compile(r"[A-Za-z_]\w*")
_WORDS = {"True", "False", "pi", "E", *FUNCTIONS}
_SHORT = {"log_ratio": "rho"}
GREEK = {
    **dict(zip(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"], "αβγδεζηθ", strict=True)),
    **dict(zip(["iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma"], "ικλμνξρσ", strict=True)),
    **dict(zip(["tau", "phi", "chi", "psi", "omega"], "τφχψω", strict=True)),
}

_NAMES = {character: name for name, character in GREEK.items()}
_SCRIPTED = re.compile(
    r"\b([A-Za-zα-ω])_(?:\{([^{}]*)\}|(\w+))|(?:\^|\*\*)(?:\(([^()]*)\)|(\w+|\*))"
)  # longer names than a letter are words
_GREEK_WORDS = ("alpha", "beta", "delta", "lambda", "pi", "rho", "sigma", "theta")
_LETTERS = {"pi": "π", **GREEK}
_CHARACTERS = (
    *((rf"\b{name}(?=\b|_(?:\w\w?|ref|star)\b)", _LETTERS[name]) for name in _GREEK_WORDS),  # not that of beta_dpo
    (r"\boo\b", "∞"),
    (r"\+-", "±"),
    (r"->", "→"),
    (r">=", "≥"),
    (r"<=", "≤"),
    (r" - ", " − "),
    (r"(?<![\w)\-.])-(?=[\w(∞])", "−"),
)


def prose(
    text: str,
    plain: Callable[[str], str],
    index: Callable[[str, str], str],
    exponent: Callable[[str], str],
) -> str:
    """Return prose with the characters that a keyboard lacks, and with indices and exponents marked up.

    Args:
        text: as `pi_ref(y_a)^(1/beta) >= 0`.
        plain: marks up what is neither.
        index: marks up a letter and its index.
        exponent: marks up what is raised, without its parentheses.
    """
    for pattern, character in _CHARACTERS:
        text = re.sub(pattern, character, text)
    shown, end = [], 0
    for found in _SCRIPTED.finditer(text):
        head, *parts = found.groups()
        part = next(part for part in parts if part is not None)
        shown += [plain(text[end : found.start()]), index(head, _LETTERS.get(part, part)) if head else exponent(part)]
        end = found.end()
    return "".join([*shown, plain(text[end:])])


def parsed(text: str, hyperparameters: Mapping[str, float] | None = None) -> Expr | None:
    """Return the expression that a text stands for, or None where it is prose."""
    known = hyperparameters or {}
    names = {name: Symbol(name, positive=known[name] > 0 or None) for name in known}
    others = set(_NAME.findall(text)) - _WORDS - {"z"} - set(names)
    try:
        return read_formula(text, {**names, **{name: Symbol(name, real=True) for name in others}})
    except HaloTheoryError:
        return None


def mathml(expression: Expr, *, block: bool = False) -> str:
    """Return an expression as a MathML element, drawn by browsers without a network.

    Args:
        expression: what to set.
        block: with fractions and sums at full size.
    """
    body = _serialised(_MathML().doprint_element(expression))
    display = ' displaystyle="true"' if block else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{display}>{body}</math>'


def latex(expression: Expr) -> str:
    """Return an expression as LaTeX for math mode; amsmath is enough."""
    return _Latex().doprint(expression)


class _MathML(MathMLPresentationPrinter):
    """SymPy's printer, with names of several letters kept whole."""

    def doprint_element(self, expression: Expr) -> Element:
        return self._print(expression)

    def _print_Symbol(self, sym: Symbol, style: str = "plain") -> Element:  # noqa: N802 - SymPy's names
        name = _SHORT.get(str(sym), str(sym))
        element = self.dom.createElement("mi")
        if len(name) > 1 and name not in GREEK:
            element.setAttribute("mathvariant", "normal")
        element.appendChild(self.dom.createTextNode(GREEK.get(name, name.replace("_", " "))))
        return element

    def _print_Piecewise(self, expr: sympy.Piecewise) -> Element:  # noqa: N802
        table = self.dom.createElement("mtable")
        table.setAttribute("columnalign", "left left")
        for value, condition in expr.args:
            row = self.dom.createElement("mtr")
            said = self._worded("otherwise") if condition == sympy.true else self._row(" if ", self._print(condition))
            for part in (self._print(value), said):
                cell = self.dom.createElement("mtd")
                cell.appendChild(part)
                row.appendChild(cell)
            table.appendChild(row)
        return self._row("{", table)

    def _row(self, before: str, element: Element) -> Element:
        row = self.dom.createElement("mrow")
        opening = self.dom.createElement("mo")
        opening.appendChild(self.dom.createTextNode(before))
        row.appendChild(opening if before == "{" else self._worded(before))
        row.appendChild(element)
        return row

    def _worded(self, word: str) -> Element:
        text = self.dom.createElement("mtext")
        text.appendChild(self.dom.createTextNode(word.replace(" ", "\u00a0")))
        return text

    def _print_exp(self, expr: Expr) -> Element:
        power = self.dom.createElement("msup")
        base = self.dom.createElement("mi")
        base.setAttribute("mathvariant", "normal")
        base.appendChild(self.dom.createTextNode("e"))
        power.appendChild(base)
        power.appendChild(self._print(expr.args[0]))
        return power


def _serialised(node: Node) -> str:
    """Return markup in which text is escaped once, whether SymPy wrote a character or its entity."""
    if isinstance(node, Text):
        return escape(unescape(node.data))
    assert isinstance(node, Element)
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in node.attributes.items())
    return f"<{node.tagName}{attributes}>{''.join(map(_serialised, node.childNodes))}</{node.tagName}>"


class _Latex(LatexPrinter):
    """SymPy's printer, with names of several letters upright."""

    def __init__(self) -> None:
        super().__init__({"ln_notation": False, "fold_short_frac": False})

    def _print_Symbol(self, expr: Symbol, style: str = "plain") -> str:  # noqa: N802
        name = _SHORT.get(str(expr), str(expr))
        if name in GREEK:
            return f"\\{name}"
        spelt = "".join(f"\\{_NAMES[c]} " if c in _NAMES else in_ascii(c) for c in name)
        return spelt.strip() if len(name) == 1 else "\\mathrm{" + spelt.replace("_", "\\ ") + "}"


def in_ascii(character: str) -> str:
    """Return a character without its accents, or a question mark for one that LaTeX has no name for."""
    if character.isascii():
        return character
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


def decimal(expression: Expr, digits: int = 10) -> str | None:
    """Return a closed expression in decimals, or None where it names a symbol."""
    if expression.free_symbols:
        return None
    number = str(sympy.N(expression, digits))
    return re.sub(r"(\.\d*?)0+(?=e|$)", r"\1", number).replace(".e", "e").removesuffix(".")
