"""Which output is y, and which distribution Q carries the reference point: z = r(y) - E_Q[r]."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sympy
from sympy import Expr, Symbol

from halotheory.proving.shape import Z
from halotheory.reading.direction import Direction, along, directions
from halotheory.reading.outputs import KL, Output, moving

Normaliser = Callable[[Output], Expr]
"""l(y), from an output."""


@dataclass(frozen=True, kw_only=True)
class Spoiled:
    """Why a reading that fits in form is none, or is open.

    Attributes:
        statement: what fails, or is open.
        witness: the counterexample; None where it is open.
        guilty: the part that fails.
        as_set: the hyperparameters whose values the counterexample needs.
    """

    statement: str
    witness: Mapping[str, str] | None = None
    guilty: str | None = None
    as_set: frozenset[Symbol] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A term read as a function of z.

    Attributes:
        shape: the term as a function of `Z`.
        y: the output whose reward is judged.
        normalizer: l(y).
        point: E_Q[r], with Q named.
        own_included: whether Q gives y itself a weight.
        expected: the coefficients of E_Q[r].
        relaxations: what the reading needs.
        link: the increasing function of the log-ratio that r is, in place of l times the log-ratio.
        spoiled: why the reading fails or is open, if it does or is.
    """

    shape: Expr
    y: Output
    normalizer: Expr
    point: str
    own_included: bool = False
    expected: Direction = field(default_factory=dict)
    relaxations: tuple[str, ...] = ()
    link: Expr | None = None
    spoiled: Spoiled | None = None


def readings(term: Expr, y: Output, among: Sequence[Output], *, kl: bool) -> Iterator[Reading]:
    """Yield the ways in which the term is a function of z = l(y) * log-ratio - E_Q[l * log-ratio].

    Q is the point mass on the other output of a pair, the policy (the given kl), or a distribution over the outputs
    of the batch; its weights are positive and sum to one.

    Args:
        term: by value, in log-ratios.
        y: the output that is judged.
        among: every output of the batch.
        kl: whether the loss is given the reference point.
    """
    symbols = moving(among, kl=kl)
    if not term.free_symbols & set(symbols):
        yield Reading(shape=term, y=y, normalizer=sympy.S.One, point="any Q")
        return
    if y.log_ratio not in term.free_symbols:
        return
    seen: list[Direction] = []
    for direction in directions(term, symbols, _usual(y, among, kl=kl)):
        for normaliser, own_included, z in _differences(direction, y, among):
            if z in seen:
                continue
            seen.append(z)
            shape = along(term, z, Z)
            if shape is not None and not shape.free_symbols & set(symbols):
                yield Reading(
                    shape=shape,
                    y=y,
                    normalizer=normaliser,
                    point=_named(z, y, among),
                    own_included=own_included,
                    expected=_expected(z, normaliser, y),
                )


def _expected(z: Direction, normaliser: Expr, y: Output) -> Direction:
    """Return the coefficients of E_Q[r] = r - z."""
    own = sympy.cancel(normaliser - z[y.log_ratio])
    others = {symbol: -value for symbol, value in z.items() if symbol != y.log_ratio}
    return others | ({y.log_ratio: own} if own != 0 else {})


def _usual(y: Output, among: Sequence[Output], *, kl: bool) -> list[Direction]:
    if kl:
        return [{y.log_ratio: sympy.S.One, KL: sympy.S.NegativeOne}]
    others = [output for output in among if output is not y]
    total = sum(other.count for other in others)
    lengths: list[Normaliser] = [lambda _: sympy.S.One, lambda output: 1 / output.length]
    return [
        {y.log_ratio: l(y), **{other.log_ratio: -l(other) * other.count / total for other in others}}
        for l in lengths  # noqa: E741 - the paper's letter
        if others
    ]


def _differences(direction: Direction, y: Output, among: Sequence[Output]) -> Iterator[tuple[Expr, bool, Direction]]:
    """Yield l(y), whether Q includes y, and the coefficients of z, for what is a reward minus its expectation."""
    own = direction.get(y.log_ratio)
    if own is None:
        return
    if KL in direction:
        if set(direction) == {y.log_ratio, KL} and _cancels(own + direction[KL]):
            yield sympy.S.One, False, {y.log_ratio: sympy.S.One, KL: sympy.S.NegativeOne}
        return
    others = [output for output in among if output.log_ratio in direction and output is not y]
    for l in _normalisers(own, y, among):  # noqa: E741
        scale = own / l(y)
        weights = {
            other: sympy.cancel(sympy.together(-direction[other.log_ratio] / l(other) / scale)) for other in others
        }
        proper = weights and all(weight.is_positive for weight in weights.values())
        if not proper or not _cancels(sympy.Add(*weights.values()) - 1):
            continue
        each = {weight / other.count for other, weight in weights.items()}
        if len(each) == 1 and any(not other.own for other in others):
            weight = each.pop()  # Q gives y the same weight as the others
            yield l(y), True, _coefficients(l, y, weights, 1 / (1 + weight))
        yield l(y), False, _coefficients(l, y, weights, sympy.S.One)


def _coefficients(l: Normaliser, y: Output, weights: dict[Output, Expr], unit: Expr) -> Direction:  # noqa: E741
    """Return the coefficients of z; `unit` is what Q leaves of the reward of y."""
    return {y.log_ratio: unit * l(y), **{o.log_ratio: -unit * weight * l(o) for o, weight in weights.items()}}


def _normalisers(own: Expr, y: Output, among: Sequence[Output]) -> Iterator[Normaliser]:
    yield lambda _: sympy.S.One
    lengths = {output.length for output in among} & own.free_symbols
    if lengths:
        yield lambda output: 1 / output.length
        yield lambda output: output.length
    size = own if own.is_positive else -own
    if lengths == {y.length} and size.is_positive:  # l > 0: with l < 0, v would be judged on the losses
        yield lambda output: size.xreplace({y.length: output.length})


def _named(z: Direction, y: Output, among: Sequence[Output]) -> str:
    if KL in z:
        return "kl = E_Q[log_ratio], Q the policy"
    others = [output for output in among if output.log_ratio in z and output is not y]
    if len(others) == 1 and others[0].own:
        return "Q the point mass on the other output of the pair"
    if len(others) == len(among) - 1:
        return "Q the empirical distribution of the batch"
    return "Q an empirical distribution of part of the batch"


def _cancels(expression: Expr) -> bool:
    return sympy.cancel(sympy.together(expression)) == 0
