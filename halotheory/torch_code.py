"""An expression of z written as PyTorch code that a person would write."""

import ast
import re
from collections.abc import Mapping

import sympy
from sympy import Expr, Function, Piecewise, Rational, Symbol, Wild
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from halotheory.errors import HaloTheoryError
from halotheory.proving.shape import Z

_sigmoid, _logsigmoid, _softplus, _tanh = (Function(name) for name in ("sigmoid", "logsigmoid", "softplus", "tanh"))
_log1p, _expm1, _absolute = (Function(name) for name in ("log1p", "expm1", "absolute"))
_maximum, _minimum = Function("maximum"), Function("minimum")
_NAMES = {
    "sigmoid": "torch.sigmoid",
    "logsigmoid": "F.logsigmoid",
    "softplus": "F.softplus",
    "tanh": "torch.tanh",
    "log1p": "torch.log1p",
    "expm1": "torch.expm1",
    "absolute": "torch.abs",
    "exp": "torch.exp",
    "log": "torch.log",
    "atan": "torch.atan",
    "erf": "torch.erf",
}
_PLACES = [Rational(*n) for n in ((1, 1), (-1, 1), (1, 2), (-1, 2), (2, 1), (-2, 1), (10, 1), (-10, 1), (100, 1))]


def torch_code(value: Expr, settings: Mapping[Symbol, Expr]) -> str:
    """Return one PyTorch expression in the tensor `z` and the hyperparameters by name.

    Known forms are called by their names, which PyTorch computes without overflow: sigmoid, logsigmoid, softplus,
    tanh, log1p, expm1. A branch that is defined on its side only is kept away from the other side's z, whose gradient
    would be NaN.

    Args:
        value: of `halotheory.proving.shape.Z` and hyperparameters.
        settings: the hyperparameters' values.

    Raises:
        HaloTheoryError: z does not occur, or a condition does not depend on it.
    """
    if not value.has(Z):
        raise HaloTheoryError(f"the value function {value} does not depend on z")
    for condition in [condition for part in value.atoms(Piecewise) for _, condition in part.args]:
        if condition != sympy.true and not condition.has(Z):
            raise HaloTheoryError(f"the condition {condition} does not depend on z; set the hyperparameter instead")
    code = ast.unparse(ast.parse(_TorchPrinter(settings).doprint(_named(value))))  # spaces around operators
    return re.sub(r"(?<=[\w)]) \*\* (?=[\w(.])", "**", code)


def _named(value: Expr) -> Expr:
    """Return the expression with the functions that PyTorch has in place of their formulas."""
    x, y, a = Wild("x"), Wild("y"), Wild("a", properties=[lambda e: e.is_number and e != 0])
    value = value.replace(_is_choice, _choice)
    rules = [
        (1 / (1 + sympy.exp(x)), _sigmoid(-x)),
        (sympy.exp(x) * _sigmoid(-x), _sigmoid(x)),
        (sympy.log(1 + sympy.exp(x)), _softplus(x)),
        (sympy.log(_sigmoid(x)), _logsigmoid(x)),
    ]
    for pattern, name in rules:
        value = value.replace(pattern, name)
    value = value.replace(
        lambda e: isinstance(e, sympy.log) and 1 in e.args[0].args and e.args[0].is_Add,
        lambda e: _log1p(e.args[0] - 1),
    )
    value = value.replace(lambda e: e.is_Add, lambda e: _as_tanh(e, a, x, y))
    value = value.replace(lambda e: e.is_Add and _has_expm1(e), _as_expm1)
    return value.replace(lambda e: e.is_Mul and e.could_extract_minus_sign(), _as_logsigmoid)


def _as_tanh(total: Expr, a: Wild, x: Wild, y: Wild) -> Expr:
    """a sigmoid(x) - a/2 is (a/2) tanh(x/2)."""
    for part in total.args:
        found = part.match(a * _sigmoid(x))
        constant = total.as_coeff_Add()[0]
        if found and constant == -found[a] / 2:
            return total - part - constant + found[a] / 2 * _tanh(found[x] / 2)
    return total


def _has_expm1(total: Expr) -> bool:
    return total.as_coeff_Add()[0] == -1 and any(isinstance(part, sympy.exp) for part in total.args)


def _as_expm1(total: Expr) -> Expr:
    part = next(part for part in total.args if isinstance(part, sympy.exp))
    return total + 1 - part + _expm1(part.args[0])


def _as_logsigmoid(product: Expr) -> Expr:
    """-softplus(x) is logsigmoid(-x)."""
    part = next((factor for factor in product.args if factor.func == _softplus), None)
    return product if part is None else -product / part * _logsigmoid(-part.args[0])


def _is_choice(expression: Expr) -> bool:
    if not isinstance(expression, Piecewise) or len(expression.args) != 2:
        return False
    (one, condition), (other, _) = expression.args
    return isinstance(condition, sympy.Ge | sympy.Gt | sympy.Le | sympy.Lt) and {condition.lhs, condition.rhs} == {
        one,
        other,
    }


def _choice(piecewise: Expr) -> Expr:
    """max and min, and their kin abs, from `one where one >= other, else other`."""
    (one, condition), (other, _) = piecewise.args
    larger = isinstance(condition, sympy.Ge | sympy.Gt) == (condition.lhs == one)
    if larger and one == -other:
        return _absolute(one)
    return (_maximum if larger else _minimum)(one, other)


class _TorchPrinter(StrPrinter):
    """Prints an expression whose parts with z are tensors and whose other parts are Python numbers."""

    def __init__(self, settings: Mapping[Symbol, Expr]) -> None:
        super().__init__()
        self._values = dict(settings)

    def _print_Function(self, expr: Expr) -> str:  # noqa: N802 - SymPy looks these methods up by name
        name = expr.func.__name__
        if name in {"maximum", "minimum"}:
            return self._bounded(expr, name, "min" if name == "maximum" else "max")
        return f"{_NAMES[name]}({self._tensor(expr.args[0])})"

    _print_log = _print_atan = _print_erf = _print_Function

    def _print_exp(self, expr: Expr) -> str:
        return f"torch.exp({self._tensor(expr.args[0])})"

    def _print_Exp1(self, expr: Expr) -> str:  # noqa: N802
        return repr(float(expr))

    _print_Pi = _print_Exp1  # noqa: N815

    def _print_Pow(self, expr: Expr, rational: bool = False) -> str:  # noqa: N802
        base, exponent = expr.as_base_exp()
        if base == sympy.E:
            return f"torch.exp({self._tensor(exponent)})"
        if exponent == Rational(1, 2) and base.has(Z):
            return f"torch.sqrt({self._print(base)})"
        if exponent.is_Rational and exponent < 0:
            under = self._print_Pow(base**-exponent) if exponent != -1 else self.parenthesize(base, PRECEDENCE["Pow"])
            return f"1/{under}"
        shown = self._print(exponent) if exponent.is_Atom else f"({self._print(exponent)})"
        return f"{self.parenthesize(base, PRECEDENCE['Pow'], strict=False)}**{shown}"

    def _print_Mul(self, expr: Expr) -> str:  # noqa: N802
        number, rest = expr.as_coeff_Mul()
        decimal = self._print(number)
        if number.is_Rational and not number.is_Integer and "/" not in decimal:
            return f"{decimal}*{self.parenthesize(rest, PRECEDENCE['Mul'])}"
        return super()._print_Mul(expr)

    def _print_Rational(self, expr: Rational) -> str:  # noqa: N802
        decimal = repr(float(expr))
        return decimal if Rational(decimal) == expr else f"{expr.p}/{expr.q}"

    def _bounded(self, expr: Expr, function: str, keyword: str) -> str:
        one, other = sorted(expr.args, key=lambda part: not part.has(Z))
        if other.is_zero and function == "maximum":
            return f"F.relu({self._print(one)})"
        if other.has(Z):
            return f"torch.{function}({self._print(one)}, {self._print(other)})"
        return f"torch.clamp({self._print(one)}, {keyword}={self._print(other)})"

    def _print_Piecewise(self, expr: Piecewise) -> str:  # noqa: N802
        *cases, (last, _) = expr.args
        text = self._print(_safe(last, sympy.Not(sympy.Or(*[condition for _, condition in cases])), self._values))
        tensor = last.has(Z)
        for value, condition in reversed(cases):
            shown = self._print(_safe(value, condition, self._values))
            if not (tensor or value.has(Z)):  # two numbers would make float32, whatever z is
                shown = f"torch.zeros_like(z) + {shown}"
            text, tensor = f"torch.where({self._print(condition)}, {shown}, {text})", True
        return text

    def _print_kept(self, expr: Expr) -> str:
        condition, place = expr.args
        return f"torch.where({self._print(condition)}, z, {self._print(place)})"

    def _print_Relational(self, expr: Relational) -> str:  # noqa: N802
        operator = {"==": "==", "!=": "!="}.get(expr.rel_op, expr.rel_op)
        return f"{self._print(expr.lhs)} {operator} {self._print(expr.rhs)}"

    def _print_And(self, expr: Boolean) -> str:  # noqa: N802
        return " & ".join(f"({self._print(part)})" for part in expr.args)

    def _print_Or(self, expr: Boolean) -> str:  # noqa: N802
        return " | ".join(f"({self._print(part)})" for part in expr.args)

    def _print_Not(self, expr: Boolean) -> str:  # noqa: N802
        return f"~({self._print(expr.args[0])})"

    def _tensor(self, expr: Expr) -> str:
        """Return an argument of a torch function, a tensor even where z does not occur."""
        return self._print(expr) if expr.has(Z) else f"torch.zeros_like(z) + {self._print(expr)}"


class kept(Function):  # noqa: N801 - printed by its name
    """z where a condition holds, and a harmless number elsewhere."""


def _safe(value: Expr, condition: Boolean, settings: Mapping[Symbol, Expr]) -> Expr:
    """Return a branch whose powers and logarithms see no z but those for which it is meant."""
    risky = [
        part
        for part in value.atoms(sympy.Pow, sympy.log, _log1p)
        if part.has(Z) and not (part.is_Pow and (part.exp.is_integer or not part.base.has(Z)))
    ]
    if not risky:
        return value
    at = condition.subs(dict(settings))
    place = next((place for place in _PLACES if at.subs(Z, place) == sympy.true), None)
    return value if place is None else value.xreplace({Z: kept(condition, place)})
