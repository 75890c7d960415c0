"""Arithmetic on vectors as terms: the same term is one object, and signs are moved to where they cost nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

_COMMUTATIVE = {"add", "mul", "and", "or", "eq", "ne", "max", "min"}
_TURNED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}
_SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"}
_COMPARED = {"lt": "<", "gt": ">", "le": "<=", "ge": ">=", "eq": "==", "ne": "!="}
_CALLS = {
    "abs": "absolute",
    "exp": "exponential",
    "log": "logarithm",
    "log1p": "log1p_of",
    "expm1": "expm1_of",
    "tanh": "tanh_of",
    "atan": "atan_of",
    "erf": "erf_of",
    "sqrt": "root",
    "pow": "power",
    "sign": "sign",
    "max": "largest",
    "min": "smallest",
    "number": "number",
}


@dataclass(frozen=True, eq=False)
class Term:
    """An operation and its operands.

    Attributes:
        number: in the order in which terms were made.
        name: the operation, or "input" with the operand's C++ name.
        operands: terms and numbers.
        is_mask: whether it is a condition.
    """

    number: int
    name: str
    operands: tuple["Term | float | bool | str", ...]
    is_mask: bool


Value = Term | float | bool
"""What may stand in a place of a vector: a number stands for all lanes."""


class Terms:
    """Makes terms.

    Only rules that hold for floats to the last bit are used: -(a - b) is b - a, |-x| is |x|, a b is b a. So what two
    orders of a pair share is computed once.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Term] = {}

    def input(self, name: str) -> Term:
        """Return an operand that the surrounding code provides."""
        return self._term("input", name)

    def make(self, name: str, *operands: Value) -> Value:
        """Return an operation of terms and numbers, simplified."""
        rule = getattr(self, f"_{name}", None)
        result = rule(*operands) if rule is not None else None
        return self._plain(name, *operands) if result is None else result

    def where(self, mask: Value, yes: Value, no: Value) -> Value:
        """Return a choice by a condition."""
        if not isinstance(mask, Term):
            return yes if mask else no
        if _same(yes, no):
            return yes
        return self._term("where", mask, yes, no)

    # Rules: None where there is nothing to simplify

    def _neg(self, x: Value) -> Value | None:
        if not isinstance(x, Term):
            return -x
        if x.name == "neg":
            return _operand(x, 0)
        return None

    def _sub(self, a: Value, b: Value) -> Value | None:
        if _is_negation(b):
            return self.make("add", a, _operand(b, 0))
        if _is_negation(a):
            return self.make("neg", self.make("add", _operand(a, 0), b))
        if not isinstance(b, Term) and b == 0:
            return a
        if not isinstance(a, Term) and a == 0:
            return self.make("neg", b)
        if isinstance(a, Term) and isinstance(b, Term) and a.number > b.number:
            return self.make("neg", self._plain("sub", b, a))
        return None

    def _add(self, a: Value, b: Value) -> Value | None:
        if _is_negation(b):
            return self.make("sub", a, _operand(b, 0))
        if _is_negation(a):
            return self.make("sub", b, _operand(a, 0))
        for one, other in ((a, b), (b, a)):
            if not isinstance(one, Term) and one == 0:
                return other
        return None

    def _mul(self, a: Value, b: Value) -> Value | None:
        for one, other in ((a, b), (b, a)):
            if _is_negation(one):
                return self.make("neg", self.make("mul", _operand(one, 0), other))
            if not isinstance(one, Term) and isinstance(other, Term):
                if one == 1:
                    return other
                if one < 0:
                    return self.make("neg", self.make("mul", -one, other))
        return None

    def _div(self, a: Value, b: Value) -> Value | None:
        if _is_negation(a):
            return self.make("neg", self.make("div", _operand(a, 0), b))
        if _is_negation(b):
            return self.make("neg", self.make("div", a, _operand(b, 0)))
        if not isinstance(b, Term) and b == 1:
            return a
        return None

    def _abs(self, x: Value) -> Value | None:
        return self.make("abs", _operand(x, 0)) if _is_negation(x) else None

    def _lt(self, a: Value, b: Value) -> Value | None:
        return self._turned("lt", a, b)

    def _gt(self, a: Value, b: Value) -> Value | None:
        return self._turned("gt", a, b)

    def _le(self, a: Value, b: Value) -> Value | None:
        return self._turned("le", a, b)

    def _ge(self, a: Value, b: Value) -> Value | None:
        return self._turned("ge", a, b)

    def _turned(self, name: str, a: Value, b: Value) -> Value | None:
        if _is_negation(a) and (not isinstance(b, Term) or _is_negation(b)):
            return self.make(_TURNED[name], _operand(a, 0), self.make("neg", b))
        return None

    def _plain(self, name: str, *operands: Value) -> Value:
        if name in _COMMUTATIVE:
            operands = tuple(sorted(operands, key=_order))
        return self._term(name, *operands)

    def _term(self, name: str, *operands: Value | str) -> Term:
        key = (name, *(id(each) if isinstance(each, Term) else (type(each), each) for each in operands))
        if key not in self._made:
            mask = name in _COMPARED or name in {"and", "or", "not"}
            self._made[key] = Term(len(self._made), name, operands, mask)
        return self._made[key]


def code_of(outputs: Sequence[Value]) -> tuple[list[str], list[str]]:
    """Return C++ statements and, for each output, an expression that they make valid."""
    lines: list[str] = []
    names: dict[int, str] = {}

    def written(operand: Value | str) -> str:
        if not isinstance(operand, Term):
            return f"all({float(operand)!r})"
        if operand.number not in names:
            expression = _expression(operand, [written(each) for each in operand.operands if operand.name != "input"])
            if operand.name == "input":
                return expression
            names[operand.number] = f"t{operand.number}"
            kind = "Mask" if operand.is_mask else "Vector"
            lines.append(f"const {kind} t{operand.number} = {expression};")
        return names[operand.number]

    def signed(output: Value) -> str:
        if isinstance(output, Term) and output.name == "neg":
            return f"-{written(output.operands[0])}"
        return written(output)

    return lines, [signed(each) for each in outputs]


def _expression(term: Term, operands: list[str]) -> str:
    if term.name == "input":
        return str(term.operands[0])
    if term.name == "where":
        return f"choose({', '.join(operands)})"
    if term.name in _SYMBOLS or term.name in _COMPARED:
        return f"{operands[0]} {(_SYMBOLS | _COMPARED)[term.name]} {operands[1]}"
    if term.name in {"neg", "not"}:
        return f"{'-' if term.name == 'neg' else '~'}{operands[0]}"
    argument = term.operands[0]
    if term.name == "exp" and isinstance(argument, Term) and argument.name == "neg":
        inner = argument.operands[0]
        if isinstance(inner, Term) and inner.name == "abs":
            return f"falling_exp({operands[0]})"
    return f"{_CALLS[term.name]}({', '.join(operands)})"


def _operand(term: Value, index: int) -> Value:
    assert isinstance(term, Term)
    operand = term.operands[index]
    assert not isinstance(operand, str)
    return operand


def _is_negation(x: Value) -> bool:
    return isinstance(x, Term) and x.name == "neg"


def _same(a: Value, b: Value) -> bool:
    return a is b or (not isinstance(a, Term) and not isinstance(b, Term) and a == b)


def _order(x: Value | str) -> tuple[int, float]:
    return (1, x.number) if isinstance(x, Term) else (0, float(x))
