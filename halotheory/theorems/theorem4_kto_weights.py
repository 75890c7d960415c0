"""Theorem 4 of the KTO paper: how much loss neutrality its half on KTO needs."""

import numpy as np
from sympy import Integer, Rational, UnevaluatedExpr, diff, exp, symbols

from halotheory.deadline import Deadline
from halotheory.findings import Status
from halotheory.proving.branch import course
from halotheory.proving.enclose import sign
from halotheory.theorems import kto_weights_kl as kl
from halotheory.theorems.claims import (
    Boundary,
    Claim,
    Statement,
    Trial,
    at_least,
    claim,
    equal,
    given,
    more_than,
    refutation,
)
from halotheory.theorems.kto_curves import Enclosed, arguments, crossing, delta, shares
from halotheory.theorems.kto_loss import pull, put, slope, weights

_WORLDS, _POLICIES, _PATIENCE = 2000, 801, 5.0

beta, p, ratio, q, t, e, k = symbols("beta p rho q t e k", positive=True)
A, B, M, N = symbols("A B M N", positive=True)
a, b = symbols("A B", real=True)
ua, ub = symbols("u_a u_b", real=True)
ka, kb, n = symbols("k_a k_b n", positive=True)

ZERO, HALF = Integer(0), Rational(1, 2)
MAJORITY = [p > HALF, p < 1]
FRACTIONS = ("51/100", "11/20", "3/5", "2/3", "3/4", "9/10")
RESTS = (("1/10", "1/2"), ("1/2", "1/2"), ("9/10", "1/2"), ("1/2", "1/10"), ("1/2", "7/10"))
ADVICE = {p: Rational(11, 20), ratio: Rational(3, 2), beta: HALF, q: Rational(16, 25)}

TWO_OUTPUTS = ("two outputs", "1/2 < p < 1", "0 < pi_ref(y_a|x) < 1", "beta > 0")


def verify() -> Statement:
    """Return what Theorem 4 needs of lambda_D/lambda_U, verified."""
    return Statement(
        name="theorem4_kto_weights",
        title="Theorem 4, KTO: how much loss neutrality is needed",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Theorem 4, and Eq. 7",
        formal="With rho = lambda_D/lambda_U, A = p rho - (1 - p) and B = p - (1 - p) rho, KTO's loss over lambda_U is "
        "rho - A sigmoid(u_a) + B sigmoid(u_b). Theorem 4 assumes rho = 1. For which rho does it hold?",
        assumptions=TWO_OUTPUTS,
        claims=[
            enough_with_a_constant(),
            needed_with_a_constant(),
            near_the_indicator(),
            near_the_indicator_at_one(),
            enough_for_the_dynamics(),
            needed_for_the_dynamics(),
            advice_of_equation_7(),
            advice_for_clear_majorities(),
            kl.below_the_interval(),
            kl.above_the_interval(),
            kl.between(),
            kl.large_beta(),
        ],
        boundaries=[neutral_interval(), rest_points(), kl.interval_with_kl()],
        notes=(
            "Loss neutrality is not needed: any lambda_D/lambda_U from (1 - p)/p to p/(1 - p) does. The closer the "
            "vote, the narrower the interval.",
            "Each preference gives one desirable and one undesirable example, so that Eq. 7's ratio is "
            "lambda_D/lambda_U here: its upper end 3/2 is within the interval for p >= 3/5 only.",
            "Where KL is part of the loss value, the interval has no lower end, and its upper end is below p/(1 - p): "
            "the more so, the larger beta and the smaller pi_ref(y_a); loss neutrality itself may be too much.",
        ),
    )


def enough_with_a_constant() -> Claim:
    """Return the claim that within the interval the indicator is the only minimiser."""
    first, second = weights(p, ratio)
    return claim(
        "enough_with_a_constant",
        "With z0 a constant and (1 - p)/p <= lambda_D/lambda_U <= p/(1 - p), the indicator of y_a is the only "
        "minimiser of the loss, for every beta, pi_ref and z0.",
        [
            given("sigmoid(u_a) rises strictly with t and sigmoid(u_b) falls, as for loss neutrality."),
            at_least("A >= 0 from the lower end on.", first, ZERO, [*MAJORITY, ratio >= (1 - p) / p]),
            at_least("B >= 0 up to the upper end.", second, ZERO, [*MAJORITY, ratio <= p / (1 - p)]),
            equal("A + B = (2p - 1)(1 + rho),", first + second, (2 * p - 1) * (1 + ratio)),
            more_than("so that one of them is positive.", first + second, ZERO, MAJORITY),
        ],
        assumptions=TWO_OUTPUTS,
        trials=[_least_within()],
    )


def needed_with_a_constant() -> Claim:
    """Return the claim that beyond either end there is a reference for which the indicator is not the minimiser."""
    return claim(
        "needed_with_a_constant",
        "The interval is exact, for each beta > 0: for every lambda_D/lambda_U outside of it there are pi_ref and a "
        "constant z0 >= 0 with which another policy is better than the indicator.",
        [
            given(
                "Above: A > 0 > B = -N. With z0 = 0 and n = q^beta, the loss is less A/2 + N/2 at t = q, and less "
                "A/(1 + n) at t = 1."
            ),
            more_than("t = q is better if n > (A - N)/(A + N),", (A + N) / 2, A / (1 + n), [n > (A - N) / (A + N)]),
            more_than("which is below 1, so that there are such q < 1.", Integer(1), (A - N) / (A + N)),
            given(
                "Below: B > 0 > A = -M. With z0 = log(1/q), k_a = 1 and k_b = ((1 - q)/q)^beta, which may be any "
                "positive number; the loss has more B/(1 + k_b) at t = 0, and more M/2 at t = 1."
            ),
            more_than("t = 0 is better if k_b > 2B/M.", M / 2, B / (1 + kb), [kb > 2 * B / M]),
        ],
        assumptions=TWO_OUTPUTS,
    )


def near_the_indicator() -> Claim:
    """Return what the loss does near the indicator beyond either end."""
    power, bound = symbols("T n", positive=True)  # t^beta, 2^-beta
    rising = t**beta / (t**beta + ka)
    return claim(
        "near_the_indicator",
        "With z0 a constant. Above p/(1 - p): for beta < 1 the indicator is never a minimiser, not even a local one, "
        "and for beta > 1 it is always a local one. Below (1 - p)/p: for beta > 1 never, for beta < 1 always local.",
        [
            given(
                "e = 1 - t <= 1/2, and D is what sigmoid(u_a) loses from t = 1 to 1 - e. The loss gains A D - N S "
                "above and B S - M D below, with A or M = -A, B or N = -B positive, S = sigmoid(u_b)."
            ),
            equal("The slope of sigmoid(u_a) is", diff(rising, t), beta * t**beta * ka / (t * (t**beta + ka) ** 2)),
            at_least("at most beta/(4t) <= beta/2: D <= beta e/2;", beta / (4 * t), diff(rising, t)),
            at_least(
                "and, T = t^beta >= 2^-beta = n, at least beta n k_a/(1 + k_a)^2: D is at least a constant times e.",
                power * ka / (t * (power + ka) ** 2),
                bound * ka / (1 + ka) ** 2,
                [power >= bound, power <= 1, t <= 1, bound < 1],
            ),
            at_least("S >= e^beta/(1 + k_b),", e**beta / (e**beta + kb), e**beta / (1 + kb), [e**beta <= 1]),
            at_least("S <= e^beta/k_b.", e**beta / kb, e**beta / (e**beta + kb)),
            given(
                "For small e, e^beta is as large a multiple of e as one wants if beta < 1, and as small a one if "
                "beta > 1: S decides the sign for beta < 1, D for beta > 1."
            ),
        ],
        assumptions=TWO_OUTPUTS,
    )


def near_the_indicator_at_one() -> Claim:
    """Return the same at beta = 1, where an inequality decides, and for the whole loss."""
    lost, gained = e * ka / ((1 + ka) * (1 - e + ka)), e / (e + kb)
    common = e / ((1 + ka) * (1 - e + ka) * (e + kb))
    above = A * ka * kb - N * (1 + ka) ** 2 + e * (A * ka + N * (1 + ka))
    below = B * (1 + ka) ** 2 - M * ka * kb - e * (B * (1 + ka) + M * ka)
    return claim(
        "near_the_indicator_at_one",
        "With z0 a constant and beta = 1, k_a = q exp(z0), k_b = (1 - q) exp(z0). Above p/(1 - p), with A > 0 and "
        "B = -N: the indicator is a local minimum exactly if A k_a k_b >= N (1 + k_a)^2, and then it is the only "
        "minimiser. Below (1 - p)/p, with A = -M and B > 0: exactly if B (1 + k_a)^2 > M k_a k_b.",
        [
            given("e = 1 - t, 0 < e <= 1: sigmoid(u_a) = t/(t + k_a), sigmoid(u_b) = e/(e + k_b)."),
            equal("What sigmoid(u_a) loses from t = 1 to 1 - e:", 1 / (1 + ka) - (1 - e) / (1 - e + ka), lost),
            equal("Above, the loss gains A times that less N sigmoid(u_b):", A * lost - N * gained, common * above),
            more_than("the first factor is positive;", common, ZERO, [e <= 1]),
            more_than("the second, linear in e, is for all e if at e = 0 it is not negative,", above, ZERO,
                      [A * ka * kb >= N * (1 + ka) ** 2]),
            given("and is negative for small e if it is at e = 0."),
            equal("Below, it gains B sigmoid(u_b) less M times that:", B * gained - M * lost, common * below),
            more_than("the second factor falls with e: its sign for small e is that at e = 0, and negative where that "
                      "is 0.", B * (1 + ka) + M * ka, ZERO),
        ],
        assumptions=(*TWO_OUTPUTS[:3], "beta = 1"),
    )  # fmt: skip


def enough_for_the_dynamics() -> Claim:
    """Return the claim that within the interval training with a detached z0 leads to the majority's output."""
    force = pull(beta, t, a * slope(ua), b * slope(ub))
    return claim(
        "enough_for_the_dynamics",
        "With z0 a constant, or KL held fixed within each step, and (1 - p)/p <= lambda_D/lambda_U <= p/(1 - p), "
        "every start with 0 < t < 1 leads to t = 1.",
        [
            given("-dL/ds = beta (A sigmoid'(u_a) (1 - t) + B sigmoid'(u_b) t) with s = logit t."),
            more_than("It is positive if A and B are not negative, A > 0;", force, ZERO, [a > 0, b >= 0, t < 1]),
            more_than("also if B > 0 and A = 0.", force, ZERO, [a >= 0, b > 0, t < 1]),
        ],
        reading="Gradient flow in softmax logits, z0 detached.",
        assumptions=TWO_OUTPUTS,
    )


def needed_for_the_dynamics() -> Claim:
    """Return the claim that beyond either end there is a reference from which the policy moves away."""
    start = 4 * pull(1, q, a / 4, b / 4)
    return claim(
        "needed_for_the_dynamics",
        "The same interval is exact, for each beta > 0: outside of it there are pi_ref from which training never "
        "reaches y_a. At q = A/(A - B) the policy stays at pi_ref, where the gradient is 0; for a larger q above the "
        "interval, and a smaller q below it, pi(y_a) falls from the first step on.",
        [
            given("At pi = pi_ref, KL = 0 and u_a = u_b = 0: -dL/ds = beta (A (1 - q) + B q)/4."),
            equal("It is 0 at q = A/(A - B).", start.subs(q, a / (a - b)), ZERO),
            more_than("Above, A > 0 > B, it is negative for a larger q.", ZERO, start, [a > 0, b < 0, q > a / (a - b)]),
            more_than("Below, A < 0 < B, it is for a smaller q.", ZERO, start, [a < 0, b > 0, q < a / (a - b)]),
            more_than("That place is between 0 and 1:", a / (a - b), ZERO, [a > 0, b < 0]),
            more_than("above,", Integer(1), a / (a - b), [a > 0, b < 0]),
            more_than("and below.", a / (a - b), ZERO, [a < 0, b > 0]),
            given("In one dimension a policy that falls at q cannot pass q upwards later."),
        ],
        reading="Gradient flow in softmax logits from pi_ref, z0 = 0 or z0 = KL held fixed within each step.",
        assumptions=TWO_OUTPUTS,
    )


def advice_of_equation_7() -> Claim:
    """Return Eq. 7's advice as a guarantee, and a close vote for which it is none."""
    first, second = weights(p, ratio)
    gain, loss = first.subs(ADVICE), second.subs(ADVICE)
    root = ADVICE[q] ** ADVICE[beta]
    own = gain / (1 + root)
    starting = Rational(4, 5)
    return refutation(
        "advice_of_equation_7",
        "With lambda_D n_D/(lambda_U n_U) in [1, 3/2], KTO's optimum is the majority's output.",
        {
            "p": ADVICE[p],
            "lambda_D": ADVICE[ratio],
            "lambda_U": 1,
            "beta": ADVICE[beta],
            "z0": 0,
            "pi_ref(y_a)": ADVICE[q],
            "better policy": f"pi(y_a) = {ADVICE[q]}",
            "pi_ref(y_a) from which training leads away": starting,
        },
        [
            equal("A,", put(first, ADVICE), gain),
            equal("B.", put(second, ADVICE), loss),
            more_than("rho is above p/(1 - p).", ADVICE[ratio], put(p / (1 - p), ADVICE)),
            equal("sigmoid(u_a) = 1/(1 + q^beta) at t = 1, with", put(q**beta, ADVICE), root),
            more_than("The reference itself has the smaller loss.", (gain - UnevaluatedExpr(loss)) / 2, own),
            more_than(
                "From q = 4/5, the first step with z0 = KL lowers pi(y_a): -dL/ds < 0.",
                ZERO,
                gain * (1 - UnevaluatedExpr(starting)) + loss * UnevaluatedExpr(starting),
            ),
        ],
        reading="Eq. 7 as a guarantee, which the paper does not make it: it is an empirical range, 'not a hard rule', "
        "and Theorem 4 is for equal weights. Each preference gives one desirable and one undesirable example: "
        "n_D = n_U.",
        assumptions=TWO_OUTPUTS,
    )


def advice_for_clear_majorities() -> Claim:
    """Return for which majorities Eq. 7's whole range is within the interval."""
    return claim(
        "advice_for_clear_majorities",
        "All of Eq. 7's range [1, 3/2] is within the exact interval if and only if p >= 3/5; its lower end always is.",
        [
            at_least("p/(1 - p) >= 3/2 for p >= 3/5.", p / (1 - p), Rational(3, 2), [p >= Rational(3, 5), p < 1]),
            more_than("p/(1 - p) < 3/2 for p < 3/5.", Rational(3, 2), p / (1 - p), [p < Rational(3, 5)]),
            more_than("(1 - p)/p < 1,", Integer(1), (1 - p) / p, MAJORITY),
            more_than("1 < p/(1 - p).", p / (1 - p), Integer(1), MAJORITY),
        ],
        reading="n_D = n_U.",
        assumptions=TWO_OUTPUTS[:2],
    )


def neutral_interval() -> Boundary:
    """Return the ends of the interval for some p."""
    points = []
    for text in FRACTIONS:
        fraction = Rational(text)
        low, high = (1 - fraction) / fraction, fraction / (1 - fraction)
        points.append({"p": text, "smallest lambda_D/lambda_U": str(low), "largest lambda_D/lambda_U": str(high)})
    return Boundary(
        name="neutral_interval",
        statement="Within the interval, ends included, the optimum with a constant z0 and the dynamics with a detached "
        "KL are at y_a, whatever beta and pi_ref; beyond each end there are pi_ref with which they are not.",
        formula="[(1 - p)/p, p/(1 - p)]",
        points=points,
        asymptotes=("p -> 1/2: the interval shrinks to 1", "p -> 1: it grows to all positive ratios"),
    )


def rest_points() -> Boundary:
    """Return where training stops for the vote and the weights of the witness against Eq. 7."""
    first, second = (weight.subs(ADVICE) for weight in weights(p, ratio))
    still = first / (first - second)
    points = [{"beta": "every", "pi_ref(y_a)": str(still), "t": str(still)}]
    for strength, reference in RESTS:
        found = rest_point(Rational(strength), Rational(reference), first, second)
        points.append({"beta": strength, "pi_ref(y_a)": reference, "t": str(found)})
    return Boundary(
        name="rest_points",
        statement="Where gradient flow from pi_ref stops with z0 = KL held fixed within each step, for "
        f"p = {ADVICE[p]} and lambda_D/lambda_U = {ADVICE[ratio]}, above the interval.",
        formula="A*sigmoid'(u_a)*(1 - t) + B*sigmoid'(u_b)*t = 0",
        points=points,
    )


def rest_point(strength: Rational, reference: Rational, first: Rational, second: Rational) -> Enclosed:
    """Return an interval of t with the first rest point above pi_ref, of gradient flow with a detached KL.

    Args:
        strength: beta.
        reference: q = pi_ref(y_a), from which pi(y_a) rises: A (1 - q) + B q > 0.
        first: A > 0.
        second: B < 0.

    Raises:
        ArithmeticError: no rest point could be enclosed.
    """
    odds = (1 - reference) / reference
    x, y = arguments(strength, odds)
    force = first * odds * exp(-delta) * (2 + exp(y) + exp(-y)) + second * (2 + exp(x) + exp(-x))
    low, high = ZERO, Integer(1)
    while sign(force, {delta: high}) == 1:
        high *= 2
    ends = crossing(force, low, high)
    if course(force, delta, ZERO, ends[0], Deadline(_PATIENCE), strictly=True).status is not Status.PROVED:
        raise ArithmeticError(f"no rest point at beta = {strength}, pi_ref(y_a) = {reference}")
    return shares(ends, odds)


def _least_within() -> Trial:
    """Return by how much the loss rises from one policy to the next, for random ratios within the interval."""
    generator = np.random.default_rng(0)
    size = (_WORLDS, 1)
    fraction = generator.uniform(0.5, 1, size)
    odds = np.exp(generator.uniform(-1, 1, size) * np.log(fraction / (1 - fraction)))
    first, second = (np.asarray(weight) for weight in weights(fraction, odds))
    betas, constant = np.exp(generator.uniform(np.log(0.02), np.log(5), size)), generator.normal(size=size)
    reference, logits = generator.uniform(-12, 12, size), np.linspace(-20, 20, _POLICIES)[None, :]
    u_a = betas * (np.logaddexp(0, -reference) - np.logaddexp(0, -logits) - constant)
    u_b = betas * (np.logaddexp(0, reference) - np.logaddexp(0, logits) - constant)
    loss = second / (1 + np.exp(-u_b)) - first / (1 + np.exp(-u_a))
    rise = max(0.0, float(np.diff(loss, axis=1).max()))
    return Trial(text="the loss never rises with t", count=_WORLDS, largest_error=rise, tolerance=1e-12)
