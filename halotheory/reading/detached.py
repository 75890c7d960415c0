"""Detached parts of a loss: values that depend on theta, but that no gradient flows through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import sympy
from sympy import Dummy, Expr, Symbol

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.enclose import sign
from halotheory.proving.nonnegative import nonnegative
from halotheory.reading.direction import cases
from halotheory.reading.outputs import KL, by_value
from halotheory.tracing.operations import detach

_SECONDS = 2.0
_PLACES = (0, 1, -1, 5, -5, 40, -40)
_MOST_MOVED = 3


@dataclass(frozen=True, kw_only=True)
class Held:
    """A term in which each largest detached part has become a symbol.

    Attributes:
        term: with the symbols.
        parts: what each symbol stands for, by value.
    """

    term: Expr
    parts: Mapping[Symbol, Expr]


def held(term: Expr, moving: Sequence[Symbol]) -> Held:
    """Return the term with its largest detached parts held constant.

    A symbol is positive where that is proved of its part, and real otherwise.
    """
    parts: dict[Expr, Symbol] = {}
    replaced = _replaced(term, frozenset(moving), parts)
    return Held(term=replaced, parts={symbol: by_value(part) for part, symbol in parts.items()})


def not_positive(part: Expr, moving: Sequence[Symbol], settings: Mapping[Symbol, Expr]) -> dict[str, str] | None:
    """Return simple values of the moving symbols at which a part is at most 0, if they are found."""
    value = part.subs(dict(settings))
    free = sorted(value.free_symbols, key=str)
    moved = [symbol for symbol in free if symbol in moving][:_MOST_MOVED]
    still: dict[Expr, Expr] = {symbol: _still(symbol) for symbol in free if symbol not in moved}
    for places in sorted(product(_PLACES, repeat=len(moved)), key=lambda places: sum(map(abs, places))):
        point = still | {
            symbol: sympy.Integer(abs(place) if symbol.is_nonnegative else place)
            for symbol, place in zip(moved, places, strict=True)
        }
        if sign(value, point) in (-1, 0):
            return {str(symbol): str(number) for symbol, number in point.items()}
    return None


def _still(symbol: Symbol) -> Expr:
    return sympy.Integer(10) if symbol.is_positive else sympy.Integer(-50 if symbol.is_nonpositive else 0)


def _replaced(term: Expr, moving: frozenset[Symbol], parts: dict[Expr, Symbol]) -> Expr:
    if not any(part.free_symbols & moving for part in term.atoms(detach)) and not _weighed_by_kl(term, moving):
        return term
    if _constant(term, moving):
        return parts.setdefault(term, _symbol(term, len(parts)))
    if term.is_Add or term.is_Mul:
        constant = [part for part in term.args if part.has(detach) and _constant(part, moving)]
        if term.is_Mul and term.free_symbols & moving - {KL}:
            constant += [part for part in term.args if part.free_symbols & moving == {KL} and part not in constant]
        others = [part for part in term.args if part not in constant]
        together = term.func(*constant)
        taken = [parts.setdefault(together, _symbol(together, len(parts)))] if constant else []
        return term.func(*taken, *(_replaced(part, moving, parts) for part in others))
    return term.func(*(_replaced(argument, moving, parts) for argument in term.args))


def _weighed_by_kl(term: Expr, moving: frozenset[Symbol]) -> bool:
    """Return whether a factor depends on kl, which comes detached, and another on log-ratios."""
    products = (part for part in term.atoms(sympy.Mul) if KL in part.free_symbols)
    return any(
        part.free_symbols & moving - {KL} and any(factor.free_symbols & moving == {KL} for factor in part.args)
        for part in products
    )


def _constant(term: Expr, moving: frozenset[Symbol]) -> bool:
    """Return whether all that moves in the term is detached."""
    return not (term.xreplace({part: Dummy() for part in term.atoms(detach)}).free_symbols & moving)


def _symbol(part: Expr, number: int) -> Symbol:
    name = f"detached_{number}" if number else "detached"
    value = by_value(part)
    return Symbol(name, positive=True) if value.is_positive or _is_positive(value) else Symbol(name, real=True)


def _is_positive(value: Expr) -> bool:
    """Return whether a value is proved positive, whatever its conditions select."""
    deadline = Deadline(_SECONDS)
    found = list(cases(value))
    return bool(found) and all(
        nonnegative(smooth, where, deadline, strictly=True).status is Status.PROVED for smooth, where in found
    )
