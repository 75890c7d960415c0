"""Where gradient flow on KTO's loss stops if it goes through z0 = KL: two outputs."""

import numpy as np
from sympy import Expr, Integer, Rational, exp, symbols

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.branch import course
from halotheory.theorems.claims import Boundary, Claim, at_least, claim, equal, given, more_than, sigmoid
from halotheory.theorems.kto_curves import FALL, Enclosed, beyond_the_peak, crossing, delta, shares

_PATIENCE = 5.0

beta, t, k, x, v, X, d = symbols("beta t k x v X delta", positive=True)
steep, flat, shrunk, shared = symbols("g a b c", positive=True)

ZERO = Integer(0)
PLACES = (
    ("1/10", "1/1000000000000"),
    ("1/4", "1/1000000"),
    ("1/2", "1/10000"),
    ("1/2", "1/257"),
    ("1/2", "1/100"),
    ("3/4", "1/100"),
    ("3/4", "1/20"),
    ("1", "1/100"),
    ("1", "1/4"),
    ("1", "1/2"),
    ("2", "1/100"),
    ("2", "1/2"),
    ("2", "9/10"),
)

READING = "Gradient flow in softmax logits, z0 = KL part of the objective."
TWO_OUTPUTS = ("two outputs", "1/2 < p < 1", "0 < pi_ref(y_a|x) < 1", "lambda_D = lambda_U")
CRITERION = given(
    "By when_the_loss_falls, f falls at t > q exactly if (1 + delta + exp(delta)/k) (2 + exp(x) + exp(-x)) > "
    "(delta - 1 - k exp(-delta)) (2 + exp(y) + exp(-y)), delta = logit t - logit q, x = beta (1 - t) delta, "
    "y = beta t delta, k = (1 - q)/q."
)


def starts_near_the_indicator() -> Claim:
    """Return the claim that for beta < 1 the majority's output keeps a basin."""
    return claim(
        "starts_near_the_indicator_through_kl",
        "With gradients through KL and beta < 1, every start with logit t - logit q >= k/(2 (1 - beta)^2), and more "
        "than 1, leads to t = 1.",
        [
            CRITERION,
            more_than("It holds where 4 g >= (delta - 1) X, g = exp(delta)/k, X = exp(beta delta) >= exp(y); "
                      "a = exp(x) + exp(-x), b = exp(-y), c = k exp(-delta):",
                      (1 + d + steep) * (2 + flat), (d - 1 - shared) * (2 + X + shrunk),
                      [d > 1, flat >= 2, shrunk < 1, 4 * steep >= (d - 1) * X]),
            given("that is where k (delta - 1) <= 4 exp(v), v = (1 - beta) delta. It does for these:"),
            at_least("exp(v) >= v^2/2,", exp(v), v**2 / 2),
            at_least("and 2 (1 - beta)^2 delta^2 >= k delta.", 4 * (1 - beta) ** 2 * d**2 / 2, k * (d - 1),
                     [d >= k / (2 * (1 - beta) ** 2), beta < 1]),
            given("The bound holds for all larger delta, too: f falls from the start to t = 1 without a rest."),
        ],
        reading=READING,
        assumptions=(*TWO_OUTPUTS, "0 < beta < 1"),
    )  # fmt: skip


def no_start_for_large_beta() -> Claim:
    """Return the claim that for beta >= 1 no start inside leads to the majority's output."""
    growth = symbols("E", positive=True)
    return claim(
        "no_start_through_kl_and_large_beta",
        "With gradients through KL and beta >= 1, no start with 0 < t < 1 leads to t = 1: f rises with t wherever "
        "logit t - logit q >= 16 (k + 1/k).",
        [
            CRITERION,
            given("If it holds for one beta, it does for all smaller ones: it is enough that it fails for beta = 1."),
            at_least("delta >= 32,", 16 * (k + 1 / k), Integer(32)),
            at_least("x <= k delta exp(-delta) <= 1/4, as delta >= 16 k,", exp(d), 4 * k * d, [d >= 16 * k]),
            at_least("and k exp(-delta) <= 1/16.", exp(d), 16 * k, [d >= 16 * k]),
            at_least("2 + exp(x) + exp(-x) <= 5,", Integer(5), 2 + exp(x) + exp(-x), [x <= Rational(1, 4)]),
            at_least("2 + exp(y) + exp(-y) >= exp(delta - x) >= 3/4 exp(delta),", exp(-x), Rational(3, 4),
                     [x <= Rational(1, 4)]),
            at_least("exp(delta) >= 100 (1 + delta),", exp(d), 100 * (1 + d), [d >= 32]),
            more_than("E = exp(delta): the right side is the larger.", (d - 1 - Rational(1, 16)) * 3 * growth / 4,
                      5 * (1 + d + growth / k), [d >= 32, d * k >= 16, growth >= 100 * (1 + d)]),
        ],
        reading=READING,
        assumptions=(*TWO_OUTPUTS, "beta >= 1"),
    )  # fmt: skip


def starts_below_the_reference() -> Claim:
    """Return the claim that what happens below pi_ref mirrors what happens above."""
    gap = symbols("delta", real=True)
    own, other = sigmoid(beta * (1 - t) * gap), sigmoid(-beta * t * gap)
    mirrored = {t: 1 - t, gap: -gap}
    turned = [part.subs(mirrored, simultaneous=True) for part in (own, other)]
    return claim(
        "starts_below_the_reference_through_kl",
        "With z0 = KL, f at t for pi_ref(y_a) = q is minus f at 1 - t for 1 - q. So starts below q move like those "
        "above 1 - q for 1 - q, the other way round: they go up to q and on as they would from q, except for those "
        "beyond the mirrored rest point, which stay below.",
        [
            given("f = sigmoid(u_b) - sigmoid(u_a) with u_a = beta (1 - t) delta, u_b = -beta t delta; "
                  "1 - t and 1 - q have the gap -delta."),
            equal("They exchange u_a and u_b.", turned[1] - turned[0], -(other - own)),
            more_than("At q itself, f falls as t grows: 1/t + 1/(1 - t) > 0.", 1 / t + 1 / (1 - t), ZERO, [t < 1]),
        ],
        reading=READING,
        assumptions=(*TWO_OUTPUTS, "beta > 0"),
    )  # fmt: skip


def rest_points() -> Boundary:
    """Return where gradient flow through KL stops, and from which t on it leads to the majority's output."""
    points = []
    for strength, reference in PLACES:
        stop, last = rests(Rational(strength), Rational(reference))
        beyond = "none" if last is None else str(last)
        points.append({"beta": strength, "pi_ref(y_a)": reference, "stops at t": str(stop), "t = 1 from": beyond})
    return Boundary(
        name="rest_points_through_kl",
        statement="Beyond the curve of fall_boundary: where gradient flow through z0 = KL from pi_ref stops, and the t "
        "from which on a start leads to t = 1. Starts in between go down to the first.",
        formula="sigmoid'(u_b)*(delta + 1/(1 - t)) = sigmoid'(u_a)*(delta - 1/t)",
        points=points,
    )


def rests(strength: Rational, reference: Rational) -> tuple[Enclosed, Enclosed | None]:
    """Return intervals of t: f falls from pi_ref to the first, rises from there to the second, and falls after it.

    For beta >= 1 there is no second one, as f rises all the way (no_start_through_kl_and_large_beta).

    Raises:
        ArithmeticError: they could not be enclosed, or f falls all the way.
    """
    odds = (1 - reference) / reference
    margin = FALL.margin(strength, odds)
    changes = _near_changes(float(strength), float(np.log(float(odds))))
    wanted = 2 if strength < 1 else 1
    if len(changes) != wanted:
        raise ArithmeticError(f"{len(changes)} rest points near beta = {strength}, pi_ref(y_a) = {reference}")
    first = crossing(margin, *changes[0])
    if strength < 1:
        last = crossing(-margin, *changes[1])
        end = max(beyond_the_peak(FALL.tail(strength, odds), strength), last[1] + 1)
        pieces = [(margin, ZERO, first[0]), (-margin, first[1], last[0]), (margin, last[1], end)]
    else:
        last, end = None, Rational(16 * (odds + 1 / odds))
        pieces = [(margin, ZERO, first[0]), (-margin, first[1], max(end, first[1] + 1))]
    if not all(_positive(*piece) for piece in pieces):
        raise ArithmeticError(f"no rest point enclosed at beta = {strength}, pi_ref(y_a) = {reference}")
    return shares(first, odds), None if last is None else shares(last, odds)


def _near_changes(strength: float, log_k: float) -> list[tuple[Rational, Rational]]:
    """Return neighbouring delta between which f begins to rise, or to fall again, by floats."""
    grid = np.linspace(1e-3, 80 + 3 * abs(log_k) + 40 / max(1 - strength, 0.05), 20_001)
    rises = FALL.excess(np.full_like(grid, strength), grid, log_k) > 0
    return [
        (Rational(float(grid[i])).limit_denominator(10**6), Rational(float(grid[i + 1])).limit_denominator(10**6))
        for i in np.flatnonzero(rises[1:] != rises[:-1])
    ]


def _positive(margin: Expr, low: Rational, high: Rational) -> bool:
    """Return whether a margin was shown to be positive between two places."""
    return course(margin, delta, low, high, Deadline(_PATIENCE), strictly=True).status is Status.PROVED
