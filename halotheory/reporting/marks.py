"""Mathematics marked up: as MathML for browsers, as LaTeX for papers."""

from collections.abc import Sequence
from html import escape
from typing import Protocol

from halotheory.reporting.typeset import GREEK

_LATEX = {
    **{character: f"\\{name} " for name, character in GREEK.items()},
    **{
        "π": r"\pi ",
        "→": r"\to ",
        "∂": r"\partial ",
        "∞": r"\infty ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "−": "-",
        "·": r"\cdot ",
    },
}


class Marks(Protocol):
    """How the parts of a formula are marked up."""

    def number(self, digits: str) -> str:
        """Return digits."""
        ...

    def letter(self, character: str) -> str:
        """Return a variable of one character."""
        ...

    def word(self, name: str) -> str:
        """Return a name of several letters, upright."""
        ...

    def said(self, words: str) -> str:
        """Return words."""
        ...

    def sign(self, character: str) -> str:
        """Return an operator or a relation."""
        ...

    def gap(self) -> str:
        """Return the room between factors."""
        ...

    def row(self, parts: Sequence[str]) -> str:
        """Return parts side by side."""
        ...

    def fence(self, left: str, inside: str, right: str) -> str:
        """Return something in brackets."""
        ...

    def fraction(self, above: str, below: str) -> str:
        """Return a quotient."""
        ...

    def power(self, base: str, exponent: str) -> str:
        """Return something raised."""
        ...

    def index(self, base: str, index: str) -> str:
        """Return something with an index."""
        ...

    def root(self, inside: str) -> str:
        """Return a square root."""
        ...

    def large(self, symbol: str, below: str, above: str) -> str:
        """Return a sum, product or limit sign with its bounds."""
        ...

    def cases(self, rows: Sequence[tuple[str, str]]) -> str:
        """Return values with their conditions."""
        ...


class MathML:
    """Markup that browsers draw without a network."""

    def number(self, digits: str) -> str:
        """Return digits."""
        return f"<mn>{digits}</mn>"

    def letter(self, character: str) -> str:
        """Return a variable of one character."""
        return f"<mi>{escape(character)}</mi>"

    def word(self, name: str) -> str:
        """Return a name of several letters, upright."""
        return f'<mi mathvariant="normal">{escape(name)}</mi>'

    def said(self, words: str) -> str:
        """Return words."""
        return f"<mtext>{escape(words).replace(' ', chr(0xA0))}</mtext>"

    def sign(self, character: str) -> str:
        """Return an operator or a relation."""
        return f"<mo>{escape(character)}</mo>"

    def gap(self) -> str:
        """Return the room between factors."""
        return '<mspace width="0.12em"/>'

    def row(self, parts: Sequence[str]) -> str:
        """Return parts side by side."""
        return f"<mrow>{''.join(parts)}</mrow>"

    def fence(self, left: str, inside: str, right: str) -> str:
        """Return something in brackets."""
        return f'<mrow><mo form="prefix">{left}</mo>{inside}<mo form="postfix">{right}</mo></mrow>'

    def fraction(self, above: str, below: str) -> str:
        """Return a quotient."""
        return f"<mfrac>{above}{below}</mfrac>"

    def power(self, base: str, exponent: str) -> str:
        """Return something raised."""
        return f"<msup>{base}{exponent}</msup>"

    def index(self, base: str, index: str) -> str:
        """Return something with an index."""
        return f"<msub>{base}{index}</msub>"

    def root(self, inside: str) -> str:
        """Return a square root."""
        return f"<msqrt>{inside}</msqrt>"

    def large(self, symbol: str, below: str, above: str) -> str:
        """Return a sum, product or limit sign with its bounds."""
        if not above:
            return f"<munder><mo>{symbol}</mo>{below}</munder>"
        return f'<munderover><mo largeop="true">{symbol}</mo>{below}{above}</munderover>'

    def cases(self, rows: Sequence[tuple[str, str]]) -> str:
        """Return values with their conditions."""
        cells = "".join(f"<mtr><mtd>{value}</mtd><mtd>{when}</mtd></mtr>" for value, when in rows)
        return f'<mrow><mo>{{</mo><mtable columnalign="left left">{cells}</mtable></mrow>'


class LaTeX:
    """Math mode; amsmath is enough."""

    def number(self, digits: str) -> str:
        """Return digits."""
        return digits

    def letter(self, character: str) -> str:
        """Return a variable of one character."""
        return _LATEX.get(character, character)

    def word(self, name: str) -> str:
        """Return a name of several letters, upright."""
        return r"\mathrm{" + name.replace(" ", r"\ ") + "}"

    def said(self, words: str) -> str:
        """Return words."""
        return r"\text{" + words + "}"

    def sign(self, character: str) -> str:
        """Return an operator or a relation."""
        return f" {_LATEX.get(character, character)} "

    def gap(self) -> str:
        """Return the room between factors."""
        return r"\,\allowbreak "

    def row(self, parts: Sequence[str]) -> str:
        """Return parts side by side."""
        return "".join(parts)

    def fence(self, left: str, inside: str, right: str) -> str:
        """Return something in brackets."""
        if r"\frac" in inside or r"\sum" in inside or r"\prod" in inside:
            return rf"\left{left}{inside}\right{right}"
        return f"{left}{inside}{right}"

    def fraction(self, above: str, below: str) -> str:
        """Return a quotient."""
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        """Return something raised."""
        return f"{base}^{{{exponent}}}"

    def index(self, base: str, index: str) -> str:
        """Return something with an index."""
        return f"{base}_{{{index}}}"

    def root(self, inside: str) -> str:
        """Return a square root."""
        return rf"\sqrt{{{inside}}}"

    def large(self, symbol: str, below: str, above: str) -> str:
        """Return a sum, product or limit sign with its bounds."""
        command = {"∑": r"\sum", "∏": r"\prod"}.get(symbol, r"\lim")
        return rf"{command}_{{{below}}}" + (f"^{{{above}}}" if above else "")

    def cases(self, rows: Sequence[tuple[str, str]]) -> str:
        """Return values with their conditions."""
        return r"\begin{cases}" + r" \\ ".join(f"{value} & {when}" for value, when in rows) + r"\end{cases}"
