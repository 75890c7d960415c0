"""Losses whose reward is another increasing function of the ratio than its logarithm."""

from collections.abc import Iterator, Mapping, Sequence

import sympy
from sympy import Expr, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.decide import decide
from halotheory.proving.enclose import sign
from halotheory.proving.nonnegative import identically_zero
from halotheory.proving.shape import Z
from halotheory.reading.detached import still
from halotheory.reading.outputs import Output, swapped
from halotheory.reading.reference import Reading, Spoiled

_SECONDS = 5.0
_PLACES = [sympy.Integer(n) for n in (-1, 1, -3, 3, -10, 10)]
_WITH_CASES = (sympy.Piecewise, sympy.Abs, sympy.sign, sympy.Max, sympy.Min)


class _NoLinkError(Exception):
    """The two log-ratios meet otherwise than in a difference g(one) - g(other)."""


def linked_readings(
    term: Expr,
    y: Output,
    among: Sequence[Output],
    *,
    below: bool,
    settings: Mapping[Symbol, Expr] | None = None,
    domains: Sequence[Relational] = (),
) -> Iterator[Reading]:
    """Yield the way to read a pair's term as a function of z = g(log-ratio) - g(log-ratio of the other output).

    Every sum in which the two log-ratios meet must be a multiple of one such difference, with g increasing. Where
    this is not shown for all hyperparameters the reading is spoiled, or open.

    Args:
        term: by value, in log-ratios, as the code wrote it.
        y: the output that is judged.
        among: the two outputs of the pair.
        below: whether log-ratios are log-probabilities (the loss names no reference) and so lie below 0.
        settings: the values of the hyperparameters, where counterexamples are looked for.
        domains: what is known of the hyperparameters.
    """
    if len(among) != 2:
        return
    other = among[1] if among[0] is y else among[0]
    links: list[Expr] = []
    try:
        shape = _relinked(term, y.log_ratio, other.log_ratio, among, links)
    except _NoLinkError:
        return
    if not links or {y.log_ratio, other.log_ratio} & shape.free_symbols:
        return
    link = links[0]
    slope = sympy.diff(link, y.log_ratio)
    where = [*domains, *([sympy.StrictLessThan(y.log_ratio, 0)] if below else [])]
    here = [place for place in _PLACES if place < 0 or not below]
    as_set = {sign(slope, {y.log_ratio: place, **(settings or {})}) for place in here}
    sides = [side for side in (1, -1) if -side not in as_set]
    side = next((side for side in sides if _rises(side * slope, y.log_ratio, where)), None)
    yield Reading(
        shape=shape.subs(Z, (side or 1) * Z),
        y=y,
        normalizer=sympy.S.One,
        point="Q the point mass on the other output of the pair",
        relaxations=("generalised_link",),
        link=(side or 1) * link,
        spoiled=_both_ways(slope, y.log_ratio, where, settings or {}) if side is None else None,
    )


def _rises(slope: Expr, log_ratio: Symbol, where: Sequence[Relational]) -> bool:
    """Return whether a function with this slope is proved to increase, for all hyperparameters.

    An elementary function without cases is analytic. If its slope is nowhere negative, and positive somewhere, then it
    vanishes at isolated places only.
    """
    if slope.has(*_WITH_CASES):
        return False
    deadline = Deadline(_SECONDS)
    if decide(slope, where, deadline).status is not Status.PROVED:
        return False
    somewhere = (slope.subs(log_ratio, place) for place in _PLACES if place < 0)
    known = [relation for relation in where if log_ratio not in relation.free_symbols]
    return any(decide(value, known, deadline, strictly=True).status is Status.PROVED for value in somewhere)


def _both_ways(slope: Expr, log_ratio: Symbol, where: Sequence[Relational], settings: Mapping[Symbol, Expr]) -> Spoiled:
    """Return two log-ratios at which a link rises and falls, for links are unique; or that this is open."""
    as_set = slope.subs(dict(settings))
    others: dict[Expr, Expr] = {symbol: still(symbol) for symbol in as_set.free_symbols - {log_ratio}}
    as_set = as_set.subs(others)
    here = [relation for relation in where if relation.free_symbols == {log_ratio}]
    hints = [decide(side * as_set, here, Deadline(_SECONDS)).hint for side in (1, -1) if as_set.free_symbols]
    places = [*_PLACES, *(hint[log_ratio] for hint in hints if log_ratio in hint)]
    possible = [place for place in places if all(relation.subs(log_ratio, place) == sympy.true for relation in here)]
    signs = {sign(as_set, {log_ratio: place}): place for place in reversed(possible)}
    if 1 not in signs or -1 not in signs:
        return Spoiled(statement=f"the link g rises everywhere, g' = {slope}")
    known = [relation for relation in where if log_ratio not in relation.free_symbols]
    free = {symbol: place for symbol, place in others.items() if symbol not in settings}
    for_all = all(
        decide(side * slope.subs({**free, log_ratio: place}), known, Deadline(_SECONDS), strictly=True).status
        is Status.PROVED
        for side, place in signs.items()
        if side
    )
    return Spoiled(
        statement="r = g(log_ratio) must rise; this g rises at one log-ratio and falls at another",
        witness={"the link rises at log_ratio": str(signs[1]), "and falls at log_ratio": str(signs[-1])}
        | {str(symbol): str(place) for symbol, place in free.items()},
        guilty=f"g, of slope {slope}",
        as_set=frozenset() if for_all else frozenset(slope.free_symbols & set(settings)),
    )


def _relinked(term: Expr, one: Symbol, other: Symbol, among: Sequence[Output], links: list[Expr]) -> Expr:
    """Return the term with each difference g(one) - g(other) replaced by a multiple of `Z`; g joins the links."""
    if not term.free_symbols & {one, other}:
        return term
    if isinstance(term, Relational):
        return term.func(_relinked(term.lhs - term.rhs, one, other, among, links), 0)
    if term.is_Add:
        return _difference(term, one, other, among, links)
    if term.is_Mul and {one, other} <= term.free_symbols:
        quotient = _quotient(term, one, other, among, links)
        if quotient is not None:
            return quotient
    if term.is_Symbol or not term.args:
        raise _NoLinkError
    return term.func(*(_relinked(argument, one, other, among, links) for argument in term.args))


def _difference(term: Expr, one: Symbol, other: Symbol, among: Sequence[Output], links: list[Expr]) -> Expr:
    ones, others, rest = [], [], []
    for part in term.args:
        has_one, has_other = (symbol in part.free_symbols for symbol in (one, other))
        if has_one and has_other:
            rest.append(_relinked(part, one, other, among, links))
        else:
            (ones if has_one else others if has_other else rest).append(part)
    g = sympy.Add(*ones)
    if not ones and not others:
        return sympy.Add(*rest)
    left = swapped(g, among) + sympy.Add(*others)  # free of theta: sigmoid(t) + sigmoid(-t) is 1
    if not ones or not identically_zero(sympy.diff(left, other)):
        raise _NoLinkError
    foreign = tuple(o.length.name for o in among if o.log_ratio == other)
    return sympy.Add(_multiple(g, one, links, foreign) * Z, left.subs(other, 0), *rest)


def _quotient(term: Expr, one: Symbol, other: Symbol, among: Sequence[Output], links: list[Expr]) -> Expr | None:
    """Return a product that is f(one) / f(other) as the exponential of a multiple of `Z`, or None if it is none."""
    factors = [part for factor in term.args for part in _exponentials_apart(factor)]
    ones = sympy.Mul(*(factor for factor in factors if one in factor.free_symbols))
    others = sympy.Mul(*(factor for factor in factors if other in factor.free_symbols))
    rest = [factor for factor in factors if not factor.free_symbols & {one, other}]
    if {one, other} & (ones.free_symbols & others.free_symbols):
        return None
    if not identically_zero(swapped(ones, among) * others - 1):
        return None
    foreign = tuple(o.length.name for o in among if o.log_ratio == other)
    return sympy.Mul(*rest) * sympy.exp(_multiple(sympy.log(ones), one, links, foreign) * Z)


def _exponentials_apart(factor: Expr) -> Sequence[Expr]:
    """Return exp(a + b) as exp(a) and exp(b), which SymPy would put together again."""
    if isinstance(factor, sympy.exp):
        return [sympy.exp(part) for part in sympy.Add.make_args(sympy.expand(factor.exp))]
    return [factor]


def _multiple(g: Expr, symbol: Symbol, links: list[Expr], foreign: tuple[str, ...]) -> Expr:
    """Return k with g = k * the first link, up to a constant; the first link is g itself, of one output alone."""
    if not links:
        if any(free.name.startswith(("reference_", *foreign)) for free in g.free_symbols):
            raise _NoLinkError
        links.append(g)
        return sympy.S.One
    slopes = [sympy.diff(function, symbol) for function in (g, links[0])]
    ratio = sympy.cancel(sympy.together(slopes[0].subs(symbol, 1) / slopes[1].subs(symbol, 1)))
    if not identically_zero(slopes[0] - ratio * slopes[1]):
        raise _NoLinkError
    return ratio
