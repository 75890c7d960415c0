"""Exact numbers, conditions and detached values: what traced expressions are built with."""

from fractions import Fraction

import numpy as np
import sympy
from sympy import Expr, Piecewise, Rational
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom, BooleanFunction

_TRUTHS = (BooleanAtom, BooleanFunction, Relational)  # (a Symbol is a Boolean, too)
_TYPED_DIGITS = 15  # a decimal with more digits is a result of arithmetic, not something that a person wrote
_LARGEST_DENOMINATOR, _ROUNDING = 10**6, Fraction(4, 10**16)


class detach(sympy.Function):  # noqa: N801 - printed in proofs under PyTorch's own name
    """The value of an expression through which no gradient flows."""

    @classmethod
    def eval(cls, value: Expr) -> Expr | None:
        """Return the argument where there is nothing to detach."""
        return value if isinstance(value, (*_TRUTHS, detach)) or value.is_number else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return 0: what is detached is a constant for the parameters."""
        return sympy.S.Zero

    def _eval_is_real(self) -> bool | None:
        return self.args[0].is_real


def exact(value: object) -> Expr:
    """Return a Python number as an exact expression: 0.1 is 1/10, and so is 0.3 - 0.2; 1 / 3 is a third.

    A float with more digits than people type is the result of arithmetic: it stands for the fraction of a
    denominator up to 10**6 from which it differs by rounding, where there is one, and else for its own decimal.
    """
    if not isinstance(value, float):
        return sympy.sympify(value)
    if not np.isfinite(value):
        return sympy.nan if np.isnan(value) else sympy.oo if value > 0 else -sympy.oo
    decimal = Rational(repr(value))
    if len(repr(value).split("e")[0].replace(".", "").strip("-0")) <= _TYPED_DIGITS:
        return decimal
    near = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    if abs(near - Fraction(value)) <= _ROUNDING * abs(Fraction(value)):
        return Rational(near.numerator, near.denominator)
    return decimal


def piecewise(condition: Expr, then: Expr, otherwise: Expr) -> Expr:
    """Return `then` where the condition holds, and `otherwise` elsewhere."""
    if condition in (True, sympy.true) or then == otherwise:
        return then
    if condition in (False, sympy.false):
        return otherwise
    return Piecewise((then, lifted(condition)), (otherwise, True))


def cases(*pairs: tuple[Expr, Expr]) -> Expr:
    """Return the expression of the first pair (expression, condition) whose condition holds."""
    return Piecewise(*((expression, lifted(condition)) for expression, condition in pairs))


def lifted(condition: Expr) -> Expr:
    """Return the same condition with no Piecewise inside: |z| > 1 becomes (z >= 0 and z > 1) or (z < 0 and -z > 1).

    SymPy would do it too, into conditions that are Piecewise themselves, which it then refuses.
    """
    if not condition.has(Piecewise):
        return condition
    return condition.xreplace(
        {part: _without_piecewise(part) for part in condition.atoms(Relational) if part.has(Piecewise)}
    )


def _without_piecewise(relation: Relational) -> Boolean:
    inner = min(relation.atoms(Piecewise), key=str, default=None)  # (alike for each token or example)
    if inner is None:
        return relation
    found, earlier = [], sympy.true
    for expression, condition in inner.args:
        sides = [side.xreplace({inner: expression}) for side in relation.args]
        nested = any(side.has(Piecewise) for side in sides)
        case = _without_piecewise(relation.func(*sides, evaluate=False)) if nested else relation.func(*sides)
        found.append(sympy.And(earlier, condition, case))
        earlier = sympy.And(earlier, sympy.Not(condition))
    return sympy.Or(*found)


def expanded(term: Expr) -> Expr:
    """Return the term with every polynomial inside multiplied out, so that equal and opposite parts cancel."""
    return sympy.expand(term, power_exp=False, power_base=False, log=False)


def number(value: Expr) -> Expr:
    """Return 1 or 0 for a truth value, and a number unchanged."""
    if isinstance(value, _TRUTHS):
        return piecewise(value, sympy.S.One, sympy.S.Zero)
    return value
