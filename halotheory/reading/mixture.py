"""Losses on pairs that are the expectation of a HALO over randomly flipped labels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import sympy
from sympy import Expr, Rational

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.enclose import sign
from halotheory.proving.nonnegative import identically_zero, nonnegative
from halotheory.proving.saturation import far_slope
from halotheory.proving.shape import Z
from halotheory.proving.unknowns import OutsideError, Unknowns, reduced
from halotheory.reading.direction import conditions_of

HALF = Rational(1, 2)

_SIZES = [Rational(n, d) for n, d in ((1, 1000), (1, 20), (1, 4), (1, 2), (1, 1), (3, 2), (2, 1), (3, 1), (5, 1))]
_SIZES += [Rational(n) for n in (8, 12, 20, 40, 100, 500)]
_LARGEST_FACTOR = 1e6
_THREE = [Rational(1), Rational(-2), Rational(7, 2)]
_STEPS = [Rational(1, 1000), Rational(1, 10), Rational(1, 4)]
_SIMPLE_RATES = [Rational(n, 20) for n in (2, 4, 1, 6, 5, 8, 3, 7, 9)] + [Rational(1, 100), Rational(1, 1000)]


def parts(shape: Expr) -> tuple[Expr, ...]:
    """Return the even and the odd part of a function of z."""
    turned = shape.subs(Z, -Z)
    return tuple(sympy.expand(_oriented((shape + side * turned) / 2)) for side in (1, -1))


def _oriented(function: Expr) -> Expr:
    """Return the function with log(1 + exp(-t)) written as log(1 + exp(t)) - t, so that parts cancel exactly."""

    def turn(logarithm: Expr) -> Expr:
        rest = logarithm.args[0] - 1
        if not isinstance(rest, sympy.exp) or not rest.exp.could_extract_minus_sign():
            return logarithm
        return sympy.log(1 + sympy.exp(-rest.exp)) + rest.exp

    return function.replace(lambda part: isinstance(part, sympy.log), turn)


def clean(even: Expr, odd: Expr, rate: Expr) -> Expr:
    """Return the loss whose expectation over labels flipped at this rate has these parts.

    loss(z) = (1 - e) clean(z) + e clean(-z), so that clean is the even part plus 1 / (1 - 2e) times the odd part.
    """
    return sympy.expand(even + factor(rate) * odd)


def factor(rate: Expr) -> Expr:
    """Return k = 1 / (1 - 2e), by which flipping labels at rate e shrinks the odd part of a loss."""
    return 1 / (1 - 2 * rate)


def never_monotone(even: Expr, odd: Expr, deadline: Deadline) -> bool:
    """Return whether even + k * odd is proved to rise somewhere and fall elsewhere, for every k > 0.

    Its slope is odd' * (k + even' / odd'). If odd' does not change sign and even' / odd' is a polynomial in z without
    exponentials, which is then odd, it runs from one infinity to the other and the slope takes both signs.
    """
    if _prevails(even, odd):
        return True
    slopes = [sympy.diff(part, Z) for part in (even, odd)]
    if slopes[0] == 0 or slopes[1] == 0 or any(slope.has(sympy.Piecewise) for slope in slopes):
        return False
    if _turns_at_0(even, odd):
        return True
    if _outgrows(slopes[0], slopes[1], deadline):
        return True
    if not _is_odd_polynomial(slopes[0], slopes[1]):
        return False
    constant, odd_slope = sympy.factor_terms(sympy.together(slopes[1])).as_independent(Z, as_Add=False)
    if not constant.free_symbols and sign(constant) not in (1, -1):
        return False
    odd_slope = odd_slope if not constant.free_symbols else slopes[1]
    return any(nonnegative(side * odd_slope, [], deadline, strictly=True).status is Status.PROVED for side in (1, -1))


def _prevails(even: Expr, odd: Expr) -> bool:
    """Return whether far out odd' fades and even' does not: then the sum rises on one side and falls on the other."""
    if (even.free_symbols | odd.free_symbols) != {Z}:
        return False
    slope = far_slope(even)
    if slope is None or not (slope.is_infinite or sign(slope) in (1, -1)):
        return False
    return far_slope(even.subs(Z, -Z)) == slope and far_slope(odd) == 0


def _turns_at_0(even: Expr, odd: Expr) -> bool:
    """Return whether near 0 the slope of even + k * odd is even''(0) z, whatever k is: it changes sign there.

    So it is where both are twice continuously differentiable, odd'(0) = 0 and even''(0) is not.
    """
    if any(part.has(sympy.Abs, sympy.sign) or not _whole_powers(part) for part in (even, odd)):
        return False
    return identically_zero(sympy.diff(odd, Z).subs(Z, 0)) and sign(sympy.diff(even, Z, 2).subs(Z, 0)) in (1, -1)


def _whole_powers(function: Expr) -> bool:
    """Return whether no power of what varies may be broken, so that the function is analytic where it is finite."""
    return all(power.exp.is_Integer or Z not in power.base.free_symbols for power in function.atoms(sympy.Pow))


def _is_odd_polynomial(even_slope: Expr, odd_slope: Expr) -> bool:
    """Return whether even' / odd' cancels to a polynomial in z with a leading coefficient that cannot vanish."""
    unknowns = Unknowns([even_slope, odd_slope])
    try:
        one, other = (unknowns.quotient(slope) for slope in (even_slope, odd_slope))
    except OutsideError:
        return False
    if other.top == 0:
        return False
    ratio = reduced(one.top * other.bottom, one.bottom * other.top)
    place = next((i for i, unknown in enumerate(unknowns.all) if unknown.meaning == Z), None)
    strange = [i for i, unknown in enumerate(unknowns.all) if unknown.kind not in {"symbol", "constant"}]
    used = [max(int(n), int(m)) for n, m in zip(ratio.top.degrees(), ratio.bottom.degrees(), strict=True)]
    if place is None or any(used[i] for i in strange) or int(ratio.bottom.degrees()[place]):
        return False
    degree = int(ratio.top.degrees()[place])
    leading = [powers for powers, _ in ratio.top.terms() if int(powers[place]) == degree]
    return degree > 0 and len(leading) == 1


def _outgrows(even_slope: Expr, odd_slope: Expr, deadline: Deadline) -> bool:
    """Return whether |even'| is proved to grow at least like z / 1000, and odd' to be bounded: the former wins."""
    if even_slope.free_symbols != {Z} or odd_slope.free_symbols - {Z}:
        return False
    far = [sympy.StrictGreaterThan(Z, 10)]
    grows = any(nonnegative(side * even_slope - Z / 1000, far, deadline).status is Status.PROVED for side in (1, -1))
    bounds = (1000 - odd_slope, 1000 + odd_slope)
    return grows and all(nonnegative(bound, far, deadline).status is Status.PROVED for bound in bounds)


def swapped_pairs(shape: Expr) -> Expr | None:
    """Return the clean loss of an even function that is written as f(z)/2 + f(-z)/2: labels flipped at rate 1/2."""
    left = [part for part in sympy.Add.make_args(sympy.expand(shape)) if Z in part.free_symbols]
    half = []
    while left:
        part = left.pop()
        other = sympy.expand(part.subs(Z, -Z))
        if other == part or other not in left:
            return None
        left.remove(other)
        half.append(part)
    return 2 * sympy.Add(*half)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """At which rates of flipped labels the clean loss may be a HALO.

    Attributes:
        refuted: whether none is possible, as exact evaluations show.
        candidates: rates to try, where some seem possible.
    """

    refuted: bool
    candidates: Sequence[Expr] = ()


@dataclass(frozen=True, kw_only=True)
class _Demand:
    """even + k * odd >= 0 for a combination of their values: a bound on k."""

    weights: Mapping[Rational, Rational]
    bound: float
    below: bool  # whether it bounds k from below


def possible_rates(
    even: Expr, odd: Expr, hyperparameters: Sequence[Expr], deadline: Deadline, *, either_output: bool = True
) -> Rates:
    """Return at which rates in (0, 1/2) the clean loss even + k * odd, k = 1 / (1 - 2e) > 1, may be a HALO.

    A monotone loss of the margin is one if, falling, it is convex on z > 0 or concave on z < 0; rising, the mirror
    image. Every such demand at fixed points is linear in k, so that two of them that contradict each other refute
    all rates; each is evaluated in ball arithmetic.

    Args:
        even: the even part of the loss at the hyperparameters as set.
        odd: its odd part, alike.
        hyperparameters: values that may be the rate.
        deadline: what is left of the time of the check.
        either_output: whether v may be read from the other side; if not, only the shape on z > 0 counts.
    """
    values = _values(even, odd, [*_SIZES, *_near_seams(even + odd)])
    refuted, candidates = [], []
    for falling in (True, False):
        monotone = list(_monotone(values, falling=falling))
        for gains in (True, False)[: 1 + either_output]:
            demands = [*monotone, *_curved(values, falling=falling, gains=gains)]
            lower = max((d for d in demands if d.below), key=lambda d: d.bound, default=None)
            upper = min((d for d in demands if not d.below), key=lambda d: d.bound, default=None)
            low, high = lower.bound if lower else 1.0, upper.bound if upper else math.inf
            if high < max(low, 1.0):
                refuted.append(_contradiction(even, odd, lower, upper))
                candidates += [] if refuted[-1] else _at_factor(high)
            else:
                refuted.append(False)
                candidates += _within(low, high, hyperparameters)
        if deadline.left() == 0:
            return Rates(refuted=False)
    return Rates(refuted=all(refuted), candidates=list(dict.fromkeys(candidates)))


def _within(low: float, high: float, hyperparameters: Sequence[Expr]) -> Iterator[Expr]:
    """Yield simple rates whose factor 1 / (1 - 2e) lies in the interval."""
    ends = [rate for end in (low, high) for rate in _at_factor(end)]
    tried = 0
    for rate in [*(value for value in hyperparameters if 0 < value < HALF), *_SIMPLE_RATES, *ends]:
        if low - 1e-9 <= float(factor(rate)) <= high + 1e-9 and tried < 3:
            tried += 1
            yield rate


def _near_seams(function: Expr) -> list[Rational]:
    """Return sizes of z at and beside the places where the conditions of a function change, if these are numbers."""
    found = []
    for atom in conditions_of(function):
        difference = sympy.expand(atom.lhs - atom.rhs)
        slope = sympy.diff(difference, Z)
        place = abs(sympy.cancel(Z - difference / slope)) if slope.is_Rational and slope != 0 else None
        if place is not None and place.is_Rational:
            found += [abs(place + side * step) for step in (0, *_STEPS) for side in (1, -1)]
    return [size for size in found if size != 0]


def _at_factor(factor: float) -> list[Expr]:
    """Return the rate whose factor 1 / (1 - 2e) is the simple number near this one, if it is a rate."""
    if not 1 < factor < _LARGEST_FACTOR:
        return []
    return [(1 - 1 / Rational(Fraction(factor).limit_denominator(1000))) / 2]


def _values(even: Expr, odd: Expr, sizes: Sequence[Rational]) -> list[tuple[Rational, float, float]]:
    """Return both parts at places in order, in floats; places at which they are no numbers are left out."""
    places = sorted({*sizes, Rational(0), *(-size for size in sizes)})
    functions = [sympy.lambdify(Z, part, modules="math") for part in (even, odd)]
    found = []
    for place in places:
        try:
            one, other = (float(function(float(place))) for function in functions)
        except (ArithmeticError, ValueError, TypeError):
            continue
        if np.isfinite(one) and np.isfinite(other):
            found.append((place, one, other))
    return found


def _monotone(values: Sequence[tuple[Rational, float, float]], *, falling: bool) -> Iterator[_Demand]:
    side = 1 if falling else -1
    for (z1, e1, o1), (z2, e2, o2) in [*pairwise(values), *combinations(values[::4], 2)]:
        yield from _demand({z1: Rational(side), z2: Rational(-side)}, side * (e1 - e2), side * (o1 - o2))


def _curved(values: Sequence[tuple[Rational, float, float]], *, falling: bool, gains: bool) -> Iterator[_Demand]:
    """Yield the demands of convexity (falling on gains, rising on losses) or concavity, for neighbouring places."""
    side = 1 if falling == gains else -1
    there = [value for value in values if (value[0] > 0) == gains and value[0] != 0]
    for (z1, e1, o1), (z2, e2, o2), (z3, e3, o3) in zip(there, there[1:], there[2:], strict=False):
        share = (z3 - z2) / (z3 - z1)
        f = float(share)
        combination = {z1: side * share, z2: Rational(-side), z3: side * (1 - share)}
        yield from _demand(combination, side * (f * e1 + (1 - f) * e3 - e2), side * (f * o1 + (1 - f) * o3 - o2))


def _demand(weights: Mapping[Rational, Rational], even: float, odd: float) -> Iterator[_Demand]:
    """Yield the bound on k of even + k * odd >= 0, where the floats tell which it is."""
    if abs(odd) > 1e-9 * max(1.0, abs(even)):
        yield _Demand(weights=weights, bound=-even / odd, below=odd > 0)
    elif even < -1e-9:
        yield _Demand(weights=weights, bound=-math.inf, below=False)


def _contradiction(even: Expr, odd: Expr, lower: _Demand | None, upper: _Demand | None) -> bool:
    """Return whether two demands are proved to leave no k > 1."""
    assert upper is not None
    e_up, o_up = (_combined(part, upper.weights) for part in (even, odd))
    if sign(e_up + o_up) == -1 and sign(o_up) in (0, -1):
        return True  # broken at k = 1, and the more so beyond
    if lower is None or sign(o_up) != -1:
        return False
    e_low, o_low = (_combined(part, lower.weights) for part in (even, odd))
    # k >= -e_low / o_low and k <= e_up / -o_up leave nothing where e_up * o_low - e_low * o_up < 0
    return sign(o_low) == 1 and sign(e_up * o_low - e_low * o_up) == -1


def _combined(part: Expr, weights: Mapping[Rational, Rational]) -> Expr:
    return sympy.Add(*(weight * part.subs(Z, place) for place, weight in weights.items()))


def labelled_rates(terms: Sequence[Expr], hyperparameters: Sequence[Expr], *, mirrored: bool) -> Rates:
    """Return at which rates the clean terms of two labels may be one value function up to sign, weight and constant.

    The clean terms are s + k d and s - k d, with s half the sum and d half the difference of the terms. That their
    increments from z = 0 are in one ratio at three places makes two quadratic equations in k; where their resultant
    is not 0 they have no common root, and no rate is possible.

    Args:
        terms: of the two labels, at the hyperparameters as set.
        hyperparameters: values that may be the rate.
        mirrored: whether the second clean term is compared at -z.
    """
    total, difference = ((terms[0] + side * terms[1]) / 2 for side in (1, -1))
    if not mirrored:  # the equations are k (s1 d2 - s2 d1) = 0
        (s1, d1, *_), *others = [_increments(total, difference, place, mirrored=False) for place in _THREE]
        return Rates(refuted=any(sign(s1 * d2 - s2 * d1) in (1, -1) for s2, d2, *_ in others))
    rows = [_increments(total, difference, place, mirrored=mirrored) for place in _THREE]
    first, second = (_quadratic(rows[0], row) for row in rows[1:])
    if _no_root(first) or _no_root(second) or sign(_resultant(first, second)) in (1, -1):
        return Rates(refuted=True)
    fitting = [rate for rate in [*hyperparameters, *_SIMPLE_RATES] if 0 < rate < HALF and _roots(first, second, rate)]
    return Rates(refuted=False, candidates=list(dict.fromkeys(fitting))[:3])


def _increments(total: Expr, difference: Expr, place: Expr, *, mirrored: bool) -> tuple[Expr, ...]:
    """Return s and d at a place less their values at 0, and the same where the second label is compared."""
    there = -place if mirrored else place
    return tuple(part.subs(Z, z) - part.subs(Z, 0) for z in (place, there) for part in (total, difference))


def _quadratic(one: tuple[Expr, ...], other: tuple[Expr, ...]) -> tuple[Expr, Expr, Expr]:
    """Return the coefficients in k of (s1 + k d1)(s2' - k d2') - (s2 + k d2)(s1' - k d1')."""
    s1, d1, s1_, d1_ = one
    s2, d2, s2_, d2_ = other
    return -d1 * d2_ + d2 * d1_, d1 * s2_ - s1 * d2_ - d2 * s1_ + s2 * d1_, s1 * s2_ - s2 * s1_


def _no_root(quadratic: tuple[Expr, Expr, Expr]) -> bool:
    """Return whether a k^2 + b k + c is proved to have no root k > 1: in t = k - 1 its coefficients have one sign."""
    a, b, c = quadratic
    sides = {0 if identically_zero(value) else sign(value) for value in (a, 2 * a + b, a + b + c)}
    return sides in ({1}, {-1}, {0, 1}, {0, -1})


def never_concave(even: Expr, odd: Expr) -> bool:
    """Return whether no even + k * odd, k > 0, turned so that it rises at 0, is concave just above 0.

    Where both parts are smooth there, odd''(0) = 0: the bend at 0+ is even''(0) whatever k is.
    """
    if even.has(sympy.Piecewise) or odd.has(sympy.Piecewise):
        return False
    slope, bend = sign(sympy.diff(odd, Z).subs(Z, 0)), sign(sympy.diff(even, Z, 2).subs(Z, 0))
    return slope is not None and bend is not None and slope * bend == 1


def _resultant(one: tuple[Expr, Expr, Expr], other: tuple[Expr, Expr, Expr]) -> Expr:
    (a1, b1, c1), (a2, b2, c2) = one, other
    return (a1 * c2 - a2 * c1) ** 2 - (a1 * b2 - a2 * b1) * (b1 * c2 - b2 * c1)


def _roots(one: tuple[Expr, Expr, Expr], other: tuple[Expr, Expr, Expr], rate: Expr) -> bool:
    """Return whether both equations hold in floats at the factor of this rate."""
    k = factor(rate)
    return all(abs(float(a * k**2 + b * k + c)) < 1e-9 for a, b, c in (one, other))
