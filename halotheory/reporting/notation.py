"""Formulas set as they are written, as MathML and LaTeX: a derivation shows its sides before they are simplified."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence

from halotheory.reporting.marks import LaTeX, Marks, MathML
from halotheory.reporting.typeset import GREEK

_LONG = 90  # characters, from which on a paper gets no fractions: it breaks lines within them nowhere
_BARS = re.compile(r"\|(\S|\S[^|]*\S)\|")
_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4
_NAMES = {"oo": "∞", "E": "e", "pi": "π", "lamda": "λ", "sigmoid": "σ", **GREEK}
_RELATIONS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "≤",
    ast.Gt: ">",
    ast.GtE: "≥",
    ast.Eq: "=",
    ast.NotEq: "≠",
}
_SIGNS = {">=": "≥"}


def set_mathml(left: str, sign: str = "", right: str = "") -> str | None:
    """Return a formula as a MathML element, or None where a side is no expression.

    Args:
        left: SymPy-readable text.
        sign: what stands between the sides.
        right: the same.
    """
    body = _sides(left, sign, right, MathML(), flat=False)
    if body is None:
        return None
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" displaystyle="true">{body}</math>'


def set_latex(left: str, sign: str = "", right: str = "") -> str | None:
    """Return a formula as LaTeX for math mode, or None where a side is no expression; see `set_mathml`."""
    return _sides(left, sign, right, LaTeX(), flat=len(left) + len(right) > _LONG)


class _UnreadableError(Exception):
    """A text is no expression."""


def _sides(left: str, sign: str, right: str, marks: Marks, *, flat: bool) -> str | None:
    setter = _Setter(marks, flat)
    try:
        parts = [setter.text(left)]
        if sign:
            parts += [marks.sign(_SIGNS.get(sign, sign)), setter.text(right)]
    except _UnreadableError:
        return None
    return marks.row(parts)


class _Setter:
    """Walks through a syntax tree and marks up what it meets."""

    def __init__(self, marks: Marks, flat: bool) -> None:
        self._marks = marks
        self._flat = flat

    def text(self, text: str) -> str:
        named = re.sub(r"\blambda\b", "lamda", text.strip())
        try:
            node = ast.parse(_BARS.sub(r"Abs(\1)", named), mode="eval").body
            if isinstance(node, ast.Tuple) and node.elts and node.elts[0].col_offset == node.col_offset:
                return self._listed(node.elts)  # not in parentheses
            return self.set(node)
        except (SyntaxError, RecursionError, ValueError) as error:
            raise _UnreadableError(text) from error

    def set(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=bool()):
                return self._marks.said(str(node.value))
            case ast.Constant(value=int() | float()):
                return self._marks.number(str(node.value))
            case ast.Name():
                return self._name(node.id)
            case ast.UnaryOp(op=ast.USub()):
                return self._marks.row([self._marks.sign("−"), self._at(node.operand, _PRODUCT)])
            case ast.BinOp():
                return self._operation(node)
            case ast.Subscript():
                return self._marks.index(self.set(node.value), self._listed(_parts(node.slice)))
            case ast.Compare():
                return self._comparison(node)
            case ast.Tuple() | ast.List():
                left, right = "()" if isinstance(node, ast.Tuple) else "[]"
                return self._marks.fence(left, self._listed(node.elts), right)
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                return self._call(name, node.args)
        raise _UnreadableError(ast.unparse(node))

    def _at(self, node: ast.expr, level: int) -> str:
        inside = self.set(node)
        return inside if self._level(node) >= level else self._marks.fence("(", inside, ")")

    def _level(self, node: ast.expr) -> int:
        match node:
            case ast.BinOp(op=ast.Add() | ast.Sub()) | ast.UnaryOp():
                return _SUM
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return _SUM if _negated(node) else _PRODUCT
            case ast.BinOp(op=ast.Pow()) | ast.Call(func=ast.Name(id="exp")):
                return _POWER
            case ast.Call(func=ast.Name(id="Sum" | "Product" | "Limit" | "Derivative" | "Piecewise")):
                return _PRODUCT
            case ast.Compare() | ast.BinOp():
                return 0
        return _ATOM

    def _operation(self, node: ast.BinOp) -> str:
        marks = self._marks
        match node.op:
            case ast.Add():
                return marks.row([self.set(node.left), marks.sign("+"), self._at(node.right, _SUM)])
            case ast.Sub():
                return marks.row([self.set(node.left), marks.sign("−"), self._at(node.right, _PRODUCT)])
            case ast.Mult() | ast.Div():
                plain = _negated(node)
                return marks.row([marks.sign("−"), self.set(plain)]) if plain else self._product(node)
            case ast.Pow():
                base = self._at(node.left, _ATOM)
                if isinstance(node.left, ast.Call):
                    base = marks.fence("(", self.set(node.left), ")")
                return marks.power(base, self._small(node.right))
            case ast.BitAnd() | ast.BitOr():
                word = " and " if isinstance(node.op, ast.BitAnd) else " or "
                return marks.row([self.set(node.left), marks.said(word), self.set(node.right)])
        raise _UnreadableError(ast.unparse(node))

    def _small(self, node: ast.expr) -> str:
        """Return an exponent, in which a fraction would be too small to read."""
        return _Setter(self._marks, flat=True).set(node)

    def _product(self, node: ast.BinOp) -> str:
        marks = self._marks
        if isinstance(node.op, ast.Div):
            if not self._flat:
                return marks.fraction(self.set(node.left), self.set(node.right))
            return marks.row([self._at(node.left, _PRODUCT), marks.sign("/"), self._at(node.right, _POWER)])
        between = marks.sign("·") if _begins_with_a_digit(node.right) else marks.gap()
        return marks.row([self._at(node.left, _PRODUCT), between, self._at(node.right, _PRODUCT)])

    def _name(self, name: str) -> str:
        """Return y_a as y with the index a, x1 as x with the index 1, desirable_weight as two words."""
        head, _, tail = name.strip("_").partition("_")
        if not tail and (numbered := re.fullmatch(r"([A-Za-z]+?)(\d+)", head)):
            head, tail = numbered.groups()
        known = _NAMES.get(head, head)
        if tail and len(known) == 1:
            return self._marks.index(self._marks.letter(known), self._simple(tail))
        return self._simple(name)

    def _simple(self, name: str) -> str:
        known = _NAMES.get(name, name)
        return self._marks.letter(known) if len(known) == 1 else self._marks.word(known.replace("_", " "))

    def _comparison(self, node: ast.Compare) -> str:
        parts = [self.set(node.left)]
        for relation, side in zip(node.ops, node.comparators, strict=True):
            if type(relation) not in _RELATIONS:
                raise _UnreadableError(ast.unparse(node))
            parts += [self._marks.sign(_RELATIONS[type(relation)]), self.set(side)]
        return self._marks.row(parts)

    def _call(self, name: str, arguments: Sequence[ast.expr]) -> str:
        marks = self._marks
        special: Mapping[str, Callable[..., str]] = {
            "exp": lambda x: marks.power(marks.letter("e"), self._small(x)),
            "sqrt": lambda x: marks.root(self.set(x)),
            "Abs": lambda x: marks.fence("|", self.set(x), "|"),
            "Sum": lambda body, first, *others: self._large("∑", body, (first, *others)),
            "Product": lambda body, first, *others: self._large("∏", body, (first, *others)),
            "Derivative": self._derivative,
            "Limit": self._limit,
            "Piecewise": lambda *pieces: marks.cases([self._case(piece) for piece in pieces]),
            "Eq": lambda one, other: marks.row([self.set(one), marks.sign("="), self.set(other)]),
        }
        if name in special:
            try:
                return special[name](*arguments)
            except TypeError as error:
                raise _UnreadableError(name) from error
        known = _NAMES.get(name, {"Max": "max", "Min": "min"}.get(name, name))
        function = marks.word(known) if known == name or len(known) > 1 else marks.letter(known)
        if len(name) == 1 or "_" in name:
            function = self._name(name)
        return marks.row([function, marks.fence("(", self._listed(arguments), ")")])

    def _large(self, symbol: str, body: ast.expr, ranges: Sequence[ast.expr]) -> str:
        shown = self._at(body, _PRODUCT)
        for bounds in ranges:
            if not (isinstance(bounds, ast.Tuple) and len(bounds.elts) == 3):
                raise _UnreadableError(ast.unparse(bounds))
            variable, first, last = map(self.set, bounds.elts)
            below = self._marks.row([variable, self._marks.sign("="), first])
            shown = self._marks.row([self._marks.large(symbol, below, last), shown])
        return shown

    def _derivative(self, body: ast.expr, variable: ast.expr) -> str:
        partial = self._marks.letter("∂")
        operator = self._marks.fraction(partial, self._marks.row([partial, self.set(variable)]))
        return self._marks.row([operator, self._marks.gap(), self._at(body, _PRODUCT)])

    def _limit(self, body: ast.expr, variable: ast.expr, toward: ast.expr, *_: ast.expr) -> str:
        below = self._marks.row([self.set(variable), self._marks.sign("→"), self.set(toward)])
        return self._marks.row([self._marks.large("lim", below, ""), self._at(body, _PRODUCT)])

    def _case(self, piece: ast.expr) -> tuple[str, str]:
        if not (isinstance(piece, ast.Tuple) and len(piece.elts) == 2):
            raise _UnreadableError(ast.unparse(piece))
        value, condition = piece.elts
        if isinstance(condition, ast.Constant):
            return self.set(value), self._marks.said("otherwise")
        return self.set(value), self._marks.row([self._marks.said("if "), self.set(condition)])

    def _listed(self, parts: Sequence[ast.expr]) -> str:
        shown: list[str] = []
        for part in parts:
            shown += [self._marks.sign(","), self.set(part)] if shown else [self.set(part)]
        return self._marks.row(shown)


def _parts(node: ast.expr) -> Sequence[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _negated(node: ast.expr) -> ast.expr | None:
    """Return the product without the sign that its first factor begins with, or None where there is none."""
    match node:
        case ast.UnaryOp(op=ast.USub()):
            return node.operand
        case ast.BinOp(op=ast.Mult() | ast.Div()) if (left := _negated(node.left)) is not None:
            return ast.BinOp(left=left, op=node.op, right=node.right)
    return None


def _begins_with_a_digit(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(op=ast.Mult() | ast.Pow() | ast.Div()):
            return _begins_with_a_digit(node.left)
        case ast.Constant():
            return True
    return False
