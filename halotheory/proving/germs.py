"""How an expression behaves as its variable grows without bound: its leading term, by rules that prove it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy
from sympy import Expr, Integer, Piecewise, Rational, Symbol
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from halotheory.proving.enclose import sign

_DEEPEST = 40


class OpenError(Exception):
    """The rules do not settle the leading term."""


@dataclass(frozen=True, kw_only=True)
class Leading:
    """f(z) ~ coefficient * exp(rate) * z**power * log(z)**logs as z -> oo: the quotient of the two tends to 1.

    Attributes:
        coefficient: free of z; its sign is known, and it is 0 only where f vanishes from some point on.
        rate: a polynomial in z without constant term.
        power: free of z.
        logs: free of z.
    """

    coefficient: Expr
    rate: Expr = sympy.S.Zero
    power: Expr = sympy.S.Zero
    logs: Expr = sympy.S.Zero


def leading(expression: Expr, z: Symbol, depth: int = 0) -> Leading:
    """Return the leading term of an expression as z -> oo.

    Args:
        expression: of z and symbols free of z, without Piecewise; built of powers, exp, log, atan, tanh and erf.
        z: the variable, real.
        depth: how deep this call lies in others; left to its default.

    Raises:
        OpenError: terms cancel, a sign is not known, or the expression grows like no such term.
    """
    if depth > _DEEPEST:
        raise OpenError("too deep")
    if not expression.has(z):
        return Leading(coefficient=_signed(expression))
    if expression == z:
        return Leading(coefficient=Integer(1), power=Integer(1))
    parts = [leading(part, z, depth + 1) for part in expression.args] if expression.is_Add or expression.is_Mul else []
    if expression.is_Add:
        return _sum(parts, z)
    if expression.is_Mul:
        return _product(parts)
    if isinstance(expression, sympy.exp):
        return _exponential(expression.exp, z, depth)
    if expression.is_Pow:
        return _power(expression, z, depth)
    if isinstance(expression, sympy.log):
        return _logarithm(expression.args[0], z, depth)
    if expression.func in _BOUNDED:
        return _bounded(expression, z, depth)
    raise OpenError(f"no rule for {expression.func}")


def limit(term: Leading, z: Symbol) -> Expr:
    """Return what the term tends to: a number or an expression free of z, oo or -oo.

    Raises:
        OpenError: whether it grows depends on an unknown sign.
    """
    growth = compare(term, Leading(coefficient=Integer(1)), z)
    if term.coefficient == 0 or growth < 0:
        return Integer(0)
    if growth == 0:
        return term.coefficient
    return sympy.oo if term.coefficient.is_positive else -sympy.oo


def compare(one: Leading, other: Leading, z: Symbol) -> int:
    """Return 1 where one grows faster than the other, -1 where slower, 0 where they grow alike.

    Raises:
        OpenError: that depends on an unknown sign.
    """
    difference = sympy.expand(one.rate - other.rate)
    if difference != 0:
        return _sign(sympy.Poly(difference, z).LC())
    for gap in (one.power - other.power, one.logs - other.logs):
        if (found := _sign(sympy.expand(gap))) != 0:
            return found
    return 0


def on_the_tail(function: Expr, z: Symbol) -> Expr:
    """Return the expression without Piecewise that equals the function for all z from some point on.

    Raises:
        OpenError: which piece holds there is not known.
    """
    if isinstance(function, Piecewise):
        for value, condition in function.args:
            if _eventually(condition, z):
                return on_the_tail(value, z)
        raise OpenError("no piece holds")
    if not function.has(Piecewise):
        return function
    return function.func(*[on_the_tail(part, z) for part in function.args])


def gathered(expression: Expr) -> Expr:
    """Return the expression as one reduced fraction in its exponentials, where terms that cancel are gone."""
    split = expression.replace(
        lambda e: isinstance(e, sympy.exp),
        lambda e: sympy.Mul(*[sympy.exp(part) for part in sympy.Add.make_args(sympy.expand(e.exp))]),
    )
    shares: dict[Expr, list[Expr]] = {}
    for exponential in split.atoms(sympy.exp):
        share, monomial = exponential.exp.as_coeff_Mul()
        shares.setdefault(monomial, []).append(share)
    forward: dict[Expr, Expr] = {}
    backward: dict[Expr, Expr] = {}
    for monomial, numbers in shares.items():
        if not all(number.is_Rational for number in numbers):
            return expression
        unit = Rational(1, sympy.ilcm(1, *[number.q for number in numbers]))
        unknown = sympy.Dummy("e", positive=True)
        backward[unknown] = sympy.exp(unit * monomial)
        forward |= {sympy.exp(number * monomial): unknown ** (number / unit) for number in numbers}
    return sympy.cancel(sympy.together(split.xreplace(forward))).xreplace(backward)


def _eventually(condition: Boolean, z: Symbol) -> bool:
    """Return whether a condition holds for all z from some point on; it else fails from some point on."""
    if condition in (sympy.true, sympy.false):
        return condition == sympy.true
    if isinstance(condition, sympy.And | sympy.Or):
        truths = [_eventually(part, z) for part in condition.args]
        return all(truths) if isinstance(condition, sympy.And) else any(truths)
    if isinstance(condition, sympy.Not):
        return not _eventually(condition.args[0], z)
    if not isinstance(condition, Relational):
        raise OpenError(f"the condition {condition}")
    difference = on_the_tail(condition.lhs - condition.rhs, z)
    side = _sign(leading(gathered(difference), z).coefficient)
    return bool(condition.func(Integer(side), 0))


def _signed(constant: Expr) -> Expr:
    _sign(constant)
    return constant


def _sign(constant: Expr) -> int:
    """Return the sign of an expression free of z: by balls where it is a number, else by its symbols' signs."""
    found = sign(constant) if not constant.free_symbols else None
    if found is None:
        known = ((constant.is_positive, 1), (constant.is_negative, -1), (constant.is_zero, 0))
        found = next((side for holds, side in known if holds), None)
    if found is None:
        raise OpenError(f"the sign of {constant}")
    return found


def _sum(parts: Sequence[Leading], z: Symbol) -> Leading:
    largest: list[Leading] = []
    for part in parts:
        if part.coefficient == 0:
            continue
        order = compare(part, largest[0], z) if largest else 1
        largest = [part] if order > 0 else [*largest, part] if order == 0 else largest
    if not largest:
        return Leading(coefficient=Integer(0))
    total = sympy.Add(*[part.coefficient for part in largest])
    if len(largest) > 1 and _sign(sympy.expand(total)) == 0:
        raise OpenError("the largest terms cancel")
    return replace(largest[0], coefficient=total)


def _product(parts: Sequence[Leading]) -> Leading:
    if any(part.coefficient == 0 for part in parts):
        return Leading(coefficient=Integer(0))
    return Leading(
        coefficient=sympy.Mul(*[part.coefficient for part in parts]),
        rate=sympy.expand(sympy.Add(*[part.rate for part in parts])),
        power=sympy.Add(*[part.power for part in parts]),
        logs=sympy.Add(*[part.logs for part in parts]),
    )


def _power(expression: Expr, z: Symbol, depth: int) -> Leading:
    base, exponent = expression.as_base_exp()
    if exponent.has(z):
        return _exponential(exponent * sympy.log(base), z, depth)
    term = leading(base, z, depth + 1)
    if term.coefficient == 0 or not (exponent.is_Integer or term.coefficient.is_positive):
        raise OpenError(f"a power of {base}, which may be 0 or negative")
    return Leading(
        coefficient=term.coefficient**exponent,
        rate=sympy.expand(term.rate * exponent),
        power=term.power * exponent,
        logs=term.logs * exponent,
    )


def _exponential(exponent: Expr, z: Symbol, depth: int) -> Leading:
    """exp(P + u) with P a polynomial and u tending to a number c: exp(c) * exp(P)."""
    grows, rest = [], []
    for part in sympy.Add.make_args(sympy.expand(exponent)):
        (grows if part.has(z) and part.is_polynomial(z) else rest).append(part)
    remainder = sympy.Add(*rest)
    tends = limit(leading(remainder, z, depth + 1), z) if remainder.has(z) else remainder
    if tends in (sympy.oo, -sympy.oo):
        raise OpenError(f"the growth of exp({exponent})")
    return Leading(coefficient=sympy.exp(tends), rate=sympy.Add(*grows))


def _logarithm(argument: Expr, z: Symbol, depth: int) -> Leading:
    term = leading(argument, z, depth + 1)
    if not term.coefficient.is_positive:
        raise OpenError(f"the logarithm of {argument}, which may be negative")
    if term.rate != 0:
        polynomial = sympy.Poly(term.rate, z)
        return Leading(coefficient=_signed(polynomial.LC()), power=Integer(polynomial.degree()))
    if _sign(term.power) != 0:
        return Leading(coefficient=term.power, logs=Integer(1))
    if _sign(term.logs) != 0:
        raise OpenError(f"the logarithm of {argument}")
    if term.coefficient == 1:  # log u ~ u - 1 where u tends to 1
        return leading(gathered(argument - 1), z, depth + 1)
    return Leading(coefficient=_signed(sympy.log(term.coefficient)))


_BOUNDED = {sympy.atan: sympy.pi / 2, sympy.tanh: Integer(1), sympy.erf: Integer(1)}
_SLOPE_AT_0 = {sympy.atan: Integer(1), sympy.tanh: Integer(1), sympy.erf: 2 / sympy.sqrt(sympy.pi)}


def _bounded(expression: Expr, z: Symbol, depth: int) -> Leading:
    """The odd, bounded, increasing functions: at oo their bound, at 0 their slope times the argument."""
    function, argument = expression.func, expression.args[0]
    term = leading(argument, z, depth + 1)
    tends = limit(term, z)
    if tends in (sympy.oo, -sympy.oo):
        return Leading(coefficient=_BOUNDED[function] * (1 if tends == sympy.oo else -1))
    if tends == 0:
        return replace(term, coefficient=term.coefficient * _SLOPE_AT_0[function])
    return Leading(coefficient=_signed(function(tends)))
