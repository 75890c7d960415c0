"""Is an expression at least zero wherever some conditions hold? A complete procedure where there is one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy
import z3
from sympy import Expr, Rational, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving import solver
from halotheory.proving.coefficients import Signs
from halotheory.proving.enclose import sign
from halotheory.proving.solver import Constraint, Reals, satisfiable
from halotheory.proving.ties import Ties
from halotheory.proving.unknowns import OutsideError, Polynomial, Quotient, Unknowns

_LONGEST_STAGE = 5.0
"""Seconds that one of the tries below may take of the time that is left."""


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


def nonnegative(
    expression: Expr, where: Sequence[Relational], deadline: Deadline, *, strictly: bool = False, thorough: bool = True
) -> Answer:
    """Decide whether expression >= 0 (or > 0) at every real point that satisfies the conditions, and is real there.

    Exponentials, logarithms, roots and the like become unknowns, tied to their arguments by inequalities such as
    exp(m) >= 1 + m; the negation of the claim is then a system of polynomial inequalities, for which nlsat is a
    complete procedure. Unsatisfiable proves the claim. A solution proves nothing where there are ties.

    Args:
        expression: built of rationals, powers, exp, log, atan, erf and tanh.
        where: conditions; symbols that SymPy knows to be positive (nonnegative, ...) are taken as such.
        deadline: what is left of the time of the check.
        strictly: ask for > 0.
        thorough: try the ties that cost more, too.
    """
    try:
        claim = _Claim(expression, where)
    except OutsideError as error:
        return Answer(status=Status.UNDECIDED, method=f"outside the class of {solver.NAME}: {error}")
    for argument in claim.must_be_positive:
        if not _is_positive(argument, where, deadline):
            return Answer(status=Status.UNDECIDED, method=f"{solver.NAME}: {argument} > 0 is open")
    last = Answer(status=Status.UNDECIDED, method="no time left")
    stages = claim.stages(thorough=thorough)
    for constraints, how in stages:
        last = claim.decided(constraints, how, deadline, strictly=strictly)
        if last.status is Status.PROVED:
            return last
    return last


def identically_zero(expression: Expr) -> bool:
    """Return whether an expression in exponentials, logarithms and roots cancels to 0; False proves nothing."""
    if expression == 0:
        return True
    try:
        return bool(Unknowns([expression]).quotient(expression).top == 0)
    except OutsideError:
        return False


def _is_positive(expression: Expr, where: Sequence[Relational], deadline: Deadline) -> bool:
    if not expression.free_symbols:
        return sign(expression) == 1
    return nonnegative(expression, where, deadline, strictly=True).status is Status.PROVED


class _Claim:
    """An inequality as polynomials in unknowns."""

    def __init__(self, expression: Expr, where: Sequence[Relational]) -> None:
        differences = [relation.lhs - relation.rhs for relation in where]
        self._unknowns = Unknowns([expression, *differences])
        quotient = self._unknowns.quotient(expression)
        self.must_be_positive = list(dict.fromkeys(self._unknowns.must_be_positive))
        divisors = list(self._unknowns.divisors)
        self._where = [
            (relation.func, self._unknowns.quotient(difference))
            for relation, difference in zip(where, differences, strict=True)
        ]
        self._signs = Signs(self._unknowns.all, self._where)
        self._reals = Reals()
        self._conditions = [self._condition(*pair) for pair in self._where]
        self._divisors = self._open_factors(divisors)
        self._side, self._odd, self._even = self._factors(quotient)

    def stages(self, *, thorough: bool) -> Iterator[tuple[list[Constraint], str]]:
        """Yield ever larger sets of what is known of the unknowns, and their names."""
        ties = Ties(self._unknowns, self._reals)
        known = [*self._conditions, *ties.signs()]
        yield known, ""
        first = ties.first()
        if first:
            yield [*known, *first], ", with tangents such as exp(m) >= 1 + m"
        if first and thorough and (second := ties.second()):
            yield [*known, *first, *second], ", with Taylor bounds such as exp(m) >= 1 + m + m^2/2 + m^3/6"

    def decided(self, known: Sequence[Constraint], how: str, deadline: Deadline, *, strictly: bool) -> Answer:
        """Return what nlsat says of the claim's negation."""
        for divisor in self._divisors:
            zero = self._reals.polynomial(divisor) == 0
            if satisfiable([*known, zero], min(_LONGEST_STAGE, deadline.left())) is not None:
                return Answer(status=Status.UNDECIDED, method=f"{solver.NAME}: the denominator may vanish")
        fails = self._negation(strictly=strictly)
        if fails is None:
            return Answer(status=Status.PROVED, method=self._method(": every factor has a known sign"))
        nonzero = [self._reals.polynomial(divisor) != 0 for divisor in self._divisors]
        found = satisfiable([*known, *nonzero, fails], min(_LONGEST_STAGE, deadline.left()))
        if found is None:
            return Answer(
                status=Status.PROVED, method=self._method(f"{how}; {solver.NAME}: no solution of the negation")
            )
        if found is z3.unknown:
            return Answer(status=Status.UNDECIDED, method=f"{solver.NAME}: no answer in the time given")
        method = f"{solver.NAME}: the negation has a solution"
        return Answer(status=Status.REFUTED, method=method, hint=self._hint(found))

    def _condition(self, kind: Any, difference: Quotient) -> Constraint:
        comparisons = {
            sympy.StrictGreaterThan: lambda x: x > 0,
            sympy.GreaterThan: lambda x: x >= 0,
            sympy.StrictLessThan: lambda x: x < 0,
            sympy.LessThan: lambda x: x <= 0,
            sympy.Equality: lambda x: x == 0,
            sympy.Unequality: lambda x: x != 0,
        }
        return self._reals.compared(difference, comparisons[kind])

    def _open_factors(self, polynomials: Sequence[Polynomial]) -> list[Polynomial]:
        """Return the irreducible factors whose sign is not plain, each once."""
        factors = {str(factor): factor for p in polynomials for factor, _ in p.factor()[1]}
        return [factor for factor in factors.values() if self._signs.of(factor) == 0]

    def _factors(self, quotient: Quotient) -> tuple[int, list[Polynomial], list[Polynomial]]:
        """Return the sign that is plain, and the factors to an odd and an even power whose sign is not."""
        side, odd, even = 1, [], []
        if quotient.top == 0:
            return 0, odd, even
        for polynomial in (quotient.top, quotient.bottom):
            content, factors = polynomial.factor()
            side *= 1 if content > 0 else -1
            for factor, multiplicity in factors:
                sign = self._signs.of(factor)
                if sign == 0:
                    (odd if multiplicity % 2 else even).append(factor)
                elif multiplicity % 2:
                    side *= sign
        return side, odd, even

    def _negation(self, *, strictly: bool) -> Constraint | None:
        """Return the claim's negation, or None where it is plainly false."""
        if self._side == 0:
            return z3.BoolVal(True) if strictly else None
        if not self._odd and self._side > 0 and not (strictly and self._even):
            return None
        product = z3.Product([z3.RealVal(self._side), *(self._reals.polynomial(factor) for factor in self._odd)])
        zeros = [self._reals.polynomial(factor) == 0 for factor in self._even]
        if strictly:
            return z3.Or(product <= 0, *zeros)
        return z3.And(product < 0, *(z3.Not(zero) for zero in zeros))

    def _method(self, how: str) -> str:
        shown = [unknown.meaning for unknown in self._unknowns.all if unknown.kind in ("exp", "power", "root")]
        names = ", ".join(f"e{i} = {meaning} > 0" for i, meaning in enumerate(shown, 1))
        return f"{names}{how}" if names else how.lstrip(",;: ")

    def _hint(self, model: Any) -> dict[Symbol, Rational]:
        """Return the solution's values of the symbols, as rationals nearby."""
        values = {}
        for i, unknown in enumerate(self._unknowns.all):
            symbol, degree = unknown.meaning, 1
            if unknown.kind == "root" and unknown.inner is None and symbol is not None:
                symbol, degree = symbol.args[0], unknown.degree
            if isinstance(symbol, Symbol):
                values[symbol] = _nearby(model.eval(self._reals[i], model_completion=True)) ** degree
        return values


def _nearby(value: Any) -> Rational:
    fraction = value.approx(20).as_fraction() if z3.is_algebraic_value(value) else value.as_fraction()
    fraction = Fraction(fraction).limit_denominator(10**6)
    return Rational(fraction.numerator, fraction.denominator)
