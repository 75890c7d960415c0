"""The one combination of log-ratios that a loss depends on, where there is one."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import sympy
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational

from halotheory.proving.nonnegative import identically_zero
from halotheory.tracing.operations import expanded

Direction = Mapping[Symbol, Expr]
"""Coefficients, free of theta, of the symbols that move with it."""

_MOST_CONDITIONS = 6


def directions(term: Expr, moving: Sequence[Symbol], usual: Sequence[Direction] = ()) -> Iterator[Direction]:
    """Yield the combinations of the moving symbols through which the term may depend on them; to be verified.

    The first is read off the term: the linear forms inside it, if they are all parallel. Then come the usual ones.
    """
    forms = list(linear_forms(term, frozenset(moving)))
    if forms and all(_parallel(form, forms[0]) for form in forms[1:]):
        yield forms[0]
    yield from usual


def linear_forms(term: Expr, moving: frozenset[Symbol]) -> Iterator[Direction]:
    """Yield the largest parts of the term that are linear in the moving symbols, by their coefficients."""
    return (form for _, form in linear_parts(term, moving))


def linear_parts(term: Expr, moving: frozenset[Symbol]) -> Iterator[tuple[Expr, Direction]]:
    """Yield the largest parts of the term that are linear in the moving symbols, each with its coefficients."""
    if not term.free_symbols & moving:
        return
    form = _linear(term, moving)
    if form is not None:
        yield term, form
    elif isinstance(term, Relational):
        yield from linear_parts(term.lhs - term.rhs, moving)
    elif term.is_Add:
        parts = [(part, _linear(part, moving)) for part in term.args]
        together = _sum([form for _, form in parts if form])
        if together:
            yield sympy.Add(*(part for part, form in parts if form)), together
        for part, form in parts:
            if form is None:
                yield from linear_parts(part, moving)
    else:
        for argument in term.args:
            yield from linear_parts(argument, moving)


def along(term: Expr, direction: Direction, z: Symbol) -> Expr | None:
    """Return the term as a function of z = sum of coefficient * symbol, or None if that is not shown.

    The symbol with the first coefficient is eliminated; what remains must not depend on the others.
    """
    first, *others = direction
    rest = sympy.Add(*(direction[symbol] * symbol for symbol in others))
    function = tidied(term.xreplace({first: (z - rest) / direction[first]}))
    for symbol in others:
        if symbol in function.free_symbols:
            if not independent_of(function, symbol):
                return None
            function = tidied(function.subs(symbol, 0))
    return function


def independent_of(function: Expr, symbol: Symbol) -> bool:
    """Return whether the function is proved not to depend on the symbol; False proves nothing."""
    if any(symbol in condition.free_symbols for condition in conditions_of(function)):
        return False
    parts = list(branches(function))
    return bool(parts) and all(identically_zero(sympy.diff(part, symbol)) for part in parts)


def branches(function: Expr) -> Iterator[Expr]:
    """Yield the smooth functions that its conditions select, whatever these say; nothing where they are too many."""
    return (smooth for smooth, _ in cases(function))


def cases(function: Expr) -> Iterator[tuple[Expr, list[Relational]]]:
    """Yield the smooth functions that its conditions select, each with what the conditions then say."""
    conditions = conditions_of(function)
    if len(conditions) > _MOST_CONDITIONS:
        return
    for truths in product((sympy.true, sympy.false), repeat=len(conditions)):
        told = dict(zip(conditions, truths, strict=True))
        smooth = function.xreplace(told)
        if smooth is not sympy.nan:
            yield smooth, [one if truth == sympy.true else one.negated for one, truth in told.items()]


def conditions_of(function: Expr) -> list[Relational]:
    """Return the comparisons that a function's choices depend on, in a fixed order."""
    return sorted({atom for part in function.atoms(Piecewise) for atom in part.atoms(Relational)}, key=str)


def tidied(term: Expr) -> Expr:
    """Return the term multiplied out, in its conditions as well, so that equal and opposite parts cancel."""
    plain = {condition: _canonical(condition) for condition in conditions_of(term)}
    return expanded(term.xreplace({old: new for old, new in plain.items() if old != new}))


def spread(term: Expr, symbols: frozenset[Symbol]) -> Expr:
    """Return the term with its parts that are linear in the symbols multiplied out, and all else as it was."""
    if not term.free_symbols & symbols:
        return term
    if not isinstance(term, Relational) and _linear(term, symbols) is not None:
        return sympy.expand(term)
    return term.func(*(spread(argument, symbols) for argument in term.args)) if term.args else term


def _canonical(condition: Relational) -> Expr:
    difference = expanded(condition.lhs - condition.rhs)
    return condition.func(difference, 0)


def _linear(term: Expr, moving: frozenset[Symbol]) -> Direction | None:
    """Return the coefficients of a term that is linear in the moving symbols, {} for a constant, else None."""
    if not term.free_symbols & moving:
        return {}
    if term in moving:
        return {term: sympy.S.One}
    if term.is_Add:
        forms = [_linear(part, moving) for part in term.args]
        return None if any(form is None for form in forms) else _sum([form for form in forms if form])
    if term.is_Mul:
        factors = [factor for factor in term.args if factor.free_symbols & moving]
        form = _linear(factors[0], moving) if len(factors) == 1 else None
        scale = sympy.Mul(*(factor for factor in term.args if factor not in factors))
        return None if form is None else {symbol: scale * value for symbol, value in form.items()}
    return None


def _sum(forms: Sequence[Direction]) -> Direction:
    total: dict[Symbol, Expr] = {}
    for form in forms:
        for symbol, value in form.items():
            total[symbol] = total.get(symbol, sympy.S.Zero) + value
    kept = {symbol: value for symbol, value in total.items() if sympy.cancel(sympy.together(value)) != 0}
    return dict(sorted(kept.items(), key=lambda item: str(item[0])))


def _parallel(one: Direction, other: Direction) -> bool:
    if set(one) != set(other):
        return False
    first, *rest = one
    return all(sympy.cancel(sympy.together(one[first] * other[s] - one[s] * other[first])) == 0 for s in rest)
