"""Theorem 4 of the KTO paper, the half on KTO: is the indicator of the majority's output the optimum?"""

from collections.abc import Mapping

import numpy as np
from sympy import E, Expr, Integer, Rational, UnevaluatedExpr, diff, exp, log, symbols

from halotheory.theorems import kto_through_kl as through
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
    sigmoid,
)
from halotheory.theorems.kto_curves import FALL, VALUE, arguments, loss_value, minimiser
from halotheory.theorems.kto_curves import delta as gain
from halotheory.theorems.kto_loss import pull, put, slope

_WORLDS, _POLICIES, _TOLERANCE = 2000, 401, 1e-9

beta, p, q, t, e, k = symbols("beta p q t e k", positive=True)
weight, desirable, undesirable = symbols("lambda lambda_D lambda_U", positive=True)
delta, x, y, v, X = symbols("delta x y v X", positive=True)
z0, ua, ub = symbols("z0 u_a u_b", real=True)
ka, kb = symbols("k_a k_b", positive=True)

ZERO, HALF = Integer(0), Rational(1, 2)
REFERENCES = (
    "1/1000000000000",
    "1/1000000000",
    "1/1000000",
    "1/10000",
    "1/1000",
    "1/100",
    "1/20",
    "1/10",
    "1/4",
    "1/2",
    "3/4",
    "9/10",
    "99/100",
)
NEARLY_ONE = "999/1000"
BEYOND = (
    ("1/10", "1/1000000000000"),
    ("1/2", "1/10000"),
    ("1/2", "1/257"),
    ("1", "1/100"),
    ("1", "1/17"),
    ("1", "1/4"),
    ("1", "1/2"),
    ("1", "3/4"),
    ("2", "1/2"),
)

TWO_OUTPUTS = ("two outputs", "1/2 < p < 1", "0 < pi_ref(y_a|x) < 1", "beta > 0", "lambda_D = lambda_U = lambda > 0")
MOVING = (
    "z0 = KL(pi || pi_ref) is part of the loss value, whether or not gradients flow through it; it is not negative, so "
    "that clamping it at 0 changes nothing."
)
WITNESS = {p: Rational(3, 5), beta: HALF, q: Rational(1, 257), t: HALF}


def verify() -> Statement:
    """Return the half of Theorem 4 that speaks of KTO, verified."""
    return Statement(
        name="theorem4_kto",
        title="Theorem 4, KTO: is the majority's output the optimum?",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Theorem 4 and its proof",
        formal="For one input x, y_a is preferred to y_b in a fraction p of the pairs, 1/2 < p < 1, and y_b to y_a in "
        "the others; each pair gives one desirable and one undesirable example. With t = pi(y_a|x), "
        "q = pi_ref(y_a|x), u_y = beta (log pi(y)/pi_ref(y) - z0) and lambda_D = lambda_U, the policy t = 1 is the "
        "only minimiser of KTO's loss.",
        assumptions=TWO_OUTPUTS,
        claims=[
            the_loss(),
            optimum_with_a_constant(),
            optimum_with_a_fixed_distribution(),
            gradient_with_a_constant(),
            optimum_with_kl(),
            what_the_optimum_needs(),
            optimum_with_kl_and_large_beta(),
            local_minimum_with_kl(),
            where_the_optimum_holds(),
            where_the_optimum_fails(),
            dynamics_with_kl_held_fixed(),
            reported_loss_falls(),
            when_the_loss_falls(),
            enough_for_the_fall(),
            dynamics_through_kl(),
            through.starts_near_the_indicator(),
            through.no_start_for_large_beta(),
            through.starts_below_the_reference(),
        ],
        boundaries=[value_boundary(), fall_boundary(), interior_minimisers(), through.rest_points()],
        notes=(
            "The proof says that the loss falls in u_a and rises in u_b, 'and thus' in the two rewards; but z0 is the "
            "mean reward under the policy, and u_a tends to 0 as t tends to 1. With z0 a constant the step is sound.",
            "None of this depends on p: under loss neutrality p only scales the part of the loss that moves.",
            "Trained with z0 detached, a two-output policy goes to y_a all the same, while the loss it reports may "
            "rise on the way; with gradients through z0 it may stop short of y_a, and for beta >= 1 it always does.",
        ),
    )


def the_loss() -> Claim:
    """Return the claim that the proof's last line is its first."""
    a, b = sigmoid(ua), sigmoid(ub)
    first = p * desirable * (1 - a) + (1 - p) * undesirable * a + p * undesirable * b + (1 - p) * desirable * (1 - b)
    second = desirable + ((1 - p) * undesirable - p * desirable) * a + (p * undesirable - (1 - p) * desirable) * b
    neutral = {desirable: weight, undesirable: weight}
    return claim(
        "the_loss",
        "KTO's loss for x is lambda_D + ((1 - p) lambda_U - p lambda_D) sigmoid(u_a) + (p lambda_U - (1 - p) lambda_D) "
        "sigmoid(u_b), and under loss neutrality lambda (1 + (2p - 1) (sigmoid(u_b) - sigmoid(u_a))).",
        [
            equal("The terms of the four kinds of examples, collected.", first, second),
            equal("The same with one weight.", second.subs(neutral), weight * (1 + (2 * p - 1) * (b - a))),
        ],
    )


def optimum_with_a_constant() -> Claim:
    """Return the claim that the theorem holds where z0 does not depend on the policy."""
    log_t, log_q = symbols("log_t log_q", real=True)
    own, scale = sigmoid(beta * (log_t - log_q - z0)), exp(beta * (log_q + z0))
    rising, falling = t**beta / (t**beta + ka), e**beta / (e**beta + kb)
    return claim(
        "optimum_with_a_constant",
        "With z0 a constant, the loss falls strictly from t = 0 to t = 1: the indicator of y_a is its only minimiser, "
        "for every beta, pi_ref, p and z0.",
        [
            given("k_a = (q exp(z0))^beta, k_b = ((1 - q) exp(z0))^beta, e = 1 - t."),
            equal("sigmoid(u_a) = t^beta/(t^beta + k_a),", own, exp(beta * log_t) / (exp(beta * log_t) + scale)),
            more_than("which rises strictly with t.", diff(rising, t), ZERO),
            more_than("sigmoid(u_b) = e^beta/(e^beta + k_b) rises with e, so falls with t.", diff(falling, e), ZERO),
            more_than("Their weights in the loss are positive.", weight * (2 * p - 1), ZERO, [p > HALF]),
        ],
        reading="z0 is one number, any, that does not move with the policy.",
        assumptions=TWO_OUTPUTS,
        trials=[_least_with_a_constant()],
    )


def optimum_with_a_fixed_distribution() -> Claim:
    """Return the claim that for two outputs the theorem also holds where z0 = E_Q[r] moves with the policy's r."""
    ra, rb = symbols("r_a r_b", real=True)
    share, first, second = symbols("Q_a", nonnegative=True), *symbols("s_a s_b", positive=True)
    mean = share * ra + (1 - share) * rb
    return claim(
        "optimum_with_a_fixed_distribution",
        "With z0 = E_Q[r], the loss falls strictly from t = 0 to t = 1: the indicator of y_a is its only minimiser, "
        "for every beta, pi_ref, p and Q.",
        [
            given("delta = r_a - r_b = logit t - logit q rises strictly with t, from minus infinity to infinity."),
            equal("u_a = beta (1 - Q_a) delta,", beta * (ra - UnevaluatedExpr(mean)), beta * (1 - share) * (ra - rb)),
            equal("and u_b = -beta Q_a delta.", beta * (rb - UnevaluatedExpr(mean)), -beta * share * (ra - rb)),
            given("With s_y = sigmoid'(u_y) > 0, f = sigmoid(u_b) - sigmoid(u_a) falls in delta at the rate:"),
            more_than("It is positive.", beta * (share * second + (1 - share) * first), ZERO, [share <= 1]),
            more_than("The weight of f in the loss is positive.", weight * (2 * p - 1), ZERO, [p > HALF]),
        ],
        reading="Q is any distribution over the two outputs that does not move with the policy, such as pi_ref; z0 "
        "moves, as r does.",
        assumptions=TWO_OUTPUTS,
    )


def gradient_with_a_constant() -> Claim:
    """Return the claim on where gradients lead with a constant z0, and where they vanish."""
    rising = t**beta * ka / (t**beta + ka) ** 2
    return claim(
        "gradient_with_a_constant",
        "With z0 a constant and softmax logits, every start with 0 < t < 1 leads to t = 1. The gradient vanishes at "
        "t = 0 and t = 1 only: a policy that starts at t = 0 never leaves it, and near t = 0 the gradient is no more "
        "than of the order of t^min(beta, 1).",
        [
            given("s = logit t is the difference of the logits; du_a/ds = beta (1 - t), du_b/ds = -beta t."),
            given("-dL/ds = lambda (2p - 1) beta (sigmoid'(u_a) (1 - t) + sigmoid'(u_b) t)."),
            more_than("It is positive for 0 < t < 1.", pull(beta, t, slope(ua), slope(ub)), ZERO, [t < 1]),
            equal("sigmoid' is sigmoid (1 - sigmoid).", slope(ua), (1 / (1 + exp(-ua))) * (1 / (1 + exp(ua)))),
            at_least("sigmoid'(u_a) <= t^beta/k_a, which is 0 at t = 0.", t**beta / ka, rising),
            at_least("sigmoid'(u_b) t <= t/4, too.", t / 4, slope(ub) * t),
            given(
                "By the same two bounds, with 1 - t for t and y_b for y_a, the gradient vanishes at t = 1, where it is "
                "at most of the order of (1 - t)^min(beta, 1): 1 - t falls like a power of time, not exponentially."
            ),
        ],
        assumptions=TWO_OUTPUTS,
    )


def optimum_with_kl() -> Claim:
    """Return Theorem 4's sentence on KTO with z0 = KL, and a policy that is better than the indicator."""
    k_number = 1 / WITNESS[q] - 1
    best = _loss_at(WITNESS[p], Rational(-3, 5))
    indicator = _loss_at(WITNESS[p], -HALF)
    argument = UnevaluatedExpr(WITNESS[beta]) * HALF * log(k_number)
    return refutation(
        "optimum_with_kl",
        "With z0 = KL(pi || pi_ref), the indicator of y_a minimises KTO's loss under the premise of Theorem 4.",
        _named(WITNESS) | {"lambda": 1, "loss": best, "loss of the indicator": indicator},
        [
            *_moving_arguments(),
            more_than("The premise holds.", *_premise(WITNESS)),
            equal("At t = 1/2, delta = log((1 - q)/q).", UnevaluatedExpr(1 / WITNESS[q] - 1), k_number),
            equal("u_a = beta delta/2 = log 4 there, and u_b = -u_a.", argument, log(4)),
            equal("f = sigmoid(-log 4) - sigmoid(log 4).", sigmoid(-log(4)) - sigmoid(log(4)), Rational(-3, 5)),
            equal("The loss there,", 1 + (2 * UnevaluatedExpr(WITNESS[p]) - 1) * Rational(-3, 5), best),
            given("As t tends to 1, u_a = beta (1 - t) delta tends to 0 and u_b to minus infinity: f tends to -1/2."),
            equal("and that of the indicator.", 1 + (2 * UnevaluatedExpr(WITNESS[p]) - 1) * -HALF, indicator),
            more_than("It is the larger.", indicator, best),
        ],
        reading=MOVING,
        assumptions=TWO_OUTPUTS,
    )


def what_the_optimum_needs() -> Claim:
    """Return the exact criterion for a policy to be better than the indicator."""
    f = 1 / (1 + exp(y)) - 1 / (1 + exp(-x))
    right = (4 - (exp(x) - 1) * (exp(y) - 1)) / (2 * (1 + exp(x)) * (1 + exp(y)))
    by_beta = diff(1 / (1 + exp(beta * t * delta)) - 1 / (1 + exp(-beta * (1 - t) * delta)), beta)
    return claim(
        "what_the_optimum_needs",
        "With z0 = KL, a policy t is better than the indicator if and only if t > q and "
        "(exp(u_a) - 1)(exp(-u_b) - 1) > 4. If it is for one beta, it is for all larger ones.",
        [
            *_moving_arguments(),
            given("With x = u_a = beta (1 - t) delta and y = -u_b = beta t delta, for t > q:"),
            equal("f + 1/2 has the sign of 4 - (exp(x) - 1)(exp(y) - 1).", f + HALF, right),
            given("For t <= q, x <= 0 and y <= 0, so that f >= 0 > -1/2."),
            more_than("At each t > q, f falls as beta grows.", -by_beta, ZERO, [t < 1]),
        ],
        reading=MOVING,
        assumptions=TWO_OUTPUTS,
        trials=[_criterion_agrees()],
    )


def optimum_with_kl_and_large_beta() -> Claim:
    """Return the claim that for beta >= 1 the indicator is never the minimiser, whatever pi_ref."""
    m = symbols("m", positive=True)
    small = [e <= Rational(1, 4), e <= k / 4, x <= Rational(1, 4), m >= 1 - x, delta > 16 / k]
    return claim(
        "optimum_with_kl_and_large_beta",
        "With z0 = KL and beta >= 1, the indicator of y_a is not the minimiser, for any pi_ref(y_a) in (0, 1): the "
        "policy with logit t = logit q + 16 (k + 1/k), k = (1 - q)/q, is better.",
        [
            given("It is enough to show it for beta = 1. Let e = 1 - t, delta = 16 (k + 1/k), x = e delta."),
            at_least("delta >= 32.", 16 * (k + 1 / k), Integer(32)),
            equal("e = k exp(-delta)/(1 + k exp(-delta)).", 1 / (1 + exp(delta) / k), _share(delta)),
            at_least("So e <= k exp(-delta),", k * exp(-delta), _share(delta)),
            at_least("and x <= k delta exp(-delta) <= 1/4, as delta >= 16 k.", exp(delta), 4 * k * delta, _far()),
            at_least("exp(-delta) <= 1/4, so that e <= k/4.", exp(delta), Integer(4), [delta >= 32]),
            at_least("e = x/delta <= 1/4.", Rational(1, 4), x / delta, [x <= Rational(1, 4), delta >= 32]),
            equal("exp(y) = exp(delta - x) = k (1 - e)/e exp(-x).", _odds(_share(delta)), exp(delta)),
            more_than("exp(x) - 1 > x, and m = exp(-x) >= 1 - x.", exp(x) - 1, x),
            more_than("x (k (1 - e)/e m - 1) > 4.", e * delta * (k * (1 - e) / e * m - 1), Integer(4), small),
        ],
        reading=MOVING,
        assumptions=(*TWO_OUTPUTS[:3], "beta >= 1", TWO_OUTPUTS[-1]),
    )


def local_minimum_with_kl() -> Claim:
    """Return the claim that for beta < 1 the indicator is a local minimum at least."""
    return claim(
        "local_minimum_with_kl",
        "With z0 = KL and beta < 1, the indicator of y_a is better than every policy near it: than every one with "
        "logit t - logit q >= beta k/(2 (1 - beta)^2), k = (1 - q)/q.",
        [
            *_product_bound(),
            at_least("exp(v) >= v^2/2 with v = (1 - beta) delta.", exp(v), v**2 / 2),
            at_least(
                "So beta k delta exp(-(1 - beta) delta) <= 4 for those policies.",
                4 * (1 - beta) ** 2 * delta**2 / 2,
                beta * k * delta,
                [delta >= beta * k / (2 * (1 - beta) ** 2), beta < 1],
            ),
        ],
        reading=MOVING,
        assumptions=(*TWO_OUTPUTS[:3], "0 < beta < 1", TWO_OUTPUTS[-1]),
    )


def where_the_optimum_holds() -> Claim:
    """Return two closed conditions, each enough for the indicator to be the minimiser."""
    log3 = log(3)
    return claim(
        "where_the_optimum_holds",
        "With z0 = KL, the indicator of y_a is a minimiser if beta <= 4e/(4e + k), and also if k >= 1, beta <= 2/3 "
        "and beta <= 2 log 3/(log k + log(9/2 log 3)), k = (1 - q)/q.",
        [
            *_product_bound(),
            at_least("v exp(-v) <= 1/e with v = (1 - beta) delta.", 1 / E, v * exp(-v)),
            at_least(
                "So the product is below beta k/((1 - beta) e), which is at most 4 by the first condition.",
                Integer(4),
                beta * k / ((1 - beta) * E),
                [beta * (4 * E + k) <= 4 * E, beta < 1],
            ),
            at_least(
                "Where beta delta <= 2 log 3: by the mean of x and y, the product is at most (exp((x + y)/2) - 1)^2,",
                (exp((x + y) / 2) - 1) ** 2,
                (exp(x) - 1) * (exp(y) - 1),
            ),
            equal("which is 4 at x + y = 2 log 3.", (exp(UnevaluatedExpr(2 * log3) / 2) - 1) ** 2, Integer(4)),
            given(
                "Elsewhere X = beta delta = beta (log k + v) > 2 log 3, v = logit t, and the second condition says "
                "that v >= C = log(9/2 log 3)."
            ),
            at_least("1 - t <= exp(-v): the product is below X exp(X - v).", exp(-v), 1 / (1 + exp(v))),
            more_than("Its logarithm log X + X - v does not rise with v, as X >= 2 log 3 > 2:", 2 * log3, Integer(2)),
            at_least("beta/X + beta - 1 <= 0.", Integer(1), beta / X + beta, [X >= 2, beta <= Rational(2, 3)]),
            equal(
                "At X = 2 log 3 and v = C it is 4.",
                2 * log3 * exp(UnevaluatedExpr(2 * log3) - UnevaluatedExpr(log(Rational(9, 2) * log3))),
                Integer(4),
            ),
        ],
        reading=MOVING,
        assumptions=TWO_OUTPUTS,
    )


def where_the_optimum_fails() -> Claim:
    """Return a closed condition that is enough for the indicator not to be the minimiser."""
    m = symbols("m", positive=True)
    return claim(
        "where_the_optimum_fails",
        "With z0 = KL, the policy t = 1/2 is better than the indicator of y_a if pi_ref(y_a) < 1/2 and "
        "beta > 2 log 3/log((1 - q)/q).",
        [
            given("At t = 1/2, delta = log((1 - q)/q) and u_a = -u_b = beta delta/2 > log 3."),
            more_than("(exp(u_a) - 1)^2 > 4, with m = exp(u_a) > 3.", (m - 1) ** 2, Integer(4), [m > 3]),
        ],
        reading=MOVING,
        assumptions=TWO_OUTPUTS,
    )


def dynamics_with_kl_held_fixed() -> Claim:
    """Return the claim that gradient descent with a detached z0 goes to the majority's output."""
    return claim(
        "dynamics_with_kl_held_fixed",
        "With z0 = KL(pi || pi_ref) held fixed within each step, every start with 0 < t < 1 leads to t = 1.",
        [
            given("Without a gradient through z0, -dL/ds is as for a constant, at the z0 of the moment."),
            more_than(
                "It is positive for 0 < t < 1, whatever u_a and u_b are.",
                pull(beta, t, slope(ua), slope(ub)),
                ZERO,
                [t < 1],
            ),
            given("It is continuous in t, so s = logit t rises and has no limit: t tends to 1."),
        ],
        reading="Gradient flow in softmax logits, z0 detached, as KTO is trained.",
        assumptions=TWO_OUTPUTS,
    )


def reported_loss_falls() -> Claim:
    """Return the sentence that the loss falls as training with a detached z0 goes on."""
    return refutation(
        "reported_loss_falls",
        "With z0 = KL held fixed within each step, the loss that is reported, with the KL of the moment, falls all "
        "the way from t = q to t = 1.",
        _named(WITNESS) | {"f at t = q": 0, "f at t": Rational(-3, 5), "f as t tends to 1": -HALF},
        _falls_too_low(),
        reading="Gradient flow in softmax logits, z0 detached, from pi_ref.",
        assumptions=TWO_OUTPUTS,
    )


def when_the_loss_falls() -> Claim:
    """Return the criterion for the reported loss to fall at a policy."""
    share = 1 / (1 + k * exp(-delta))
    f = loss_value(beta, k).subs(gain, delta)
    first, second = (part.subs(gain, delta) for part in arguments(beta, k))
    right = (1 + k * exp(-delta) - delta) * slope(first) + (delta + 1 + exp(delta) / k) * slope(second)
    a, b, n = symbols("a b n", positive=True)
    return claim(
        "when_the_loss_falls",
        "With z0 = KL, the loss falls at a policy t > q, as t grows, if and only if sigmoid'(u_b) (delta + 1/(1 - t)) "
        "> sigmoid'(u_a) (delta - 1/t). It always does for t <= 1/2. If it does for one beta, it does for all "
        "smaller ones.",
        [
            *_moving_arguments(),
            equal(
                "-df/d delta is beta t (1 - t) times the difference of the sides; 1/t = 1 + k exp(-delta).",
                -diff(f, delta),
                beta * share * (1 - share) * right,
            ),
            given("For t <= 1/2, u_a >= -u_b, so that sigmoid'(u_b) >= sigmoid'(u_a)."),
            given("For t > 1/2, sigmoid'(u_b)/sigmoid'(u_a) = (cosh(a n)/cosh(b n))^2 with n = beta delta/2, a < b."),
            equal(
                "The slope of log cosh(a n) - log cosh(b n) in n is (g(a n) - g(b n))/n with g(m) = m tanh m,",
                diff(_log_cosh(a * n) - _log_cosh(b * n), n),
                (_tilt(a * n) - _tilt(b * n)) / n,
            ),
            more_than("and g rises: the ratio falls as beta grows.", diff(_tilt(x), x), ZERO),
        ],
        reading=MOVING,
        assumptions=TWO_OUTPUTS,
    )


def enough_for_the_fall() -> Claim:
    """Return a closed condition for the loss to fall all the way, and what it rests on."""
    steep, flat, shrunk, shared = symbols("g a b c", positive=True)  # exp(delta)/k, exp(x) + exp(-x), exp(-y), 1/t - 1
    return claim(
        "enough_for_the_fall",
        "With z0 = KL, the loss falls all the way from t = q to t = 1 if (1 - beta) exp(1 - beta) >= k/(4e), "
        "k = (1 - q)/q, and it never does for beta >= 1.",
        [
            equal("1/sigmoid'(u) = 2 + exp(u) + exp(-u), also for -u.", 1 / slope(ua), 2 + exp(ua) + exp(-ua)),
            given(
                "With x = u_a and y = -u_b, the criterion is (1 + delta + exp(delta)/k) (2 + exp(x) + exp(-x)) > "
                "(delta - 1 - k exp(-delta)) (2 + exp(y) + exp(-y))."
            ),
            at_least("exp(x) + exp(-x) >= 2.", exp(x) + exp(-x), Integer(2)),
            given("g = exp(delta)/k, a = exp(x) + exp(-x), b = exp(-y), c = k exp(-delta). For delta > 1:"),
            more_than(
                "It holds where 4 g >= (delta - 1) exp(beta delta), for exp(y) <= exp(beta delta) = X.",
                (1 + delta + steep) * (2 + flat),
                (delta - 1 - shared) * (2 + X + shrunk),
                [delta > 1, flat >= 2, shrunk < 1, 4 * steep >= (delta - 1) * X],
            ),
            given("For delta <= 1 the right side is negative. With v = (1 - beta)(delta - 1):"),
            at_least("k (delta - 1) exp(-(1 - beta) delta) <= k exp(-(1 - beta))/((1 - beta) e).", 1 / E, v * exp(-v)),
            given("It is at most 4 by the condition. For beta >= 1 some policy is below -1/2, where f ends."),
        ],
        reading=MOVING,
        assumptions=TWO_OUTPUTS,
    )


def dynamics_through_kl() -> Claim:
    """Return the sentence that gradient flow through z0 leads to the majority's output."""
    return refutation(
        "dynamics_through_kl",
        "With z0 = KL and gradients through it, gradient flow from pi_ref leads to t = 1.",
        _named(WITNESS) | {"f at t": Rational(-3, 5), "f as t tends to 1": -HALF},
        [*_falls_too_low(), given("Gradient flow never raises f, so it cannot pass from t = 1/2 to t = 1.")],
        reading="Gradient flow in softmax logits, z0 part of the objective: it stops at the first stationary point.",
        assumptions=TWO_OUTPUTS,
    )


def value_boundary() -> Boundary:
    """Return beta*(q), up to which the indicator is the minimiser with z0 = KL."""
    points, ratio_low, ratio_high = [], 0.0, 0.0
    for text in (*REFERENCES, NEARLY_ONE):
        reference = Rational(text)
        found, _ = VALUE.largest_beta(reference)
        odds = float((1 - reference) / reference)
        if text == REFERENCES[0]:
            ratio_low = found.middle * np.log(odds) / (2 * np.log(3))
        ratio_high = (1 - found.middle) * 4 * np.e / odds
        points.append({"pi_ref(y_a)": text, "beta*": str(found)})
    return Boundary(
        name="value_boundary",
        statement="With z0 = KL, the indicator of y_a has the smallest loss value for beta <= beta*(q), and not for "
        "beta > beta*(q), q = pi_ref(y_a); always beta*(q) < 1. It does not depend on p or lambda.",
        formula="the largest beta with (exp(beta*(1 - t)*delta) - 1)*(exp(beta*t*delta) - 1) <= 4 for all t in (q, 1), "
        "delta = log(t/(1 - t)) - log(q/(1 - q))",
        points=points,
        asymptotes=(
            "q -> 0: beta* ~ 2 log 3/log(1/q), by the claims where_the_optimum_holds and where_the_optimum_fails; "
            f"at q = {REFERENCES[0]} the ratio of beta* to 2 log 3/log((1 - q)/q) is {ratio_low:.3f}",
            "q -> 1: 1 - beta* ~ (1 - q)/(4 e q), which it does not exceed; "
            f"at q = {NEARLY_ONE} the ratio is {ratio_high:.4f}",
        ),
        axes=("pi_ref(y_a)", "beta*"),
    )


def fall_boundary() -> Boundary:
    """Return the beta up to which the reported loss falls all the way from pi_ref to the indicator."""
    points, ratio_low, ratio_high = [], 0.0, 0.0
    for text in (*REFERENCES, NEARLY_ONE):
        reference = Rational(text)
        found, _ = FALL.largest_beta(reference)
        odds = float((1 - reference) / reference)
        if text == REFERENCES[0]:
            ratio_low = found.middle * np.log(odds) ** 1.5 / np.sqrt(24 * np.sqrt(3))
        ratio_high = (1 - found.middle) * 4 * np.e / odds
        points.append({"pi_ref(y_a)": text, "beta": str(found)})
    return Boundary(
        name="fall_boundary",
        statement="With z0 = KL, the loss value falls all the way from t = q to t = 1 up to this beta. Beyond it, the "
        "loss reported with a detached z0 rises for a while, and gradient flow through z0 stops before t = 1.",
        formula="the largest beta with sigmoid'(u_b)*(delta + 1/(1 - t)) >= sigmoid'(u_a)*(delta - 1/t) for all t in "
        "(q, 1)",
        points=points,
        asymptotes=(
            f"q -> 0: beta ~ (24 sqrt(3))^(1/2) log(1/q)^(-3/2), by expansion; at q = {REFERENCES[0]} the ratio is "
            f"{ratio_low:.3f}",
            f"q -> 1: 1 - beta ~ (1 - q)/(4 e q), by expansion; at q = {NEARLY_ONE} the ratio is {ratio_high:.4f}",
        ),
        axes=("pi_ref(y_a)", "beta"),
    )


def interior_minimisers() -> Boundary:
    """Return where the loss value with z0 = KL is least, beyond the curve."""
    points = []
    for strength, reference in BEYOND:
        place, value = minimiser(Rational(strength), Rational(reference))
        points.append({"beta": strength, "pi_ref(y_a)": reference, "t": str(place), "f": str(value)})
    return Boundary(
        name="interior_minimisers",
        statement="Beyond beta*(q) every minimiser of the loss value lies in these intervals of t = pi(y_a), where "
        "f = sigmoid(u_b) - sigmoid(u_a) is below the indicator's -1/2.",
        points=points,
        asymptotes=("q -> 0: t -> 1/2, by expansion: a policy that does not prefer y_a at all",),
    )


def _moving_arguments() -> list:
    """Return the steps from z0 = KL to u_a and u_b."""
    first, second = symbols("rho_a rho_b", real=True)
    mean = t * first + (1 - t) * second
    return [
        given("rho_y = log pi(y)/pi_ref(y), z0 = t rho_a + (1 - t) rho_b, delta = rho_a - rho_b."),
        equal("u_a = beta (1 - t) delta.", beta * (first - UnevaluatedExpr(mean)), beta * (1 - t) * (first - second)),
        equal("u_b = -beta t delta.", beta * (second - UnevaluatedExpr(mean)), -beta * t * (first - second)),
    ]


def _product_bound() -> list:
    """Return the steps to (exp(x) - 1)(exp(y) - 1) < beta k delta exp(-(1 - beta) delta)."""
    return [
        given("The indicator is the better one where (exp(x) - 1)(exp(y) - 1) < 4, x = u_a, y = -u_b, for t > q."),
        more_than("exp(x) - 1 < x exp(x).", x * exp(x), exp(x) - 1),
        at_least("So the product is below x exp(x + y),", x * exp(x + y), (exp(x) - 1) * (exp(y) - 1)),
        given("where x + y = beta delta and x = beta (1 - t) delta."),
        at_least("1 - t <= k exp(-delta): it is below beta k delta exp(-(1 - beta) delta).", k * exp(-delta), _tail()),
    ]


def _falls_too_low() -> list:
    """Return the steps that f passes below its end on the way from t = q to t = 1."""
    return [
        given("f = sigmoid(u_b) - sigmoid(u_a) is the part of the loss that moves; at t = q, f = 0."),
        more_than("t = 1/2 lies on the way.", WITNESS[t], WITNESS[q]),
        equal("u_a = log 4 there.", UnevaluatedExpr(WITNESS[beta]) * HALF * log(1 / WITNESS[q] - 1), log(4)),
        equal("f = -3/5 there.", sigmoid(-log(4)) - sigmoid(log(4)), Rational(-3, 5)),
        more_than("It ends at -1/2, which is higher.", -HALF, Rational(-3, 5)),
    ]


def _log_cosh(u: Expr) -> Expr:
    """Return log cosh u, but for a constant."""
    return log(exp(u) + exp(-u))


def _tilt(u: Expr) -> Expr:
    """Return u tanh u."""
    return u * (exp(u) - exp(-u)) / (exp(u) + exp(-u))


def _share(gap: Expr) -> Expr:
    """Return 1 - t for a gap delta."""
    return k * exp(-gap) / (1 + k * exp(-gap))


def _tail() -> Expr:
    return _share(delta)


def _odds(rest: Expr) -> Expr:
    """Return k t/(1 - t) for 1 - t, which is exp(delta)."""
    return k * (1 - rest) / rest


def _far() -> list:
    return [delta >= 16 * k]


def _loss_at(fraction: Expr, f: Expr) -> Expr:
    return 1 + (2 * fraction - 1) * f


def _premise(numbers: Mapping[Expr, Expr]) -> tuple[Expr, Expr]:
    smaller, larger = p ** (1 / beta) * q, (1 - p) ** (1 / beta) * (1 - q)
    return put(larger, numbers), put(smaller, numbers)


def _named(numbers: Mapping[Expr, Expr]) -> dict[str, Expr]:
    shown = {q: "pi_ref(y_a)", t: "pi(y_a)"}
    return {shown.get(symbol, str(symbol)): value for symbol, value in numbers.items()}


def _worlds() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return random beta, log-odds of the reference, and policies as logits, a row a world, with what is left over."""
    generator = np.random.default_rng(0)
    betas = np.exp(generator.uniform(np.log(0.02), np.log(5), (_WORLDS, 1)))
    reference = generator.uniform(-12, 12, (_WORLDS, 1))
    logits = np.linspace(-20, 20, _POLICIES)[None, :]
    return betas, reference, logits, generator.normal(size=(_WORLDS, 1))


def _least_with_a_constant() -> Trial:
    """Return by how much the loss with a constant z0 rises from one policy to the next, at most."""
    betas, reference, logits, constant = _worlds()
    u_a = betas * (_log_sigmoid(logits) - _log_sigmoid(reference) - constant)
    u_b = betas * (_log_sigmoid(-logits) - _log_sigmoid(-reference) - constant)
    f = np.exp(_log_sigmoid(u_b)) - np.exp(_log_sigmoid(u_a))
    rise = max(0.0, float(np.diff(f, axis=1).max()))
    return Trial(text="the loss never rises with t", count=_WORLDS, largest_error=rise, tolerance=1e-12)


def _criterion_agrees() -> Trial:
    """Return f + 1/2 from the log-ratios and their mean, against the product of the criterion."""
    betas, reference, logits, _ = _worlds()
    t_, e_ = np.exp(_log_sigmoid(logits)), np.exp(_log_sigmoid(-logits))
    rho_a, rho_b = _log_sigmoid(logits) - _log_sigmoid(reference), _log_sigmoid(-logits) - _log_sigmoid(-reference)
    kl = t_ * rho_a + e_ * rho_b
    u_a, u_b = betas * (rho_a - kl), betas * (rho_b - kl)
    f = np.exp(_log_sigmoid(u_b)) - np.exp(_log_sigmoid(u_a))
    above = np.abs(u_a) + np.abs(u_b) < 300
    x_, y_ = np.where(above, u_a, 0), np.where(above, -u_b, 0)
    right = (4 - np.expm1(x_) * np.expm1(y_)) / (2 * (1 + np.exp(x_)) * (1 + np.exp(y_)))
    error = np.abs(np.where(above, f + 0.5 - right, 0)).max()
    return Trial(
        text="f + 1/2, and the criterion", count=_WORLDS * _POLICIES, largest_error=error, tolerance=_TOLERANCE
    )


def _log_sigmoid(u: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -u)
