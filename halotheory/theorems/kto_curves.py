"""The curves in (beta, pi_ref(y_a)) beyond which KTO's loss, with z0 = KL, stops preferring the majority's output.

Two outputs, t = pi(y_a), q = pi_ref(y_a), k = (1 - q)/q. All is written in delta = logit t - logit q, which is the
implied reward of y_a less that of y_b, so that 1 - t = 1/(1 + exp(delta)/k). The arguments of the value function are
u_a = x = beta (1 - t) delta and u_b = -y with y = beta t delta; x + y = beta delta. The lemmas that the two margins
and their tails rest on are claims of `theorem4_kto`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sympy import Expr, Rational, Symbol, exp, tanh

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.branch import course
from halotheory.proving.enclose import sign

_PATIENCE = 5.0  # seconds for one curve's point
_RELATIVE = 4e-4  # half the width of an enclosure, of the smaller of beta and 1 - beta
_CLOSE = 1e-6
_HALVINGS, _APART = 40, Rational(1, 10**7)
_TIMES = Rational(11, 10)
_TWO_LOG_THREE = Rational(219722, 100_000)  # a little less

delta = Symbol("delta", positive=True)

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Enclosed:
    """A number that was shown to lie between two.

    Attributes:
        low: a decimal fraction below it.
        high: one above it.
    """

    low: Rational
    high: Rational

    def __str__(self) -> str:
        return f"[{_decimal(self.low)}, {_decimal(self.high)}]"

    @property
    def middle(self) -> float:
        """The number, nearly."""
        return float((self.low + self.high) / 2)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Up to which beta something holds for every delta > 0, where it holds for all smaller beta if for one.

    Attributes:
        margin: of (beta, k), in delta: it holds at a delta where this is positive, and fails where it is negative.
        excess: the same as numbers, of (beta, delta, log k): positive where it fails; increasing in beta.
        enough: of (beta, k): where this is positive, it holds for every delta.
        tail: of (beta, k), in delta: where this is positive and delta >= 1 + 1/(1 - beta), it holds from there on.
        start: of beta: it holds up to there.
    """

    margin: Callable[[Rational, Rational], Expr]
    excess: Callable[[Array, Array, float], Array]
    enough: Callable[[Rational, Rational], Expr]
    tail: Callable[[Rational, Rational], Expr]
    start: Callable[[Rational], Rational]

    def largest_beta(self, reference: Rational) -> tuple[Enclosed, Rational]:
        """Return the largest beta, enclosed, and a delta where it fails for the upper bound.

        Args:
            reference: q = pi_ref(y_a), between 0 and 1.

        Raises:
            ArithmeticError: the enclosure could not be shown.
        """
        k = (1 - reference) / reference
        near, place = self._first_failure(float(np.log(float(k))))
        found = around(near, _RELATIVE * min(near, 1 - near))
        fails_at = Rational(place).limit_denominator(10**6)
        if not self.holds(found.low, k) or sign(self.margin(found.high, k), {delta: fails_at}) != -1:
            raise ArithmeticError(f"no enclosure at pi_ref(y_a) = {reference}")
        return found, fails_at

    def holds(self, beta: Rational, k: Rational) -> bool:
        """Return whether it was shown to hold for every delta > 0; False proves nothing."""
        if sign(self.enough(beta, k)) == 1:
            return True
        end = beyond_the_peak(self.tail(beta, k), beta)
        start = self.start(beta)
        deadline = Deadline(_PATIENCE)
        return (
            start >= end
            or course(self.margin(beta, k), delta, start, end, deadline, strictly=True).status is Status.PROVED
        )

    def _first_failure(self, log_k: float) -> tuple[float, float]:
        """Return the smallest beta that fails at some delta, nearly, and that delta."""
        grid = np.geomspace(max(1e-3, log_k - 5), 60 + 2 * abs(log_k) + 700 * np.exp(-log_k), 2001)
        best = np.ones_like(grid)
        for _ in range(6):
            best = self._failures(grid, log_k)
            i = int(np.argmin(best))
            if grid[-1] - grid[0] > 1e-9 * grid[i]:
                grid = np.linspace(grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)], 401)
        i = int(np.argmin(best))
        return float(best[i]), float(grid[len(grid) // 2])

    def _failures(self, deltas: Array, log_k: float) -> Array:
        """Return, for each delta, the beta from which on it fails there, by bisection in [0, 1]."""
        low, high = np.zeros_like(deltas), np.ones_like(deltas)
        for _ in range(60):
            middle = (low + high) / 2
            fails = self.excess(middle, deltas, log_k) > 0
            low, high = np.where(fails, low, middle), np.where(fails, middle, high)
        return high


def arguments(beta: Expr, k: Expr) -> tuple[Expr, Expr]:
    """Return x = u_a and y = -u_b as expressions in delta."""
    return beta * delta / (1 + exp(delta) / k), beta * delta / (1 + k * exp(-delta))


def loss_value(beta: Expr, k: Expr) -> Expr:
    """Return f = sigmoid(u_b) - sigmoid(u_a) in delta, with z0 = KL; the loss is lambda (1 + (2p - 1) f)."""
    x, y = arguments(beta, k)
    return 1 / (1 + exp(y)) - 1 / (1 + exp(-x))


def beyond_the_peak(tail: Expr, beta: Rational) -> Rational:
    """Return a delta >= 1 + 1/(1 - beta) at which a tail, which rises from there on, is positive."""
    end = Rational(int(1 / (1 - beta)) + 2)
    while sign(tail, {delta: end}) != 1:
        end *= _TIMES
    return end


def _value_margin(beta: Expr, k: Expr) -> Expr:
    """Return what has the sign of 4 - (exp(x) - 1)(exp(y) - 1), with exp(x) - 1 = 2T/(1 - T), T = tanh(x/2)."""
    x, y = arguments(beta, k)
    return 2 * (1 - tanh(x / 2)) - tanh(x / 2) * (exp(y) - 1)


def _value_excess(beta: Array, deltas: Array, log_k: float) -> Array:
    log_x, x, y = values(beta, deltas, log_k)
    first = log_x + np.log(np.where(x > 1e-8, np.expm1(np.minimum(x, 700)) / np.maximum(x, 1e-300), 1))
    return first + y + np.log1p(-np.exp(-np.maximum(y, 1e-300))) - np.log(4)


def _fall_margin(beta: Expr, k: Expr) -> Expr:
    """Return what has the sign of sigmoid'(u_b) (delta + 1/(1 - t)) - sigmoid'(u_a) (delta - 1/t)."""
    x, y = arguments(beta, k)
    left = (1 + delta + exp(delta) / k) * exp(-y) * (2 + exp(x) + exp(-x))
    return left - (delta - 1 - k * exp(-delta)) * (1 + exp(-y)) ** 2


def _fall_excess(beta: Array, deltas: Array, log_k: float) -> Array:
    _, x, y = values(beta, deltas, log_k)
    pull = deltas - 1 - np.exp(log_k - deltas)
    left = np.logaddexp(np.log1p(deltas), deltas - log_k) + x + 2 * np.log1p(np.exp(-x))
    return np.where(pull > 0, np.log(np.maximum(pull, 1e-300)) + y + 2 * np.log1p(np.exp(-y)) - left, -1)


def values(beta: Array, deltas: Array, log_k: float) -> tuple[Array, Array, Array]:
    """Return log x, x and y at places delta, to rounding even where x is tiny."""
    log_x = np.log(np.maximum(beta * deltas, 1e-300)) - np.logaddexp(0, deltas - log_k)
    x = np.exp(log_x)
    return log_x, x, np.maximum(beta * deltas - x, 1e-300)


VALUE = Curve(
    margin=_value_margin,
    excess=_value_excess,
    enough=lambda beta, k: 4 * exp(1) * (1 - beta) - beta * k,
    tail=lambda beta, k: 4 - beta * k * delta * exp(-(1 - beta) * delta),
    start=lambda beta: _TWO_LOG_THREE / beta,
)
"""Up to which beta the indicator of y_a has the smallest loss value."""

FALL = Curve(
    margin=_fall_margin,
    excess=_fall_excess,
    enough=lambda beta, k: 4 * (1 - beta) * exp(2 - beta) - k,
    tail=lambda beta, k: 4 - k * (delta - 1) * exp(-(1 - beta) * delta),
    start=lambda beta: Rational(1),
)
"""Up to which beta the loss value falls all the way from t = q to t = 1."""


def minimiser(beta: Rational, reference: Rational) -> tuple[Enclosed, Enclosed]:
    """Return intervals of t and f: every minimiser lies in the first; a value in the second is below all outside it.

    Args:
        beta: so large that the indicator of y_a is not the minimiser.
        reference: q = pi_ref(y_a).

    Raises:
        ArithmeticError: the enclosure could not be shown, or the indicator is the minimiser.
    """
    k = (1 - reference) / reference
    best = _lowest(float(beta), float(np.log(float(k))))
    value = loss_value(beta, k)
    least = value.subs(delta, Rational(best).limit_denominator(10**9))
    if sign(least + Rational(1, 2)) != -1:
        raise ArithmeticError(f"no policy beats the indicator at beta = {beta}, pi_ref(y_a) = {reference}")
    t = 1 / (1 + float(k) * np.exp(-best))
    found = around(t, 1.5e-3 * min(t, 1 - t))
    ends = [Rational(float(np.log(float(k * s / (1 - s))))).limit_denominator(10**9) for s in (found.low, found.high)]
    if not (_inside(found, ends, k) and _above(value - least, least, beta, k, ends)):
        raise ArithmeticError(f"no minimiser enclosed at beta = {beta}, pi_ref(y_a) = {reference}")
    return found, around(float(least), 1e-9)


def _lowest(beta: float, log_k: float) -> float:
    """Return the delta at which the loss value is least, nearly."""
    grid = np.geomspace(1e-3, 60 + 2 * abs(log_k), 4001)
    for _ in range(8):
        _, x, y = values(np.full_like(grid, beta), grid, log_k)
        i = int(np.argmin(1 / (1 + np.exp(y)) - 1 / (1 + np.exp(-x))))
        grid = np.linspace(grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)], 401)
    return float(grid[len(grid) // 2])


def _inside(found: Enclosed, ends: list[Rational], k: Rational) -> bool:
    """Return whether t lies within its bounds as delta does between the ends; both are moved inwards a little."""
    margin = Rational(1, 10**6)
    ends[0], ends[1] = ends[0] + margin, ends[1] - margin
    low, high = (1 / (1 + k * exp(-end)) for end in ends)
    return sign(low - found.low) == 1 and sign(found.high - high) == 1


def _above(difference: Expr, least: Expr, beta: Rational, k: Rational, ends: list[Rational]) -> bool:
    """Return whether the loss value is above `least` for every delta > 0 that is not between the ends.

    Beyond delta = 1, f >= -1/2 - x/4 >= -1/2 - beta k delta exp(-delta)/4, which rises.
    """
    gap = -(least + Rational(1, 2))
    end = ends[1] + 1
    while sign(gap - beta * k * end * exp(-end) / 4) != 1:
        end *= _TIMES
        if end > 10**4:
            return False
    pieces = ((Rational(0), ends[0]), (ends[1], end))
    return all(
        course(difference, delta, low, high, Deadline(_PATIENCE), strictly=True).status is Status.PROVED
        for low, high in pieces
    )


def crossing(margin: Expr, low: Rational, high: Rational) -> tuple[Rational, Rational]:
    """Return two delta, close together, at which a margin is positive and then negative, by ball arithmetic.

    Args:
        margin: in delta.
        low: a delta at which it is positive.
        high: a larger one at which it is not.

    Raises:
        ArithmeticError: its signs at the two are not those.
    """
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sign(margin, {delta: middle}) == 1 else (low, middle)
    low, high = low - _APART, high + _APART
    if low <= 0 or sign(margin, {delta: low}) != 1 or sign(margin, {delta: high}) != -1:
        raise ArithmeticError(f"no crossing between delta = {float(low)} and {float(high)}")
    return low, high


def shares(ends: tuple[Rational, Rational], k: Rational) -> Enclosed:
    """Return an interval of t that holds those of two delta and all between.

    Raises:
        ArithmeticError: the two are too far apart.
    """
    t = 1 / (1 + float(k) * np.exp(-float(sum(ends)) / 2))
    found = around(t, 1e-5 * min(1, 100 * min(t, 1 - t)))
    low, high = (1 / (1 + k * exp(-end)) for end in ends)
    if sign(low - found.low) != 1 or sign(found.high - high) != 1:
        raise ArithmeticError(f"t is too wide between delta = {float(ends[0])} and {float(ends[1])}")
    return found


def enclosed(number: Expr) -> Enclosed:
    """Return decimal fractions on both sides of a closed expression, decided by ball arithmetic.

    Raises:
        ArithmeticError: its value could not be told apart from one of them.
    """
    found = around(float(number), _CLOSE * min(1, abs(float(number))))
    if sign(number - found.low) != 1 or sign(found.high - number) != 1:
        raise ArithmeticError(f"no enclosure of {number}")
    return found


def around(number: float, half: float) -> Enclosed:
    """Return decimal fractions on both sides of a number, about that far from it."""
    digits = max(0, int(np.ceil(-np.log10(half))) + 1)
    unit, middle = Rational(1, 10**digits), Rational(number)
    steps = int(half * 10**digits)
    nearest = round(middle / unit)
    return Enclosed(low=(nearest - steps) * unit, high=(nearest + steps) * unit)


def _decimal(number: Rational) -> str:
    """Return a decimal fraction as it is."""
    digits = 0
    while (number * 10**digits).q != 1:
        digits += 1
    return f"{'-' if number < 0 else ''}{_placed(abs(int(number * 10**digits)), digits)}"


def _placed(whole: int, digits: int) -> str:
    text = str(whole).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text
