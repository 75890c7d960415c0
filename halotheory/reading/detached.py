"""Detached parts of a loss: values that depend on theta, but that no gradient flows through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import sympy
from sympy import Dummy, Expr, Piecewise, Symbol
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.decide import decide
from halotheory.proving.enclose import sign
from halotheory.proving.nonnegative import identically_zero
from halotheory.proving.shape import Z
from halotheory.reading.direction import along, cases, directions
from halotheory.reading.outputs import KL, by_value
from halotheory.reading.reference import Spoiled
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


def held(term: Expr, moving: Sequence[Symbol], known: Sequence[Relational] = ()) -> Held:
    """Return the term with its largest detached parts held constant.

    A symbol stands for a part without its rational factor, and for the negative of one that is proved negative. It is
    positive where that is proved of what it stands for, and real otherwise.

    Args:
        term: with what is detached marked.
        moving: the symbols that move with theta.
        known: what is known of the symbols.
    """
    parts: dict[Expr, Symbol] = {}
    replaced = _Holder(moving=tuple(moving), known=tuple(known), parts=parts).replaced(term)
    return Held(term=replaced, parts={symbol: by_value(part) for part, symbol in parts.items()})


@dataclass(frozen=True)
class _Holder:
    """One walk over a term; `parts` collects what is held."""

    moving: tuple[Symbol, ...]
    known: tuple[Relational, ...]
    parts: dict[Expr, Symbol]

    def replaced(self, term: Expr) -> Expr:
        moving = frozenset(self.moving)
        if not any(part.free_symbols & moving for part in term.atoms(detach)) and not _weighed_by_kl(term, moving):
            return term
        if isinstance(term, Boolean):
            return by_value(term)
        if _constant(term, moving):
            return self._named(term)
        if term.is_Add or term.is_Mul:
            constant = [part for part in term.args if part.has(detach) and _constant(part, moving)]
            if term.is_Mul and term.free_symbols & moving - {KL}:
                constant += [part for part in term.args if part.free_symbols & moving == {KL} and part not in constant]
            others = [part for part in term.args if part not in constant]
            taken = [self._named(term.func(*constant))] if constant else []
            return term.func(*taken, *(self.replaced(part) for part in others))
        if isinstance(term, Piecewise) and all(_constant(condition, moving) for _, condition in term.args):
            return self._weighed(term)
        return term.func(*(self.replaced(argument) for argument in term.args))

    def _weighed(self, choice: Piecewise) -> Expr:
        """Return a choice by detached values as a sum of its branches, each times 1 where it is chosen, else 0."""
        *branches, (last, _) = choice.args
        weights = []
        for i in range(len(branches)):
            chosen = [(sympy.Integer(i == j), condition) for j, (_, condition) in enumerate(choice.args)]
            weights.append(self._named(Piecewise(*chosen, evaluate=False)))
        parts = [weight * self.replaced(branch) for weight, (branch, _) in zip(weights, branches, strict=True)]
        return sympy.Add(*parts, (1 - sympy.Add(*weights)) * self.replaced(last))

    def _named(self, part: Expr) -> Expr:
        """Return a symbol in place of the part, times a rational number that the part has as a factor."""
        scale, plain = part.primitive()
        side = side_of(by_value(plain), self.moving, self.known)
        if side == -1:
            scale, plain = -scale, sympy.expand(-plain, deep=False)
        if plain not in self.parts:
            name = f"detached_{len(self.parts)}" if self.parts else "detached"
            self.parts[plain] = Symbol(name, positive=True) if side else Symbol(name, real=True)
        return scale * self.parts[plain]


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


@lru_cache(maxsize=256)
def side_of(value: Expr, moving: tuple[Symbol, ...] = (), known: tuple[Relational, ...] = ()) -> int | None:
    """Return 1 or -1 where a value is proved positive or negative everywhere, whatever its conditions select."""
    if value.is_positive or value.is_negative:
        return 1 if value.is_positive else -1
    point = {symbol: still(symbol) for symbol in value.free_symbols}
    if any(relation.subs(point) == sympy.false for relation in known):
        sides = (1, -1)
    else:
        somewhere = sign(value, point)
        sides = (1, -1) if somewhere is None else () if somewhere == 0 else (somewhere,)
    return next((side for side in sides if _is_positive(side * value, moving, known)), None)


def _is_positive(value: Expr, moving: Sequence[Symbol], known: Sequence[Relational]) -> bool:
    """Return whether a value is proved positive, as a function of the one sum that it depends on, or of all symbols."""
    deadline = Deadline(_SECONDS)
    here = tuple(relation for relation in known if relation.free_symbols <= value.free_symbols)
    moved = [symbol for symbol in moving if symbol in value.free_symbols]
    direction = next(directions(value, moved), None) if len(moved) > 1 else None
    if direction is not None and (function := along(value, direction, Z)) is not None:
        value, here = function, tuple(relation for relation in here if not relation.free_symbols & {*moved})
    found = list(cases(value))
    return bool(found) and all(
        decide(smooth, [*where, *here], deadline, strictly=True).status is Status.PROVED for smooth, where in found
    )


def without_sign(
    value: Expr, moving: Sequence[Symbol], settings: Mapping[Symbol, Expr], known: Sequence[Relational] = ()
) -> Spoiled:
    """Return that a factor is not of one sign, with simple values of the moving symbols, or that this is open.

    One place where it is 0 is enough; otherwise there is one where it is negative and one where it is positive.

    Args:
        value: the factor, by value.
        moving: the symbols that move with theta.
        settings: the values of hyperparameters.
        known: what is known of the symbols.
    """
    at_settings = value.subs(dict(settings))
    found: dict[int, Mapping[Symbol, Expr]] = {}
    for point in _points(at_settings, moving, known):
        side = sign(at_settings, point)
        if side is not None:
            found.setdefault(side, point)
        if side == 0 or {1, -1} <= found.keys():
            break
    free = frozenset(value.free_symbols & set(settings))
    if 0 in found:
        everywhere = identically_zero(value.subs(dict(found[0])))
        return Spoiled(
            statement="the detached factor of v is 0 at a point; it must not be",
            witness=_shown(found[0]),
            guilty=str(value),
            as_set=frozenset() if everywhere else free,
        )
    if len(found) == 2:
        moved = {symbol: place for symbol, place in found[1].items() if symbol in moving}
        return Spoiled(
            statement="the detached factor of v is positive for one theta and negative for another",
            witness={
                **{f"negative at {name}": place for name, place in _shown(found[-1]).items()},
                **{f"positive at {name}": place for name, place in _shown(moved).items()},
            },
            guilty=str(value),
            as_set=free,
        )
    return Spoiled(statement="the detached factor of v is of one sign everywhere")


def _points(value: Expr, moving: Sequence[Symbol], known: Sequence[Relational]) -> list[dict[Symbol, Expr]]:
    """Return simple points that are possible, the simplest first."""
    free = sorted(value.free_symbols, key=str)
    moved = [symbol for symbol in free if symbol in moving][:_MOST_MOVED]
    fixed = {symbol: still(symbol) for symbol in free if symbol not in moved}
    here = [relation for relation in known if relation.free_symbols <= set(free)]
    found = []
    for places in sorted(product(_PLACES, repeat=len(moved)), key=lambda places: sum(map(abs, places))):
        point = fixed | {
            symbol: sympy.Integer(abs(place) if symbol.is_nonnegative else place)
            for symbol, place in zip(moved, places, strict=True)
        }
        if all(relation.subs(point) == sympy.true for relation in here):
            found.append(point)
    return found


def _shown(point: Mapping[Symbol, Expr]) -> dict[str, str]:
    return {str(symbol): str(place) for symbol, place in point.items()}


def still(symbol: Symbol) -> Expr:
    """Return a value that a symbol can take: a length or a hyperparameter, a low log-probability, or 0."""
    return sympy.Integer(10) if symbol.is_positive else sympy.Integer(-50 if symbol.is_nonpositive else 0)
