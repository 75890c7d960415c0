"""Theorem 4 of the KTO paper, the half on DPO: what its optimum does with preferences that contradict each other."""

from collections.abc import Mapping

import numpy as np
from sympy import Expr, Integer, Rational, UnevaluatedExpr, diff, exp, log, symbols

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
from halotheory.theorems.kto_curves import enclosed
from halotheory.theorems.kto_loss import put

_WORLDS, _NEWTON_STEPS, _TOLERANCE = 5000, 60, 1e-8

beta, p, q, w, m = symbols("beta p q w m", positive=True)
u = symbols("u", real=True)
t, c = symbols("t c", positive=True)
qa, qb, qc, root = symbols("q_a q_b q_c r", positive=True)

ZERO = Integer(0)
TWO_OUTPUTS = ("two outputs", "1/2 < p < 1", "0 < pi_ref(y_a|x) < 1", "beta > 0")


def verify() -> Statement:
    """Return the half of Theorem 4 that speaks of DPO, verified."""
    return Statement(
        name="theorem4_dpo",
        title="Theorem 4, DPO: contradictory preferences and the reference model",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Theorem 4 and its proof",
        formal="For one input x, y_a is preferred to y_b in a fraction p of the pairs, 1/2 < p < 1, and y_b to y_a in "
        "the others; q = pi_ref(y_a|x), t = pi(y_a|x), u = beta (r(y_a) - r(y_b)) with r = log pi/pi_ref. DPO's loss "
        "is -p log sigmoid(u) - (1 - p) log sigmoid(-u). If p^(1/beta) pi_ref(y_a|x) < "
        "(1 - p)^(1/beta) pi_ref(y_b|x), its minimiser gives y_b more probability than y_a.",
        assumptions=TWO_OUTPUTS,
        claims=[
            one_optimum(),
            closed_form(),
            prefers_the_minority(),
            implied_reward_favours_the_minority(),
            implied_reward_favours_the_majority(),
            rises_from_the_reference(),
            no_contradiction(),
            third_output_is_free(),
            minoritys_output_is_the_most_probable(),
            gradients_lead_to_the_minority(),
        ],
        boundaries=[reference_boundary()],
        notes=(
            "The minority's output wins because the reference model prefers it: whatever p > 1/2, DPO moves the "
            "policy towards y_a, and stops where its implied reward is log(p/(1 - p))/beta above that of y_b.",
            "A larger beta lets the reference win more often: the boundary rises to 1/2 as beta grows.",
            "The loss does not see outputs that no pair holds, and they may gain probability from both.",
        ),
    )


def one_optimum() -> Claim:
    """Return the claim that the loss is strictly convex in u, with its minimum at logit p."""
    loss, sigmoid = _loss(), 1 / (1 + exp(-u))
    return claim(
        "one_optimum",
        "DPO's loss has exactly one minimiser in u, u = log(p/(1 - p)), and so exactly one optimal policy.",
        [
            given("L(u) = p log(1 + exp(-u)) + (1 - p) log(1 + exp(u))."),
            equal("Its slope is sigmoid(u) - p.", diff(loss, u), sigmoid - p),
            more_than("The slope rises everywhere.", diff(sigmoid - p, u), ZERO),
            equal("It is zero at u = log(p/(1 - p)).", (sigmoid - p).subs(u, log(p / (1 - p))), ZERO),
            equal(
                "u = beta (logit t - logit q) rises with t, from minus to plus infinity, so one u is one policy.",
                diff(beta * (log(t / (1 - t)) - log(q / (1 - q))), t),
                beta / (t * (1 - t)),
            ),
        ],
        assumptions=TWO_OUTPUTS,
    )


def closed_form() -> Claim:
    """Return the claim of the optimum's closed form."""
    reward = log(UnevaluatedExpr(w * q / (1 - q))) - log(q / (1 - q))
    return claim(
        "closed_form",
        "t/(1 - t) = (p/(1 - p))^(1/beta) q/(1 - q) at the optimum.",
        [
            given("With w = (p/(1 - p))^(1/beta), let t = w q/(1 - q + w q)."),
            equal("These are the odds of the claim.", _optimum(w) / (1 - _optimum(w)), w * q / (1 - q)),
            equal("There u = beta log w,", beta * reward, beta * log(w)),
            equal("which is m = log(p/(1 - p)), as w = exp(m/beta).", beta * log(UnevaluatedExpr(exp(m / beta))), m),
        ],
        assumptions=TWO_OUTPUTS,
        trials=[_agrees_with_newton()],
    )


def prefers_the_minority() -> Claim:
    """Return the claim of the exact condition under which y_b is the more probable."""
    high, low = symbols("P_a P_b", positive=True)
    optimum = high * q / (high * q + low * (1 - q))
    return claim(
        "prefers_the_minority",
        "The optimum gives y_b more probability than y_a if and only if "
        "p^(1/beta) pi_ref(y_a) < (1 - p)^(1/beta) pi_ref(y_b); at equality both have 1/2.",
        [
            given("With P_a = p^(1/beta) and P_b = (1 - p)^(1/beta), t = P_a q/(P_a q + P_b (1 - q))."),
            equal("It is the closed form.", optimum.subs(high, w * low), _optimum(w)),
            equal(
                "t < 1/2 exactly where P_a q < P_b (1 - q).",
                optimum - Rational(1, 2),
                UnevaluatedExpr(high * q - low * (1 - q)) / (2 * (high * q + low * (1 - q))),
            ),
            more_than("The denominator is positive.", 2 * (high * q + low * (1 - q)), ZERO, [q < 1]),
        ],
        assumptions=TWO_OUTPUTS,
    )


def implied_reward_favours_the_minority() -> Claim:
    """Return the paper's informal sentence, with the sign of its implied rewards."""
    numbers = {beta: Integer(1), p: Rational(2, 3), q: Rational(1, 5), t: Rational(1, 3)}
    first, second = numbers[t] / numbers[q], (1 - numbers[t]) / (1 - numbers[q])
    return refutation(
        "implied_reward_favours_the_minority",
        "Where the optimal policy is more likely to produce y_b, it does so 'even though the implied reward "
        "r(x, y_b) > r(x, y_a)'.",
        _named(numbers) | {"r(y_a)": f"log({first})", "r(y_b)": f"log({second})"},
        [
            more_than("The premise of Theorem 4 holds.", *_premise(numbers)),
            equal("This t is the optimum.", put(_optimum((p / (1 - p)) ** (1 / beta)), numbers), numbers[t]),
            more_than("It gives y_b more probability.", 1 - numbers[t], numbers[t]),
            more_than("The implied reward of y_a is the larger.", log(first), log(second)),
            more_than("That of y_a is positive,", log(first), ZERO),
            more_than("and that of y_b negative.", ZERO, log(second)),
        ],
        reading="r = log pi/pi_ref at DPO's optimum, as in the proof of Theorem 4.",
        assumptions=TWO_OUTPUTS,
    )


def implied_reward_favours_the_majority() -> Claim:
    """Return the sentence with its sign put right."""
    return claim(
        "implied_reward_favours_the_majority",
        "At DPO's optimum r(x, y_a) - r(x, y_b) = log(p/(1 - p))/beta > 0, whichever output is the more probable: "
        "y_b is preferred even though r(x, y_a) > r(x, y_b).",
        [
            given("u = beta (r(y_a) - r(y_b)) = log(p/(1 - p)) at the optimum."),
            more_than("It is positive.", log(p / (1 - p)), ZERO, [p > Rational(1, 2), p < 1]),
        ],
        assumptions=TWO_OUTPUTS,
    )


def rises_from_the_reference() -> Claim:
    """Return the claim that the optimum is always above the reference."""
    return claim(
        "rises_from_the_reference",
        "The optimum always gives y_a more probability than pi_ref does, also where it prefers y_b.",
        [
            given("w = (p/(1 - p))^(1/beta) > 1, as p > 1/2."),
            more_than("m = log(p/(1 - p)) > 0.", log(p / (1 - p)), ZERO, [p > Rational(1, 2), p < 1]),
            more_than("w = exp(m/beta) > 1.", exp(m / beta), Integer(1)),
            more_than("t > q.", _optimum(w), q, [w > 1, q < 1]),
        ],
        assumptions=TWO_OUTPUTS,
    )


def no_contradiction() -> Claim:
    """Return the claim that p < 1 is needed for an optimum to exist."""
    loss = _loss().subs(p, 1)
    return claim(
        "no_contradiction",
        "With p = 1, where nobody contradicts, DPO's loss has no minimiser: it falls for ever as t tends to 1, "
        "whatever beta and pi_ref.",
        [
            equal("The slope in u is -sigmoid(-u).", diff(loss, u), -1 / (1 + exp(u))),
            more_than("It is negative everywhere.", -diff(loss, u), ZERO),
            more_than("The loss stays above 0,", loss, ZERO),
            at_least("and below exp(-u), which tends to 0.", exp(-u), loss),
        ],
        assumptions=("two outputs", "p = 1", "beta > 0"),
    )


def third_output_is_free() -> Claim:
    """Return the claim that with a third output the optimum is not unique."""
    share = _optimum(w)
    two = log(share / q) - log((1 - share) / (1 - q))
    three = log((1 - c) * share / q) - log((1 - c) * (1 - share) / (1 - q))
    return claim(
        "third_output_is_free",
        "With outputs that no pair holds, DPO's optima are a whole family: the odds of y_a against y_b are "
        "(p/(1 - p))^(1/beta) pi_ref(y_a)/pi_ref(y_b), and what the others get may be anything below 1. The condition "
        "for 'more likely to produce y_b than y_a' stays as it is.",
        [
            given("The loss depends on the policy through pi(y_a)/pi(y_b) alone, as u does."),
            equal("Taking the share c from both outputs leaves u as it was.", three, two),
            equal(
                "Also where pi_ref gives the others c.",
                log(t / ((1 - c) * q)) - log((1 - t) / ((1 - c) * (1 - q))),
                log(t / q) - log((1 - t) / (1 - q)),
            ),
        ],
        assumptions=("three or more outputs", "0 <= c < 1", *TWO_OUTPUTS[1:]),
    )


def minoritys_output_is_the_most_probable() -> Claim:
    """Return the sentence of Theorem 4 read as: y_b is the most probable output."""
    numbers = {p: Rational(2, 3), beta: Integer(1), qa: Rational(1, 10), qb: Rational(2, 5), qc: Rational(1, 2)}
    a, b, other = Rational(1, 12), Rational(1, 6), Rational(3, 4)
    odds = (p / (1 - p)) ** (1 / beta) * qa / qb
    return refutation(
        "minoritys_output_is_the_most_probable",
        "Under the premise of Theorem 4 and with three outputs, every optimal DPO policy is more likely to produce "
        "y_b than anything else.",
        _named(numbers) | {"pi(y_a)": a, "pi(y_b)": b, "pi(y_c)": other},
        [
            more_than("The premise holds.", put((1 - p) * qb, numbers), put(p * qa, numbers)),
            equal("The odds of y_a against y_b are optimal.", put(odds, numbers), a / b),
            equal("It is a policy.", UnevaluatedExpr(a) + UnevaluatedExpr(b) + UnevaluatedExpr(other), Integer(1)),
            more_than("y_c, of which nobody was asked, is the most probable.", other, b),
        ],
        reading="'More likely to produce y_b' than any other output.",
        assumptions=("three outputs",),
    )


def gradients_lead_to_the_minority() -> Claim:
    """Return which of the optima gradient flow from pi_ref tends to, and that y_c may be its favourite."""
    numbers = {p: Rational(2, 3), beta: Rational(1, 2), qa: Rational(1, 10), qb: Rational(1, 2), qc: Rational(2, 5)}
    weights = qa * root + qb / root + qc
    shares = [part.subs({root: 2} | numbers) for part in (qa * root / weights, qb / root / weights, qc / weights)]
    sa, sb = symbols("s_a s_b", real=True)
    argument = beta * (sa - sb - log(qa / qb))
    return refutation(
        "gradients_lead_to_the_minority",
        "Under the premise of Theorem 4 and with three outputs, gradient flow from pi_ref in softmax logits ends at a "
        "policy that is more likely to produce y_b than anything else.",
        _named(numbers) | {"pi(y_a)": shares[0], "pi(y_b)": shares[1], "pi(y_c)": shares[2]},
        [
            given("u = beta (s_a - s_b - log(q_a/q_b)) with logits s; the loss is convex in u."),
            given("The logit of y_c has no gradient,"),
            equal("and u rises with s_a as it falls with s_b.", diff(argument, sa), -diff(argument, sb)),
            given("So the limit is proportional to (q_a r, q_b/r, q_c), with r^2 = (p/(1 - p))^(1/beta)."),
            equal("Here r = 2.", put((p / (1 - p)) ** (1 / beta), numbers), UnevaluatedExpr(Integer(2)) ** 2),
            more_than("The premise holds.", put((1 - p) ** 2 * qb, numbers), put(p**2 * qa, numbers)),
            more_than("pi_ref prefers y_b to y_c,", numbers[qb], numbers[qc]),
            more_than("but the limit prefers y_c, which no pair holds.", shares[2], shares[1]),
        ],
        reading="'More likely to produce y_b' than any other output, at the optimum that training reaches.",
        assumptions=("three outputs", "softmax logits", "gradient flow from pi_ref"),
    )


def reference_boundary() -> Boundary:
    """Return the curve in (beta, q) on which both outputs have probability 1/2."""
    fractions = [Rational(11, 20), Rational(3, 5), Rational(2, 3), Rational(9, 10)]
    betas = [Rational(1, 10), Rational(1, 4), Rational(1, 2), Integer(1), Integer(2), Integer(10)]
    curve = 1 / (1 + (p / (1 - p)) ** (1 / beta))
    points = [
        {"p": str(f), "beta": str(b), "pi_ref(y_a)": str(enclosed(curve.subs({p: f, beta: b})))}
        for f in fractions
        for b in betas
    ]
    return Boundary(
        name="reference_boundary",
        statement="Below the curve pi_ref(y_a) = q(beta), DPO's optimum prefers the minority's y_b; above it, y_a.",
        formula=str(curve),
        points=points,
        asymptotes=(
            "beta -> oo: q -> 1/2, so that the reference's favourite wins whatever p is",
            "beta -> 0: q ~ ((1 - p)/p)^(1/beta) -> 0, so that the majority wins",
            "p -> 1/2: q -> 1/2",
        ),
        axes=("beta", "pi_ref(y_a)", "p"),
    )


def _loss() -> Expr:
    return p * log(1 + exp(-u)) + (1 - p) * log(1 + exp(u))


def _optimum(weight: Expr) -> Expr:
    return weight * q / (1 - q + weight * q)


def _premise(numbers: Mapping[Expr, Expr]) -> tuple[Expr, Expr]:
    """Return the larger and the smaller side of Theorem 4's condition."""
    smaller, larger = p ** (1 / beta) * q, (1 - p) ** (1 / beta) * (1 - q)
    return put(larger, numbers), put(smaller, numbers)


def _named(numbers: Mapping[Expr, Expr]) -> dict[str, Expr]:
    shown = {q: "pi_ref(y_a)", t: "pi(y_a)", qa: "pi_ref(y_a)", qb: "pi_ref(y_b)", qc: "pi_ref(y_c)"}
    return {shown.get(symbol, str(symbol)): value for symbol, value in numbers.items()}


def _agrees_with_newton() -> Trial:
    """Return the closed form against Newton's method on the loss, from pi_ref, in the logit of t."""
    generator = np.random.default_rng(0)
    fraction = generator.uniform(0.5, 1, _WORLDS)
    reference = generator.uniform(0.001, 0.999, _WORLDS)
    betas = np.exp(generator.uniform(np.log(0.02), np.log(5), _WORLDS))
    start = np.log(reference / (1 - reference))
    logit = start.copy()
    for _ in range(_NEWTON_STEPS):
        chosen = 1 / (1 + np.exp(-betas * (logit - start)))
        logit -= (chosen - fraction) / (betas * chosen * (1 - chosen))
    odds = (fraction / (1 - fraction)) ** (1 / betas) * reference / (1 - reference)
    error = np.abs(1 / (1 + np.exp(-logit)) - odds / (1 + odds)).max()
    text = "t of the closed form, and Newton's method on the loss"
    return Trial(text=text, count=_WORLDS, largest_error=float(error), tolerance=_TOLERANCE)
