"""Losses whose reference point is a clamped estimate of E_Q[r]."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations, product

import sympy
from sympy import Dummy, Expr, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.nonnegative import identically_zero, nonnegative
from halotheory.proving.shape import Z
from halotheory.reading.direction import Direction, branches, conditions_of, linear_forms, tidied
from halotheory.reading.outputs import Output, moving
from halotheory.reading.reference import Reading, Spoiled, readings

_MOST_CONDITIONS = 3
_SECONDS = 0.3
_MEAN, _LATER = Dummy("mean", real=True), Dummy("later", real=True)  # E_Q[r], and a higher one


def estimated_readings(
    term: Expr, y: Output, among: Sequence[Output], *, kl: bool, domains: Sequence[Relational] = ()
) -> Iterator[Reading]:
    """Yield the ways to read the term as a function of z with a reference point that is clamped.

    The term is split by the conditions that change when all rewards are raised alike: these are the clamp's, on
    E_Q[r]. Where the clamp is idle the term must be a function F of z; where it holds, F of the reward minus a bound.
    The reference point must not fall where E_Q[r] rises, as it does where the bounds of a clamp are exchanged.

    Args:
        term: by value, in log-ratios.
        y: the output that is judged.
        among: every output of the batch.
        kl: whether the loss is given the reference point.
        domains: what is known of the hyperparameters.
    """
    symbols = moving(among, kl=kl)
    conditions = _clamps(term, symbols)
    if not 0 < len(conditions) <= _MOST_CONDITIONS:
        return
    context = {symbol for output in among for symbol in (output.reference, output.length)}
    on_bounds = [one for one in conditions_of(term) if not one.free_symbols & {*symbols, *context, Z}]
    idle, held = [], []
    for case in _cases_of(conditions + on_bounds[:_MOST_CONDITIONS]):
        if _possible(_told(case)):
            part = tidied(term.xreplace(case | {one.negated: ~truth for one, truth in case.items()}))
            own_only = not (part.free_symbols & set(symbols)) - {y.log_ratio}
            (held if own_only else idle).append((case, part))
    if not idle or not held:
        return
    for first in readings(idle[0][1], y, among, kl=kl):
        if not all(_also(part, first, y, among, kl=kl) for _, part in idle[1:]):
            continue
        bounds = {condition: _bound(condition, first, symbols) for condition in conditions}
        if None in bounds.values():
            continue
        told = {condition: bound for condition, bound in bounds.items() if bound is not None}
        estimates = [_Estimate(where=_on_expectation(case, told), value=_MEAN) for case, _ in idle]
        for case, part in held:
            at = next((bound for bound, _ in told.values() if _shifted(part, first, y, bound)), None)
            if at is None:
                break
            estimates.append(_Estimate(where=_on_expectation(case, told), value=at))
        else:
            yield replace(
                first,
                point=f"a clamped estimate of E_Q[r], {first.point}",
                relaxations=("estimated_reference_point",),
                spoiled=_falls(estimates, domains),
            )


@dataclass(frozen=True, kw_only=True)
class _Estimate:
    """The reference point where some conditions on E_Q[r] hold.

    Attributes:
        where: the conditions, on `_MEAN`.
        value: `_MEAN` where the clamp is idle, a bound where it holds.
    """

    where: Sequence[Relational]
    value: Expr


def _falls(estimates: Sequence[_Estimate], domains: Sequence[Relational]) -> Spoiled | None:
    """Return why the reference point may fall where E_Q[r] rises, or may never be E_Q[r]; None where neither is so."""
    idle = [estimate for estimate in estimates if estimate.value == _MEAN]
    bounded = {symbol for estimate in estimates for relation in estimate.where for symbol in relation.free_symbols}
    if bounded - {_MEAN} and not any(_always_possible(estimate, domains) for estimate in idle):
        return Spoiled(statement="the clamp's lower bound is below its upper one, for all hyperparameters")
    for one, other in permutations(estimates, 2):
        later = [relation.xreplace({_MEAN: _LATER}) for relation in other.where]
        where = [*domains, *one.where, *later, sympy.StrictLessThan(_MEAN, _LATER)]
        rise = other.value.xreplace({_MEAN: _LATER}) - one.value
        if nonnegative(rise, where, Deadline(_SECONDS)).status is Status.PROVED:
            continue
        return _seen_falling(estimates) or Spoiled(statement="the reference point does not fall where E_Q[r] rises")
    return None


def _always_possible(estimate: _Estimate, domains: Sequence[Relational]) -> bool:
    """Return whether some E_Q[r] meets the conditions, strictly, whatever the hyperparameters are."""
    upwards = (sympy.GreaterThan, sympy.StrictGreaterThan)
    ours = [relation for relation in estimate.where if relation.lhs == _MEAN]
    above = [relation.rhs for relation in ours if isinstance(relation, upwards)]
    below = [relation.rhs for relation in ours if not isinstance(relation, upwards)]
    gaps = [high - low for low, high in product(above, below)]
    gaps += [relation.gts - relation.lts for relation in estimate.where if relation not in ours]
    return all(nonnegative(gap, domains, Deadline(_SECONDS), strictly=True).status is Status.PROVED for gap in gaps)


def _seen_falling(estimates: Sequence[_Estimate]) -> Spoiled | None:
    """Return two values of E_Q[r] of which the higher has the lower reference point, where the bounds are numbers."""
    ends = sorted({relation.rhs for estimate in estimates for relation in estimate.where if relation.rhs.is_Rational})
    if not ends:
        return None
    places = sorted({*ends, *(end + side for end in ends for side in (-1, 1)), (ends[0] + ends[-1]) / 2})
    seen = []
    for place in places:
        here = [e for e in estimates if all(relation.subs(_MEAN, place) == sympy.true for relation in e.where)]
        seen += [(place, estimate.value.subs(_MEAN, place)) for estimate in here]
    for (m1, z1), (m2, z2) in combinations(seen, 2):
        if m1 < m2 and z1.is_Rational and z2.is_Rational and z1 > z2:
            return Spoiled(
                statement="the reference point falls where E_Q[r] rises: no clamp, its bounds are exchanged",
                witness={"E_Q[r]": f"{m1} -> {m2}", "reference point": f"{z1} -> {z2}"},
                guilty="the choice of the reference point",
            )
    return None


def _clamps(term: Expr, symbols: Sequence[Symbol]) -> list[Relational]:
    """Return the conditions that raising all rewards alike may change, one of each and its opposite."""
    found = [condition for condition in conditions_of(term) if _shift(condition, symbols)]
    return [condition for i, condition in enumerate(found) if condition.negated not in found[:i]]


def _cases_of(conditions: Sequence[Relational]) -> Iterator[dict[Relational, Expr]]:
    choices = product((sympy.true, sympy.false), repeat=len(conditions))
    return (dict(zip(conditions, truths, strict=True)) for truths in choices)


def _shift(condition: Relational, symbols: Sequence[Symbol]) -> bool:
    if not condition.free_symbols & set(symbols):
        return False
    forms = list(linear_forms(condition.lhs - condition.rhs, frozenset(symbols)))
    return len(forms) == 1 and sympy.cancel(sympy.Add(*forms[0].values())) != 0


def _told(case: Mapping[Relational, Expr]) -> list[Relational]:
    return [condition if truth == sympy.true else condition.negated for condition, truth in case.items()]


def _possible(told: Sequence[Relational]) -> bool:
    """Return whether conditions may hold together on more than the border of another case."""
    strict = {sympy.LessThan: sympy.StrictLessThan, sympy.GreaterThan: sympy.StrictGreaterThan}
    where = [strict.get(condition.func, condition.func)(*condition.args, evaluate=False) for condition in told]
    return nonnegative(sympy.S.NegativeOne, where, Deadline(_SECONDS), thorough=False).status is not Status.PROVED


def _bound(condition: Relational, first: Reading, symbols: Sequence[Symbol]) -> tuple[Expr, int] | None:
    """Return b and s where the condition compares s * (E_Q[r] - b) with 0; None where it compares another sum."""
    difference = condition.lhs - condition.rhs
    form: Direction = next(linear_forms(difference, frozenset(symbols)))
    if set(form) != set(first.expected):
        return None
    ratios = {sympy.cancel(sympy.together(value / first.expected[symbol])) for symbol, value in form.items()}
    factor = ratios.pop()
    if ratios or not (factor.is_positive or factor.is_negative):
        return None
    rest = tidied(difference.xreplace(dict.fromkeys(symbols, sympy.S.Zero)))
    return sympy.cancel(-rest / factor), 1 if factor.is_positive else -1


def _on_expectation(case: Mapping[Relational, Expr], bounds: Mapping[Relational, tuple[Expr, int]]) -> list[Relational]:
    """Return what a case says of E_Q[r], as conditions on `_MEAN`, and of the bounds."""
    found = []
    for condition, told in zip(case, _told(case), strict=True):
        if condition not in bounds:
            found.append(told)
            continue
        bound, side = bounds[condition]
        found.append((told if side == 1 else told.reversed).func(_MEAN, bound, evaluate=False))
    return found


def _also(part: Expr, first: Reading, y: Output, among: Sequence[Output], *, kl: bool) -> bool:
    return any(
        other.normalizer == first.normalizer and same(other.shape, first.shape)
        for other in readings(part, y, among, kl=kl)
    )


def _shifted(part: Expr, first: Reading, y: Output, bound: Expr) -> bool:
    """Return whether the part is F(r - bound), with r = l * log-ratio."""
    at_bound = part.xreplace({y.log_ratio: (Z + bound * first.normalizer) / first.normalizer})
    return same(tidied(at_bound), first.shape)


def same(one: Expr, other: Expr) -> bool:
    """Return whether two functions of `Z` are shown to differ by a constant; False proves nothing."""
    difference = tidied(one - other)
    if Z not in difference.free_symbols:
        return True
    parts = list(branches(difference))
    if not parts or not all(identically_zero(sympy.diff(part, Z)) for part in parts):
        return False
    at_0 = [part.subs(Z, 0) for part in parts]
    return all(identically_zero(value - at_0[0]) for value in at_0[1:])
