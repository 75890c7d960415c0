"""How much loss neutrality the value of KTO's loss needs where z0 = KL is part of it: two outputs."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
from sympy import E, Expr, Integer, Rational, diff, exp, symbols, tanh

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.branch import course
from halotheory.proving.enclose import sign
from halotheory.theorems.claims import Boundary, Claim, at_least, claim, equal, given, more_than
from halotheory.theorems.kto_curves import Enclosed, arguments, around, beyond_the_peak, delta, values
from halotheory.theorems.kto_loss import weights

_PATIENCE, _RELATIVE, _GRID = 5.0, 1e-4, 10**5

beta, p, ratio, k, v, x, y = symbols("beta p rho k v x y", positive=True)
A, B, S, kappa = symbols("A B S kappa", positive=True)
M, N, sa, sb = symbols("M N s_a s_b", nonnegative=True)

ZERO, HALF = Integer(0), Rational(1, 2)
MAJORITY = [p > HALF, p < 1]
FRACTIONS = ("11/20", "3/5", "3/4", "9/10")
PLACES = tuple(
    (strength, reference)
    for strength in ("1/10", "1/2", "9/10")
    for reference in ("1/1000000", "1/1000", "1/10", "1/2", "9/10")
)

READING = "z0 = KL(pi || pi_ref) is part of the loss value, whether or not gradients flow through it."
TWO_OUTPUTS = ("two outputs", "1/2 < p < 1", "0 < pi_ref(y_a|x) < 1", "beta > 0")
SPLIT = given(
    "delta = logit t - logit q, u_a = beta (1 - t) delta = x, u_b = -beta t delta = -y. The indicator's loss over "
    "lambda_U has -A/2 for the part that moves; G = B sigmoid(u_b) - A (sigmoid(u_a) - 1/2) is what another has more."
)


def below_the_interval() -> Claim:
    """Return the claim that a small lambda_D does no harm to the loss value."""
    return claim(
        "optimum_with_kl_and_small_weight",
        "With lambda_D/lambda_U <= (1 - p)/p, the indicator of y_a is the only minimiser of the loss, for every beta "
        "and pi_ref: the interval has no lower end.",
        [
            SPLIT,
            given("A = -M <= 0, and B - M = A + B > 0 (enough_with_a_constant)."),
            more_than("B = p - (1 - p) rho is positive.", weights(p, ratio)[1], ZERO,
                      [*MAJORITY, ratio <= (1 - p) / p]),
            given("s_a = sigmoid(u_a), s_b = sigmoid(u_b). For q <= t < 1, u_a >= 0 and s_b > 0:"),
            more_than("G > 0.", B * sb + M * (sa - HALF), ZERO, [sb > 0, sa >= HALF]),
            given("For t < q, t = 0 included, u_b >= 0:"),
            more_than("G > 0 as well.", B * sb + M * (sa - HALF), ZERO, [sb >= HALF, B > M]),
        ],
        reading=READING,
        assumptions=TWO_OUTPUTS,
    )  # fmt: skip


def above_the_interval() -> Claim:
    """Return the claim that the detached interval's upper end is too high."""
    return claim(
        "optimum_with_kl_and_large_weight",
        "With lambda_D/lambda_U >= p/(1 - p), the indicator of y_a is not the minimiser, for any beta and pi_ref: "
        "every policy with q < t < 1 is better.",
        [
            SPLIT,
            given("A > 0 and B = -N <= 0. For q < t < 1, u_a > 0: sigmoid(u_a) = s_a > 1/2."),
            more_than("G < 0.", ZERO, -N * sb - A * (sa - HALF), [sa > HALF]),
        ],
        reading=READING,
        assumptions=TWO_OUTPUTS,
    )


def between() -> Claim:
    """Return the exact upper end of the interval, and a bound on it."""
    end = (p + (1 - p) * S) / (p * S + 1 - p)
    first, second = (weight.subs(ratio, end) for weight in weights(p, ratio))
    return claim(
        "interval_with_kl",
        "In between, and for beta < 1, the indicator of y_a is a minimiser exactly if lambda_D/lambda_U <= "
        "(p + (1 - p) S)/(p S + 1 - p), where S = S(beta, pi_ref(y_a)) is the largest value of "
        "tanh(u_a/2) (1 + exp(-u_b))/2 over q < t < 1. S does not fall as beta grows; "
        "S <= beta k/(2 e (1 - beta)), k = (1 - q)/q.",
        [
            SPLIT,
            given("A > 0 and B > 0. For t <= q, u_a <= 0 and G > 0. For t > q:"),
            equal("(sigmoid(u_a) - 1/2)/sigmoid(u_b) is tanh(x/2) (1 + exp(y))/2: G >= 0 where that is at most B/A.",
                  (1 / (1 + exp(-x)) - HALF) * (1 + exp(y)), (exp(x) - 1) / (exp(x) + 1) * (1 + exp(y)) / 2),
            given("Both factors rise with x and y, and these with beta."),
            equal("B = S A at that ratio.", second, S * first),
            more_than("B/A falls as the ratio grows: so it is the largest.", 2 * p - 1, ZERO, MAJORITY),
            equal("(The numerator of its slope is 1 - 2p.)",
                  diff(weights(p, ratio)[1], ratio) * weights(p, ratio)[0]
                  - weights(p, ratio)[1] * diff(weights(p, ratio)[0], ratio), 1 - 2 * p),
            at_least("tanh(x/2) <= x/2,", x / 2, (exp(x) - 1) / (exp(x) + 1)),
            at_least("and (1 + exp(y))/2 <= exp(y) <= exp(beta delta),", exp(y), (1 + exp(y)) / 2),
            given("and x = beta (1 - t) delta <= beta delta k exp(-delta): at most beta k v exp(-v)/(2 (1 - beta)), "
                  "v = (1 - beta) delta."),
            at_least("v exp(-v) <= 1/e.", 1 / E, v * exp(-v)),
        ],
        reading=READING,
        assumptions=(*TWO_OUTPUTS[:3], "0 < beta < 1", "(1 - p)/p < lambda_D/lambda_U < p/(1 - p)"),
    )  # fmt: skip


def large_beta() -> Claim:
    """Return the claim that for beta >= 1 nothing above the lower end of the detached interval is enough."""
    z = symbols("delta", positive=True)
    rest = k * exp(-z) / (1 + k * exp(-z))
    return claim(
        "interval_with_kl_and_large_beta",
        "For beta >= 1 the indicator of y_a is a minimiser exactly if lambda_D/lambda_U <= (1 - p)/p.",
        [
            given("By the claims above it is enough to show that for A > 0 and B > 0, kappa = B/A, a policy is better; "
                  "and as S does not fall with beta, for beta = 1. Let delta >= 2 k and delta > 24 kappa (1 + k)/k."),
            at_least("x = (1 - t) delta <= k delta exp(-delta),", k * exp(-z), rest),
            at_least("at most 1, as exp(delta) >= delta^2/2.", exp(z), z**2 / 2),
            at_least("So tanh(x/2) = (exp(x) - 1)/(exp(x) + 1) >= x/4,", (exp(x) - 1) / (exp(x) + 1), x / 4, [x <= 1]),
            at_least("and exp(y) = exp(delta - x) >= exp(delta)/3.", exp(-x), Rational(1, 3), [x <= 1]),
            equal("x exp(delta) = delta k/(1 + k exp(-delta))", rest * z * exp(z), z * k / (1 + k * exp(-z))),
            at_least("is at least delta k/(1 + k):", z * k / (1 + k * exp(-z)), z * k / (1 + k)),
            more_than("tanh(x/2) (1 + exp(y))/2 >= x exp(delta)/24 > kappa.", z * k / (1 + k) / 24, kappa,
                      [z * k > 24 * kappa * (1 + k)]),
        ],
        reading=READING,
        assumptions=(*TWO_OUTPUTS[:3], "beta >= 1"),
    )  # fmt: skip


def interval_with_kl() -> Boundary:
    """Return the largest ratio of the weights with which the indicator is a minimiser, for some beta, pi_ref and p."""
    points = []
    for strength, reference in PLACES:
        found = largest_share(Rational(strength), Rational(reference))
        ends = {f"largest ratio at p = {text}": str(_largest_ratio(Rational(text), found)) for text in FRACTIONS}
        points.append({"beta": strength, "pi_ref(y_a)": reference, "S": str(found), **ends})
    return Boundary(
        name="neutral_interval_with_kl",
        statement="With z0 = KL in the loss value, the indicator of y_a is a minimiser for every lambda_D/lambda_U up "
        "to this ratio. It is at least 1, so that loss neutrality is enough, exactly where S <= 1: for beta up to "
        "beta*(pi_ref(y_a)). With z0 detached it is p/(1 - p).",
        formula="(p + (1 - p)*S)/(p*S + 1 - p)",
        points=points,
        asymptotes=(
            "beta -> 0: S tends to 0, and the ratio to p/(1 - p)",
            "beta -> 1: S tends to infinity, and the ratio to (1 - p)/p",
        ),
    )


def largest_share(strength: Rational, reference: Rational) -> Enclosed:
    """Return an interval of S, the largest (sigmoid(u_a) - 1/2)/sigmoid(u_b) of all policies.

    Args:
        strength: beta < 1.
        reference: q = pi_ref(y_a).

    Raises:
        ArithmeticError: it could not be enclosed.
    """
    k_here = (1 - reference) / reference
    deltas, near = _near_the_largest(float(strength), float(np.log(float(k_here))))
    found = around(near, _RELATIVE * near)
    first, second = arguments(strength, k_here)
    share = tanh(first / 2) * (1 + exp(second)) / 2
    tail = found.high - strength * k_here * delta * exp(-(1 - strength) * delta) / 2
    end = beyond_the_peak(tail, strength)
    below = course(found.high - share, delta, ZERO, end, Deadline(_PATIENCE), strictly=True)
    if below.status is not Status.PROVED or sign(share - found.low, {delta: deltas}) != 1:
        raise ArithmeticError(f"no largest share enclosed at beta = {strength}, pi_ref(y_a) = {reference}")
    return found


def _near_the_largest(strength: float, log_k: float) -> tuple[Rational, float]:
    """Return a delta at which the share is largest, nearly, and the share there."""
    grid = np.geomspace(1e-3, 60 + 3 * abs(log_k) + 40 / (1 - strength), 4001)
    for _ in range(8):
        i = int(np.argmax(_log_share(strength, grid, log_k)))
        grid = np.linspace(grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)], 401)
    best = grid[len(grid) // 2 : len(grid) // 2 + 1]
    place = Rational(float(best[0])).limit_denominator(10**6)
    return place, float(np.exp(_log_share(strength, best, log_k)[0]))


def _log_share(strength: float, deltas: np.ndarray, log_k: float) -> np.ndarray:
    """Return the logarithm of tanh(u_a/2) (1 + exp(-u_b))/2."""
    _, first, second = values(np.full_like(deltas, strength), deltas, log_k)
    return np.log(np.tanh(first / 2)) + np.logaddexp(0, second) - np.log(2)


def _largest_ratio(fraction: Rational, share: Enclosed) -> Enclosed:
    """Return decimal fractions on both sides of the ratio, which falls as the share grows."""
    low, high = (_ratio(fraction, end) for end in (share.high, share.low))
    return Enclosed(
        low=Rational(floor(Fraction(low.p, low.q) * _GRID), _GRID),
        high=Rational(ceil(Fraction(high.p, high.q) * _GRID), _GRID),
    )


def _ratio(fraction: Expr, share: Expr) -> Rational:
    return Rational((fraction + (1 - fraction) * share) / (fraction * share + 1 - fraction))
