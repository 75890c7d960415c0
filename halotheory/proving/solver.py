"""Systems of polynomial inequalities put to z3's nlsat, a complete procedure for them, under a time limit."""

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import z3
from flint import fmpq

from halotheory.proving.unknowns import Polynomial, Quotient

NAME = "z3 nlsat"
_GRACE = 0.1  # seconds between z3's own time limit and the interruption of a z3 that does not keep it

Constraint = Any  # of z3, which has no type hints


def satisfiable(constraints: Sequence[Constraint], seconds: float) -> Any:
    """Return None where there is no solution, a model where there is one, z3.unknown where z3 cannot tell."""
    if seconds <= 0:
        return z3.unknown
    solver = z3.SolverFor("QF_NRA")
    solver.set("timeout", max(1, int(1000 * seconds)))
    solver.add(*constraints)
    try:
        with _interrupted_after(seconds + _GRACE):
            outcome = solver.check()
    except z3.Z3Exception:
        return z3.unknown
    if outcome == z3.unknown and solver.reason_unknown().endswith("from keyboard"):
        raise KeyboardInterrupt  # z3 keeps it for itself
    if outcome == z3.unsat:
        return None
    return solver.model() if outcome == z3.sat else z3.unknown


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Interrupt what z3 does in the body after this long.

    No second thread may free terms of z3 while z3 runs, or memory is lost: the alarm's thread holds none of them, and
    does not collect garbage, in which there may be some.
    """
    alarm = threading.Timer(seconds, z3.main_ctx().interrupt)
    alarm.daemon = True
    collects = gc.isenabled()
    gc.disable()
    try:
        alarm.start()
        yield
    finally:
        alarm.cancel()
        alarm.join()
        if collects:
            gc.enable()


class Reals:
    """The unknowns of a question as real numbers of z3."""

    def __init__(self) -> None:
        self._all: dict[int, Any] = {}

    def __getitem__(self, i: int) -> Any:
        if i not in self._all:
            self._all[i] = z3.Real(f"u{i}")
        return self._all[i]

    def polynomial(self, polynomial: Polynomial) -> Any:
        """Return a polynomial as a term."""
        return z3.Sum([self._term(powers, coefficient) for powers, coefficient in polynomial.terms()])

    def compared(self, quotient: Quotient, compare: Callable[[Any], Constraint]) -> Constraint:
        """Return `compare` of a number with the quotient's sign, for quotients whose denominator does not vanish."""
        if quotient.bottom == 1:
            return compare(self.polynomial(quotient.top))
        return compare(self.polynomial(quotient.top) * self.polynomial(quotient.bottom))

    def _term(self, powers: Sequence[int], coefficient: fmpq) -> Any:
        number = z3.RealVal(f"{coefficient.p}/{coefficient.q}")
        factors = [self[i] for i, power in enumerate(powers) for _ in range(int(power))]
        return z3.Product([number, *factors])
