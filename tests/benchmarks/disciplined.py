"""What disciplined convex programming, cvxpy's rules of composition, says of a value function."""

import importlib
from typing import Any

import sympy
from sympy import Expr, Piecewise, Symbol
from traps import Z

cvxpy: Any = importlib.import_module("cvxpy")  # untyped, and installed for the benchmarks only


class NotWrittenError(Exception):
    """The function has no form in cvxpy's atoms that this file knows of."""


def answers(v: Expr) -> tuple[str, str]:
    """Return whether the rules show v non-decreasing on the line and concave for z > 0: "yes" or "open".

    The rules never show the contrary: a function that they call convex may also be affine.
    """
    return _non_decreasing(v), _concave_in_gains(v)


def _non_decreasing(v: Expr) -> str:
    try:
        rises, _ = _directions(_Writer(Z, cvxpy.Variable()).write(v))
    except NotWrittenError:
        return "no form"
    return "yes" if rises else "open"


def _concave_in_gains(v: Expr) -> str:
    gain = Symbol("z", positive=True)
    try:
        written = _Writer(gain, cvxpy.Variable(pos=True)).write(v.subs(Z, gain))
    except NotWrittenError:
        return "no form"
    return "yes" if written.is_concave() else "open"


def _directions(written: Any) -> tuple[bool, bool]:
    """Return whether the rules show an expression of one variable non-decreasing, and non-increasing."""
    if written.is_constant():
        return True, True
    if isinstance(written, cvxpy.Variable):
        return True, False
    rises = falls = True
    for i, part in enumerate(written.args):
        if part.is_constant():
            continue
        part_rises, part_falls = _directions(part)
        rises &= (part_rises and written.is_incr(i)) or (part_falls and written.is_decr(i))
        falls &= (part_falls and written.is_incr(i)) or (part_rises and written.is_decr(i))
    return rises, falls


class _Writer:
    """Writes expressions of one symbol in cvxpy's atoms, in the form that its rules know most about.

    An atom is used only where the symbol's assumptions put its argument into the atom's domain.
    """

    def __init__(self, z: Symbol, variable: Any) -> None:
        self._z = z
        self._variable = variable

    def write(self, v: Expr) -> Any:
        if not v.has(self._z):
            return cvxpy.Constant(float(v))
        if v == self._z:
            return self._variable
        writers = {
            sympy.Add: self._sum,
            sympy.Mul: self._product,
            sympy.Pow: self._power,
            sympy.exp: lambda v: cvxpy.exp(self.write(v.args[0])),
            sympy.log: self._logarithm,
            sympy.tanh: lambda v: self.write(2 / (1 + sympy.exp(-2 * v.args[0])) - 1),
            sympy.Abs: lambda v: cvxpy.abs(self.write(v.args[0])),
            sympy.Max: lambda v: cvxpy.maximum(*map(self.write, v.args)),
            sympy.Min: lambda v: cvxpy.minimum(*map(self.write, v.args)),
            Piecewise: self._pieces,
        }
        if v.func not in writers:
            raise NotWrittenError(v.func)
        return writers[v.func](v)

    def _sum(self, v: Expr) -> Any:
        return sum(map(self.write, v.args[1:]), self.write(v.args[0]))

    def _product(self, v: Expr) -> Any:
        number, rest = v.as_independent(self._z)
        if number != 1:
            return float(number) * self.write(rest)
        numerator, denominator = sympy.fraction(rest)
        if numerator.has(sympy.exp) and denominator != 1:  # exp(z)/(1 + exp(z)) is 1/(1 + exp(-z))
            return self.write(1 / sympy.expand(denominator / numerator))
        entropies = [x for x in v.args if v == x * sympy.log(x) and x.is_positive]
        if not entropies:
            raise NotWrittenError(v)
        return -cvxpy.entr(self.write(entropies[0]))

    def _power(self, v: Expr) -> Any:
        base, exponent = v.as_base_exp()
        if not exponent.is_number:
            raise NotWrittenError(v)
        even = exponent.is_integer and exponent.is_even and exponent > 0
        if not (even or base.is_positive or (exponent > 0 and base.is_nonnegative)):
            raise NotWrittenError(v)
        return cvxpy.power(self.write(base), float(exponent))

    def _logarithm(self, v: Expr) -> Any:
        """Return log of a sum of exponentials as such, which is convex, and any other logarithm as log."""
        terms = [term.as_independent(self._z) for term in sympy.Add.make_args(v.args[0])]
        if all(number.is_positive and (rest == 1 or isinstance(rest, sympy.exp)) for number, rest in terms):
            exponents = [sympy.log(number) + (0 if rest == 1 else rest.args[0]) for number, rest in terms]
            if len(exponents) == 2 and exponents[0] == 0:
                return cvxpy.logistic(self.write(exponents[1]))
            return cvxpy.log_sum_exp(cvxpy.hstack([self.write(exponent) for exponent in exponents]))
        if not v.args[0].is_positive:
            raise NotWrittenError(v)
        return cvxpy.log(self.write(v.args[0]))

    def _pieces(self, v: Expr) -> Any:
        """Return f for z < c and g from there on as min, max, or f(min(z, c)) + g(max(z, c)) - f(c), if continuous."""
        if len(v.args) != 2 or not _is_one_bound(v.args[0].cond, self._z):
            raise NotWrittenError(v)
        (first, bound), (second, _) = v.args
        edge = bound.lts if bound.lts.is_number else bound.gts
        below, above = (first, second) if bound.lts == self._z else (second, first)
        if sympy.simplify((below - above).subs(self._z, edge)) != 0:
            raise NotWrittenError("a jump")
        lead = sympy.diff(below - above, self._z)
        if lead.is_number:
            return (cvxpy.minimum if lead >= 0 else cvxpy.maximum)(self.write(below), self.write(above))
        low = _Writer(_side(edge, below=True), cvxpy.minimum(self._variable, float(edge)))
        high = _Writer(_side(edge, below=False), cvxpy.maximum(self._variable, float(edge)))
        parts = [(low, below), (high, above)]
        written = [writer.write(part.subs(self._z, writer._z)) for writer, part in parts]
        return written[0] + written[1] - float(below.subs(self._z, edge))


def _is_one_bound(condition: Any, z: Symbol) -> bool:
    relations = sympy.StrictLessThan | sympy.LessThan | sympy.StrictGreaterThan | sympy.GreaterThan
    return isinstance(condition, relations) and z in condition.args and bool(condition.free_symbols == {z})


def _side(edge: Expr, *, below: bool) -> Symbol:
    """Return a symbol for z on one side of an edge, with the sign that it has there."""
    if below:
        return Symbol("z", nonpositive=True) if edge <= 0 else Symbol("z", real=True)
    return Symbol("z", nonnegative=True) if edge >= 0 else Symbol("z", real=True)
