"""A formula as text read into SymPy: numbers, names and a fixed list of functions, and no way to run code."""

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import sympy
from sympy import Expr, Piecewise, Rational, Symbol
from sympy.logic.boolalg import Boolean

from halotheory.errors import HaloTheoryError
from halotheory.proving.shape import Z

_LONGEST = 20_000  # characters
_LARGEST_POWER = 1000  # of one number by another
_MOST_DIGITS = 10_000  # of a power of numbers


def _sigmoid(x: Expr) -> Expr:
    return 1 / (1 + sympy.exp(-x))


def _softplus(x: Expr) -> Expr:
    return sympy.log(1 + sympy.exp(x))


def _maximum(*parts: Expr) -> Expr:
    return reduce(lambda one, other: _chosen(one, other, sympy.Ge), parts)


def _minimum(*parts: Expr) -> Expr:
    return reduce(lambda one, other: _chosen(one, other, sympy.Le), parts)


def _chosen(one: Expr, other: Expr, relation: Callable[..., Any]) -> Expr:
    """Return one where it stands in the relation to the other, else the other, piece by piece."""
    if isinstance(one, Piecewise):
        return Piecewise(*[(_chosen(value, other, relation), condition) for value, condition in one.args])
    if isinstance(other, Piecewise):
        return Piecewise(*[(_chosen(one, value, relation), condition) for value, condition in other.args])
    return Piecewise((one, relation(one, other)), (other, True))


FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int | None]] = {
    "exp": (sympy.exp, 1),
    "log": (sympy.log, 1),
    "log1p": (lambda x: sympy.log(1 + x), 1),
    "expm1": (lambda x: sympy.exp(x) - 1, 1),
    "sqrt": (sympy.sqrt, 1),
    "sigmoid": (_sigmoid, 1),
    "logsigmoid": (lambda x: -_softplus(-x), 1),
    "softplus": (_softplus, 1),
    "tanh": (lambda x: 2 * _sigmoid(2 * x) - 1, 1),
    "atan": (sympy.atan, 1),
    "erf": (sympy.erf, 1),
    "relu": (lambda x: _maximum(x, sympy.Integer(0)), 1),
    "abs": (lambda x: _maximum(x, -x), 1),
    "Abs": (lambda x: _maximum(x, -x), 1),
    "sign": (lambda x: Piecewise((-1, x < 0), (0, sympy.Eq(x, 0)), (1, True)), 1),
    "min": (_minimum, None),
    "Min": (_minimum, None),
    "max": (_maximum, None),
    "Max": (_maximum, None),
    "clamp": (lambda x, low, high: _minimum(_maximum(x, low), high), 3),
    "where": (lambda condition, one, other: Piecewise((one, condition), (other, True)), 3),
    "Piecewise": (Piecewise, None),
    "Eq": (sympy.Eq, 2),
    "Ne": (sympy.Ne, 2),
    "And": (sympy.And, None),
    "Or": (sympy.Or, None),
    "Not": (sympy.Not, 1),
}
"""The functions that a formula may use, each with the number of its arguments, None where any will do."""

_WRITTEN = [name for name in FUNCTIONS if name.islower()]  # the others are SymPy's names for the same
_CONSTANTS = {"pi": sympy.pi, "E": sympy.E, "oo": sympy.oo}
_OPERATIONS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.BitAnd: sympy.And,
    ast.BitOr: sympy.Or,
    ast.And: sympy.And,
    ast.Or: sympy.Or,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: sympy.Not,
    ast.Invert: sympy.Not,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: sympy.Eq,
    ast.NotEq: sympy.Ne,
}


def read_formula(text: str, names: Mapping[str, Symbol] | None = None) -> Expr:
    """Return the expression that a text such as `1/(1+exp(-beta*z))` writes down.

    Decimal numbers are exact: 0.1 is 1/10. `z` is `halotheory.proving.shape.Z`; any other name is a positive symbol.

    Args:
        text: Python's arithmetic, comparisons, `FUNCTIONS`, and `Piecewise((value, condition), ...)`.
        names: the symbols of some names, where they are not to be positive.

    Raises:
        HaloTheoryError: anything else, named.
    """
    if not text.strip():
        raise HaloTheoryError("the formula is empty; write v(z), for example 1/(1+exp(-beta*z))")
    if len(text) > _LONGEST:
        raise HaloTheoryError(f"formula of {len(text)} characters: the most is {_LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        value = _Reader(text, {"z": Z, **(names or {})}).read(tree.body)
    except SyntaxError as error:
        raise HaloTheoryError(f"formula '{text}': {error.msg}, at character {error.offset}") from error
    except (ZeroDivisionError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise HaloTheoryError(f"formula '{text}': no expression of numbers; a choice is where(z > 0, a, b)") from error
    if not isinstance(value, Expr) or value.has(sympy.nan, sympy.zoo, sympy.oo, sympy.I):
        shown = "a comparison" if isinstance(value, Boolean) else "infinite or undefined"
        raise HaloTheoryError(f"formula '{text}': its value is no real number, but {shown}")
    return value


class _Reader:
    """Turns a syntax tree into an expression, node by node; what is not listed is refused."""

    def __init__(self, text: str, names: Mapping[str, Symbol]) -> None:
        self._text = text
        self._names = dict(names)

    def read(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            return self._power(self.read(node.left), self.read(node.right))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](self.read(node.left), self.read(node.right))
        if isinstance(node, ast.BoolOp):
            return _OPERATIONS[type(node.op)](*[self.read(value) for value in node.values])
        if isinstance(node, ast.UnaryOp):
            return _OPERATIONS[type(node.op)](self.read(node.operand))
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Tuple):
            return tuple(self.read(part) for part in node.elts)
        raise self._refused(node, "is no arithmetic" + ("; write ** for a power" if "^" in self._text else ""))

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bool):
            return sympy.true if node.value else sympy.false
        if isinstance(node.value, int | float):
            return Rational(repr(node.value))
        raise self._refused(node, "is no number")

    def _name(self, node: ast.Name) -> Any:
        if node.id in _CONSTANTS and node.id not in self._names:
            return _CONSTANTS[node.id]
        if node.id in FUNCTIONS:
            raise self._refused(node, f"is a function; write {node.id}(...)")
        if node.id.startswith("__"):
            raise self._refused(node, "is no name of a hyperparameter")
        return self._names.setdefault(node.id, Symbol(node.id, positive=True))

    def _power(self, base: Any, exponent: Any) -> Any:
        if base.is_number and exponent.is_number:
            digits = len(str(base)) * abs(exponent)
            if abs(exponent) > _LARGEST_POWER or digits > _MOST_DIGITS:
                raise HaloTheoryError(f"formula '{self._text}': the power {exponent} of a number is too large")
        return base**exponent

    def _comparison(self, node: ast.Compare) -> Any:
        sides = [self.read(side) for side in (node.left, *node.comparators)]
        pairs = zip(node.ops, sides[:-1], sides[1:], strict=True)
        if any(type(op) not in _OPERATIONS for op in node.ops):
            raise self._refused(node, "is no comparison of numbers")
        return sympy.And(*[_OPERATIONS[type(op)](one, other) for op, one, other in pairs])

    def _call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name is None or name not in FUNCTIONS:
            shown = ast.unparse(node.func)
            near = difflib.get_close_matches(shown, FUNCTIONS, n=1)
            hint = (f"; did you mean '{near[0]}'?" if near else "") + f"; there are: {', '.join(_WRITTEN)}"
            raise HaloTheoryError(f"formula '{self._text}': unknown function '{shown}'{hint}")
        function, count = FUNCTIONS[name]
        if node.keywords or (count is not None and len(node.args) != count) or not node.args:
            needed = {None: "one or more arguments", 1: "one argument"}.get(count, f"{count} arguments")
            raise self._refused(node, f"needs {needed} without names")
        return function(*[self.read(argument) for argument in node.args])

    def _refused(self, node: ast.AST, why: str) -> HaloTheoryError:
        return HaloTheoryError(f"formula '{self._text}': '{ast.unparse(node)}' {why}")
