"""Branch and bound: narrow features are found, touching zeros settled, and nothing undefined is proved."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import sympy
from sympy import Expr, Rational, atan, erf, exp, log, sqrt, tanh

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.branch import course, simplest
from halotheory.proving.enclose import sign

z = sympy.Symbol("z", real=True)
logistic, softplus = 1 / (1 + exp(-z)), log(1 + exp(z))
P, R, U = Status.PROVED, Status.REFUTED, Status.UNDECIDED
ZERO = sympy.S.Zero


def slope(function: Expr) -> Expr:
    return sympy.diff(function, z)


def bend(function: Expr) -> Expr:
    return -sympy.diff(function, z, 2)


@pytest.mark.parametrize(
    ("function", "low", "status"),
    [
        (slope(logistic), None, P),
        (bend(logistic), ZERO, P),
        (bend(logistic), None, R),
        (softplus - z, None, P),
        (slope(log(1 + softplus)), None, P),
        (slope(z * tanh(softplus)), ZERO, P),  # mish among gains
        (slope(z * tanh(softplus)), None, R),
        (slope(z * (1 + erf(z / sqrt(2))) / 2), None, R),  # gelu
        (slope(tanh(2 * z) + 3 * log(1 + exp(z / 3))), None, P),
        (bend(z ** Rational(22, 25)), ZERO, P),
        (bend(atan(z)), ZERO, P),
        ((z - Rational(1, 3)) ** 2 * exp(z), None, P),  # touches 0
        ((exp(z) - 2) ** 2, None, P),  # touches 0 at log 2
        (exp(z) - 1 - z, None, P),
        (z - tanh(z), ZERO, P),
        (z / (exp(z) - 1), None, U),  # no value at 0
        (log(z), None, U),
        (1 / z**2, None, U),
    ],
)
def test_textbook_inequalities(function: Expr, low: Expr | None, status: Status) -> None:
    assert course(function, z, low, None, Deadline(20)).status is status


@pytest.mark.parametrize("place", [Rational(37), Rational(2469, 2), Rational(-211, 3)])
@pytest.mark.parametrize(
    "dip",
    [
        lambda u: exp(-(u**2)),
        lambda u: 1 / (1 + u**2),
        lambda u: 1 / (1 + exp(-u)),
    ],
)
def test_dips_of_width_a_thousandth_are_found_where_they_are(dip: Callable[[Expr], Expr], place: Rational) -> None:
    steep = slope(z / 10 - dip(1000 * (z - place)) / 1000)
    found = course(steep, z, None, None, Deadline(20))
    assert found.status is R
    assert found.negative is not None
    assert sign(steep, {z: (found.negative[0] + found.negative[1]) / 2}) == -1
    assert abs(found.negative[0] - place) < 1
    shallow = slope(z * 10 - dip(1000 * (z - place)) / 1000)
    assert course(shallow, z, None, None, Deadline(20)).status is P


def test_a_refuting_interval_lies_in_the_range() -> None:
    for low, high in ((Rational(100), None), (None, Rational(-100)), (Rational(3), Rational(7, 2))):
        found = course(-1 - z**2, z, low, high, Deadline(20)).negative
        assert found is not None
        assert low is None or found[0] >= low
        assert high is None or found[1] <= high


def test_strictly_positive_is_more_than_touching() -> None:
    assert course((z - 1) ** 2, z, None, None, Deadline(20), strictly=True).status is not P
    assert course((z - 1) ** 2 + Rational(1, 10**6), z, None, None, Deadline(20), strictly=True).status is P


def test_no_time_left_is_undecided() -> None:
    assert course(z**2 + exp(z) - z, z, None, None, Deadline(0)).status is not R


@pytest.mark.parametrize(
    ("low", "high", "simple"),
    [("-1", "1", "0"), ("0.3", "0.34", "1/3"), ("-0.34", "-0.3", "-1/3"), ("1.9", "2.5", "2")],
)
def test_the_simplest_number_between_two(low: str, high: str, simple: str) -> None:
    assert simplest(Fraction(low), Fraction(high)) == Fraction(simple)
