"""Is an expression at least zero wherever some conditions hold? A complete procedure where there is one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy
import z3
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status

_NLSAT = "z3 nlsat"
_LARGEST_POWER = 100


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found of one inequality.

    Attributes:
        status: REFUTED is used only for "the relaxed system has a solution": a hint of where to look for a
            witness, never a refutation by itself.
        method: the procedure, or what was tried.
        hint: values of the symbols where the inequality may fail.
    """

    status: Status
    method: str
    hint: Mapping[Symbol, Rational] | None = None


def nonnegative(expression: Expr, where: Sequence[Relational], deadline: Deadline, *, strictly: bool = False) -> Answer:
    """Decide whether expression >= 0 (or > 0) at every real point that satisfies the conditions.

    Exponentials become positive unknowns, tied to their exponents by exp(m) >= 1 + m and by the sign of m; the
    negation of the inequality is then a system of polynomial inequalities, for which nlsat is a complete procedure.
    Unsatisfiable proves the inequality. A solution proves nothing where there are exponentials.

    Args:
        expression: rational in its symbols and in exponentials of polynomials.
        where: polynomial conditions; symbols that SymPy knows to be positive are taken as such.
        deadline: what is left of the time of the check.
        strictly: ask for > 0.
    """
    try:
        system = _System(expression, where)
    except _OutsideClassError as error:
        return Answer(status=Status.UNDECIDED, method=f"outside the class of {_NLSAT}: {error}")
    product = system.numerator * system.denominator
    fails = product <= 0 if strictly else product < 0
    poles = _satisfiable([*system.conditions, *system.ties, system.denominator == 0], deadline)
    if poles is not None:
        return Answer(status=Status.UNDECIDED, method=f"{_NLSAT}: the denominator may vanish")
    for ties, how in (([], ""), (system.ties, ", exp(m) >= 1 + m")):
        found = _satisfiable([*system.conditions, *ties, system.denominator != 0, fails], deadline)
        if found is None:
            return Answer(status=Status.PROVED, method=_method(system, how))
    if found is z3.unknown:
        return Answer(status=Status.UNDECIDED, method=f"{_NLSAT}: no answer in the time given")
    return Answer(status=Status.REFUTED, method=f"{_NLSAT}: the negation has a solution", hint=system.hint(found))


def identically_zero(expression: Expr) -> bool:
    """Return whether a rational expression in exponentials simplifies to 0; False proves nothing."""
    if expression == 0:
        return True
    try:
        rational = _without_exponentials(expression, {})
    except _OutsideClassError:
        return False
    return bool(sympy.cancel(sympy.together(rational)) == 0)


def _method(system: "_System", how: str) -> str:
    names = ", ".join(f"e{i + 1} = exp({m}) > 0" for i, m in enumerate(system.exponents))
    return f"{names}{how}; {_NLSAT}: the negation has no real solution" if names else f"{_NLSAT}: no real solution"


class _OutsideClassError(Exception):
    """The expression holds something else than rational operations and exponentials."""


class _System:
    """The polynomial system of an inequality: symbols and exponentials as real unknowns of z3."""

    def __init__(self, expression: Expr, where: Sequence[Relational]) -> None:
        exponentials: dict[Expr, Symbol] = {}
        rational = _without_exponentials(expression, exponentials)
        numerator, denominator = sympy.fraction(sympy.together(rational))
        self.exponents = list(exponentials)
        self.symbols = sorted(_symbols([expression, *where]) - set(exponentials.values()), key=str)
        self._reals = {symbol: z3.Real(f"x{i}") for i, symbol in enumerate(self.symbols)}
        self._reals |= {symbol: z3.Real(f"e{i}") for i, symbol in enumerate(exponentials.values())}
        self.numerator, self.denominator = self._polynomial(numerator), self._polynomial(denominator)
        self.conditions = [self._condition(relation) for relation in where]
        self.conditions += [self._reals[symbol] > 0 for symbol in self.symbols if symbol.is_positive]
        self.conditions += [self._reals[symbol] >= 0 for symbol in self.symbols if symbol.is_nonnegative]
        self.conditions += [self._reals[symbol] > 0 for symbol in exponentials.values()]
        self.ties = [tie for m, e in exponentials.items() for tie in self._tied(self._polynomial(m), self._reals[e])]

    @staticmethod
    def _tied(exponent: Any, e: Any) -> list[Any]:
        return [
            e >= 1 + exponent,
            z3.Or(exponent < 0, e >= 1),
            z3.Or(exponent <= 0, e > 1),
            z3.Or(exponent >= 0, e < 1),
        ]

    def _condition(self, relation: Relational) -> Any:
        numerator, denominator = sympy.fraction(sympy.together(relation.lhs - relation.rhs))
        if not (denominator.is_positive or denominator == 1):
            raise _OutsideClassError(f"the condition {relation}")
        difference = self._polynomial(numerator)
        comparisons = {
            sympy.StrictGreaterThan: difference > 0,
            sympy.GreaterThan: difference >= 0,
            sympy.StrictLessThan: difference < 0,
            sympy.LessThan: difference <= 0,
            sympy.Equality: difference == 0,
        }
        return comparisons[relation.func]

    def _polynomial(self, expression: Expr) -> Any:
        """Return a polynomial in the unknowns as a z3 term."""
        if expression.is_Rational:
            return z3.RealVal(f"{expression.p}/{expression.q}")
        if expression in self._reals:
            return self._reals[expression]
        if expression.is_Add:
            return z3.Sum([self._polynomial(part) for part in expression.args])
        if expression.is_Mul:
            return z3.Product([self._polynomial(part) for part in expression.args])
        if expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
            base = self._polynomial(expression.base)
            return z3.Product([base] * int(expression.exp))
        raise _OutsideClassError(f"'{expression}'")

    def hint(self, model: Any) -> dict[Symbol, Rational]:
        """Return the solution's values of the symbols, as rationals nearby."""
        values = {}
        for symbol in self.symbols:
            value = model.eval(self._reals[symbol], model_completion=True)
            fraction = value.approx(20).as_fraction() if z3.is_algebraic_value(value) else value.as_fraction()
            fraction = Fraction(fraction).limit_denominator(10**6)
            values[symbol] = Rational(fraction.numerator, fraction.denominator)
        return values


def _satisfiable(constraints: Sequence[Any], deadline: Deadline) -> Any:
    """Return None where there is no solution, a model where there is one, z3.unknown where z3 cannot tell."""
    solver = z3.SolverFor("QF_NRA")
    solver.set("timeout", max(1, int(1000 * deadline.left())))
    solver.add(*constraints)
    outcome = solver.check()
    if outcome == z3.unsat:
        return None
    return solver.model() if outcome == z3.sat else z3.unknown


def _symbols(expressions: Iterable[Any]) -> set[Symbol]:
    return {symbol for expression in expressions for symbol in expression.free_symbols}


def _without_exponentials(expression: Expr, unknowns: dict[Expr, Symbol]) -> Expr:
    """Replace exp of each monomial by a power of a positive unknown; `unknowns` maps exponents to unknowns.

    exp(2*b*z) and exp(-b*z) share the unknown of the monomial b*z; exp(b*z + c) is split in two. Rational
    multiples are brought to a common denominator first, so that every power is whole.
    """
    split = expression.replace(
        lambda e: isinstance(e, sympy.exp),
        lambda e: sympy.Mul(*[sympy.exp(part) for part in sympy.Add.make_args(sympy.expand(e.exp))]),
    )
    shares: dict[Expr, list[Rational]] = {}
    for exponential in split.atoms(sympy.exp, type(sympy.E)):  # SymPy keeps exp(1) apart, as E
        exponent = sympy.S.One if exponential is sympy.E else exponential.exp
        coefficient, monomial = exponent.as_coeff_Mul()
        shares.setdefault(monomial, []).append(coefficient)
    replacements = {}
    for monomial, coefficients in shares.items():
        if not all(coefficient.is_Rational for coefficient in coefficients):
            raise _OutsideClassError(f"exp of an irrational multiple of {monomial}")
        unit = Rational(1, sympy.ilcm(1, *[coefficient.q for coefficient in coefficients]))
        unknown = unknowns.setdefault(unit * monomial, sympy.Dummy("e", positive=True))
        if any(abs(coefficient / unit) > _LARGEST_POWER for coefficient in coefficients):
            raise _OutsideClassError(f"powers above {_LARGEST_POWER} of exp({unit * monomial})")
        for coefficient in coefficients:
            replacements[sympy.exp(coefficient * monomial)] = unknown ** int(coefficient / unit)
    return split.xreplace(replacements)
