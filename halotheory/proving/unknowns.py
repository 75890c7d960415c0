"""Expressions as quotients of polynomials in unknowns: the symbols, and each exponential, logarithm, root and so on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd, lcm
from typing import Any, Literal

import sympy
from flint import Ordering, fmpq, fmpq_mpoly_ctx
from sympy import Expr, Pow, Rational

_MOST_UNKNOWNS = 48
_LARGEST_POWER = 100
_LARGEST_EXPANSION = 1000
_LARGEST_FACTORED = 10**12
_CONTEXT = fmpq_mpoly_ctx.get([f"u{i}" for i in range(_MOST_UNKNOWNS)], Ordering.lex)
_GENERATORS = _CONTEXT.gens()

Kind = Literal["symbol", "exp", "power", "root", "log", "atan", "erf", "constant"]
Polynomial = Any  # flint's fmpq_mpoly, which has no type hints


class OutsideError(Exception):
    """The expression holds something else than rational operations and the functions of `Kind`."""


@dataclass(frozen=True)
class Quotient:
    """A quotient of polynomials without common factor."""

    top: Polynomial
    bottom: Polynomial

    def plus(self, other: "Quotient") -> "Quotient":
        """Return the sum."""
        if self.bottom == other.bottom:
            return reduced(self.top + other.top, self.bottom)
        return reduced(self.top * other.bottom + other.top * self.bottom, self.bottom * other.bottom)

    def times(self, other: "Quotient") -> "Quotient":
        """Return the product."""
        return reduced(self.top * other.top, self.bottom * other.bottom)

    def power(self, exponent: int) -> "Quotient":
        """Return a whole power; a negative one of zero is not asked for.

        Raises:
            OutsideError: the power has too many terms.
        """
        if abs(exponent) * max(len(self.top), len(self.bottom)) > _LARGEST_EXPANSION:
            raise OutsideError(f"a power of {exponent}")
        if exponent >= 0:
            return Quotient(self.top**exponent, self.bottom**exponent)
        return reduced(self.bottom**-exponent, self.top**-exponent)


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """What an unknown stands for.

    Attributes:
        kind: `power` is a base to a power that is no number, `constant` a closed irrational number, `log` the
            logarithm of the absolute value of `inner`.
        meaning: as an expression, where it has one.
        inner: what the function is applied to: the exponent of an exponential, the base of a root, the argument.
        degree: of a root.
        positive: whether it is known to be > 0.
    """

    kind: Kind
    meaning: Expr | None = None
    inner: Quotient | None = None
    degree: int = 1
    positive: bool = False


class Unknowns:
    """The unknowns of one question, in the order in which they come up.

    exp(2*b*z) and exp(-b*z) are powers of one unknown; exp(b*z + c) is a product of two; log(u*w) is a sum. What an
    expression needs in order to be real is collected: the arguments of logarithms and the bases of broken powers in
    `must_be_positive`, the polynomials that must not vanish in `divisors`.

    Args:
        expressions: those that will be asked for, so that exponents with a common unit share an unknown.
    """

    def __init__(self, expressions: Iterable[Any]) -> None:
        self.all: list[Unknown] = []
        self.must_be_positive: list[Expr] = []
        self.divisors: list[Polynomial] = []
        self._known: dict[Any, Quotient] = {}
        self._units: dict[Any, list[Rational]] = {}
        self._degrees: dict[Expr, int] = {}
        self._gather(expressions)

    def quotient(self, expression: Expr) -> Quotient:
        """Return an expression as a quotient of polynomials.

        Raises:
            OutsideError: there is none.
        """
        if expression not in self._known:
            self._known[expression] = self._computed(expression)
        return self._known[expression]

    def known(self, expression: Expr) -> Quotient | None:
        """Return an expression as a quotient if that takes no further unknown."""
        count = len(self.all)
        try:
            found = self.quotient(expression)
        except OutsideError:
            return None
        return found if len(self.all) == count else None

    def expression(self, polynomial: Polynomial) -> Expr:
        """Return a polynomial as an expression."""
        terms = []
        for powers, coefficient in polynomial.terms():
            factors = [self._meaning(i) ** int(power) for i, power in enumerate(powers) if power]
            terms.append(sympy.Mul(Rational(int(coefficient.p), int(coefficient.q)), *factors))
        return sympy.Add(*terms)

    def _meaning(self, i: int) -> Expr:
        unknown = self.all[i]
        if unknown.meaning is not None:
            return unknown.meaning
        assert unknown.inner is not None
        return sympy.log(sympy.Abs(self.expression(unknown.inner.top)))

    def _computed(self, expression: Expr) -> Quotient:
        if expression.is_Rational:
            return constant(expression)
        if expression.is_Symbol:
            return self._symbol(expression)
        if expression.is_Add:
            return reduce(Quotient.plus, [self.quotient(part) for part in expression.args])
        if expression.is_Mul:
            return reduce(Quotient.times, [self.quotient(part) for part in expression.args])
        if expression is sympy.E:
            return self._exponential(sympy.S.One)
        if isinstance(expression, sympy.exp):
            return self._exponential(expression.exp)
        if expression.is_Pow:
            return self._power(expression.base, expression.exp)
        return self._function(expression)

    def _symbol(self, symbol: Expr) -> Quotient:
        if symbol in self._degrees:
            return self._root(symbol).power(self._degrees[symbol])
        return self._new(Unknown(kind="symbol", meaning=symbol, positive=bool(symbol.is_positive)))

    def _function(self, expression: Expr) -> Quotient:
        if isinstance(expression, sympy.log):
            self.must_be_positive.append(expression.args[0])
            return self._logarithm(self.quotient(expression.args[0]))
        if isinstance(expression, sympy.tanh):
            square = self._exponential(2 * expression.args[0])
            return reduced(square.top - square.bottom, square.top + square.bottom)  # exp > 0: no zero below
        if isinstance(expression, sympy.atan):
            return self._new(Unknown(kind="atan", meaning=expression, inner=self.quotient(expression.args[0])))
        if isinstance(expression, sympy.erf):
            return self._new(Unknown(kind="erf", meaning=expression, inner=self.quotient(expression.args[0])))
        if expression is sympy.pi:
            return self._new(Unknown(kind="constant", meaning=expression, positive=True))
        raise OutsideError(f"'{expression.func}'")

    def _power(self, base: Expr, exponent: Expr) -> Quotient:
        if exponent.is_Integer:
            inner = self.quotient(base)
            if exponent < 0:
                if inner.top == 0:
                    raise OutsideError("a division by zero")
                self.divisors.append(inner.top)
            return inner.power(int(exponent))
        if _is_rate(base, exponent):
            return self._exponential(exponent * sympy.log(base))
        self.must_be_positive.append(base)
        factors = [self._unit_power(base, key, share) for key, share in _shares(exponent)]
        return reduce(Quotient.times, factors)

    def _unit_power(self, base: Expr, key: Expr, share: Rational) -> Quotient:
        if key == 1:
            return self._broken_power(base, share)
        unit = self._unit(base, key, share)
        name = ("power", base, unit * key)
        if name not in self._known:
            meaning = Pow(base, unit * key, evaluate=False)
            self._known[name] = self._new(Unknown(kind="power", meaning=meaning, positive=True))
        return self._known[name].power(int(share / unit))

    def _exponential(self, exponent: Expr) -> Quotient:
        return reduce(Quotient.times, [self._unit_exponential(key, share) for key, share in _shares(exponent)], ONE)

    def _unit_exponential(self, key: Expr, share: Rational) -> Quotient:
        if isinstance(key, sympy.log) and key.args[0].is_Rational and key.args[0].is_positive:
            return self._power(key.args[0], share)  # what tanh(log(2)) comes to
        unit = self._unit(sympy.S.One, key, share)
        name = ("exp", unit * key)
        if name not in self._known:
            inner = self.quotient(unit * key)
            unknown = Unknown(kind="exp", meaning=sympy.exp(unit * key), inner=inner, positive=True)
            self._known[name] = self._new(unknown)
        return self._known[name].power(int(share / unit))

    def _broken_power(self, base: Expr, exponent: Rational) -> Quotient:
        if exponent.is_Integer:
            return self.quotient(base).power(int(exponent))
        if not base.is_Symbol:
            self._degrees.setdefault(base, int(exponent.q))
        whole = exponent * self._degrees.get(base, 1)
        if not whole.is_Integer:
            raise OutsideError(f"'{base}**{exponent}'")
        return self._root(base).power(int(whole))

    def _root(self, base: Expr) -> Quotient:
        degree = self._degrees[base]
        name = ("root", base)
        if name not in self._known:
            inner = None if base.is_Symbol else self.quotient(base)
            meaning = Pow(base, Rational(1, degree), evaluate=False)
            self._known[name] = self._new(
                Unknown(kind="root", meaning=meaning, inner=inner, degree=degree, positive=True)
            )
        return self._known[name]

    def _logarithm(self, argument: Quotient) -> Quotient:
        """Return the logarithm of a quotient that is positive wherever it is asked for."""
        total = ZERO
        for polynomial, side in ((argument.top, 1), (argument.bottom, -1)):
            content, factors = polynomial.factor()
            total = total.plus(self._log_number(abs(content)).times(constant(side)))
            for factor, multiplicity in factors:
                total = total.plus(self._log_factor(factor).times(constant(side * int(multiplicity))))
        return total

    def _log_number(self, content: fmpq) -> Quotient:
        total = ZERO
        for number, side in ((int(content.p), 1), (int(content.q), -1)):
            primes = {number: 1} if number > _LARGEST_FACTORED else sympy.factorint(number)
            for prime, multiplicity in primes.items():
                if prime == 1:
                    continue
                meaning = sympy.log(prime)
                if meaning not in self._known:
                    self._known[meaning] = self._new(Unknown(kind="constant", meaning=meaning, positive=True))
                total = total.plus(self._known[meaning].times(constant(side * multiplicity)))
        return total

    def _log_factor(self, factor: Polynomial) -> Quotient:
        factor = -factor if factor.leading_coefficient() < 0 else factor
        unknown = self._generator_of(factor)
        if unknown is not None and unknown.kind == "exp":
            assert unknown.inner is not None
            return unknown.inner
        name = ("log", str(factor))
        if name not in self._known:
            self._known[name] = self._new(Unknown(kind="log", inner=Quotient(factor, _CONTEXT.constant(1))))
        return self._known[name]

    def _generator_of(self, factor: Polynomial) -> Unknown | None:
        return next((unknown for i, unknown in enumerate(self.all) if factor == _GENERATORS[i]), None)

    def _new(self, unknown: Unknown) -> Quotient:
        if len(self.all) == _MOST_UNKNOWNS:
            raise OutsideError(f"more than {_MOST_UNKNOWNS} unknowns")
        self.all.append(unknown)
        return Quotient(_GENERATORS[len(self.all) - 1], _CONTEXT.constant(1))

    def _unit(self, base: Expr, key: Expr, share: Rational) -> Rational:
        """Return the unit of an exponent: the exponential of a unit is an unknown, other multiples are its powers."""
        units = self._units.setdefault((base, key), [])
        fitting = (unit for unit in units if (share / unit).is_Integer and abs(share / unit) <= _LARGEST_POWER)
        unit = next(fitting, None)
        if unit is None:
            unit = abs(share)
            units.append(unit)
        return unit

    def _gather(self, expressions: Iterable[Any]) -> None:
        shares: dict[Any, list[Rational]] = {}
        for expression in expressions:
            for part in sympy.preorder_traversal(expression):
                base, exponent = _base_and_exponent(part)
                if exponent is None:
                    continue
                for key, share in _shares(exponent):
                    if base is sympy.S.One or key != 1:
                        shares.setdefault((base, key), []).append(share)
                    elif not share.is_Integer:
                        self._degrees[base] = lcm(self._degrees.get(base, 1), int(share.q))
        self._units = {name: _common_units(of_one) for name, of_one in shares.items()}


@dataclass(frozen=True)
class Factored:
    """An expression in factors.

    Attributes:
        factors: expressions and multiplicities; the product of the powers has the sign of the expression where that
            is real.
        positive: what must be > 0 for it to be real.
        nonzero: what must not vanish.
    """

    factors: Sequence[tuple[Expr, int]]
    positive: Sequence[Expr]
    nonzero: Sequence[Expr]


def factored(expression: Expr) -> Factored | None:
    """Return the irreducible factors of an expression's quotient, in which all that cancels has cancelled, or None."""
    unknowns = Unknowns([expression])
    try:
        quotient = unknowns.quotient(expression)
        found: list[tuple[Expr, int]] = []
        for polynomial in (quotient.top, quotient.bottom):
            content, factors = polynomial.factor() if polynomial != 0 else (0, [])
            found.append((sympy.Integer((content > 0) - (content < 0)), 1))
            found += [(unknowns.expression(factor), int(multiplicity)) for factor, multiplicity in factors]
        nonzero = [unknowns.expression(divisor) for divisor in unknowns.divisors]
    except OutsideError:
        return None
    return Factored(found, list(dict.fromkeys(unknowns.must_be_positive)), list(dict.fromkeys(nonzero)))


def reduced(top: Polynomial, bottom: Polynomial) -> Quotient:
    """Return the quotient of two polynomials, the second one not zero, in lowest terms."""
    if top == 0:
        return ZERO
    if bottom != 1:
        common = top.gcd(bottom)
        if common != 1:
            top, bottom = top / common, bottom / common
        lead = bottom.leading_coefficient()
        if lead != 1:
            top, bottom = top / lead, bottom / lead
    return Quotient(top, bottom)


def constant(number: Any) -> Quotient:
    """Return a rational number as a quotient."""
    value = fmpq(number) if isinstance(number, int) else fmpq(int(number.p), int(number.q))
    return Quotient(_CONTEXT.constant(value), _CONTEXT.constant(1))


def generator(i: int) -> Quotient:
    """Return the i-th unknown of a question."""
    return Quotient(_GENERATORS[i], _CONTEXT.constant(1))


ZERO, ONE = constant(0), constant(1)


def _base_and_exponent(part: Any) -> tuple[Expr, Expr | None]:
    """Return the base (1 for e) and exponent of what becomes an exponential, power or root; else no exponent."""
    if part is sympy.E:
        return sympy.S.One, sympy.S.One
    if isinstance(part, sympy.exp):
        return sympy.S.One, part.exp
    if isinstance(part, sympy.tanh):
        return sympy.S.One, 2 * part.args[0]
    if isinstance(part, Pow) and not part.exp.is_Integer:
        if _is_rate(part.base, part.exp):
            return sympy.S.One, part.exp * sympy.log(part.base)
        return part.base, part.exp
    return sympy.S.One, None


def _is_rate(base: Expr, exponent: Expr) -> bool:
    """Return whether a power is an exponential with another base than e, as 2**z is."""
    return bool(base.is_Rational and base.is_positive and not exponent.is_Rational)


def _shares(exponent: Expr) -> list[tuple[Expr, Rational]]:
    """Return an exponent as a sum of rational multiples of keys: its monomials if they are linear, else itself."""
    whole = sympy.expand(exponent)
    terms = [term.as_coeff_Mul() for term in sympy.Add.make_args(whole)]
    if not all(coefficient.is_Rational for coefficient, _ in terms):
        raise OutsideError(f"exp({exponent})")
    if len(terms) > 1 and not all(_is_linear(monomial) for _, monomial in terms):
        content, primitive = whole.as_content_primitive()
        side = -1 if primitive.could_extract_minus_sign() else 1
        return [(sympy.expand(side * primitive), side * content)]
    return [(monomial, coefficient) for coefficient, monomial in terms if coefficient != 0]


def _is_linear(monomial: Expr) -> bool:
    """Return whether a monomial is a product of different symbols, their inverses and closed numbers."""
    return all(
        factor.is_Symbol or not factor.free_symbols or (factor.is_Pow and factor.base.is_Symbol and factor.exp == -1)
        for factor in sympy.Mul.make_args(monomial)
    )


def _common_units(shares: Sequence[Rational]) -> list[Rational]:
    """Return units of which all shares are whole multiples that are not too large, as few as a greedy search finds."""
    groups: list[tuple[Rational, Rational]] = []  # unit and largest multiple, as numbers
    for share in sorted({abs(share) for share in shares}):
        for i, (unit, largest) in enumerate(groups):
            joint = _common_divisor(unit, share)
            if max(largest, share) / joint <= _LARGEST_POWER:
                groups[i] = (joint, max(largest, share))
                break
        else:
            groups.append((share, share))
    return [unit for unit, _ in groups]


def _common_divisor(one: Rational, other: Rational) -> Rational:
    denominator = lcm(int(one.q), int(other.q))
    return Rational(gcd(int(one * denominator), int(other * denominator)), denominator)
