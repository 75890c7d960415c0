"""Theorem 4 of the KTO paper: what becomes of its half on KTO with three or more outputs."""

import numpy as np
from sympy import Expr, Integer, Rational, UnevaluatedExpr, diff, exp, log, symbols

from halotheory.theorems import kto_outputs_kl as kl
from halotheory.theorems.claims import Claim, Statement, Trial, at_least, claim, equal, given, more_than, refutation
from halotheory.theorems.kto_loss import put, weights

_WORLDS, _OUTPUTS, _STEP = 500, 5, 1e-6

beta, t, q, p, ratio, z = symbols("beta t q p rho z", positive=True)
k, qa, qc = symbols("k q_a q_c", positive=True)
ga, gb = symbols("G_a G_b", nonnegative=True)
x, y, m = symbols("x y m", nonnegative=True)
a, b = symbols("A B", nonnegative=True)

ZERO, HALF = Integer(0), Rational(1, 2)
POLICY = [x > 0, y > 0, x + y < 1, m <= (1 - x - y) ** 2]
OUTPUTS = ("outputs y_a, y_b and others that are in no data", "1/2 < p < 1", "pi_ref > 0 on all outputs", "beta > 0")
RATES = given(
    "x = pi(y_a), y = pi(y_b), m is the sum of the other pi(y_c)^2, at most (1 - x - y)^2; G_a = A beta sigmoid'(u_a), "
    "G_b = B beta sigmoid'(u_b). d log pi(y_a) = c1 G_a + c2 G_b with c1 = 1 - 2x + x^2 + y^2 + m and c2 = x + y - x^2 "
    "- y^2 - m; d log(pi(y_a)/pi(y_b)) = G_a (1 - x + y) + G_b (1 + x - y)."
)
LOGITS = "Gradient flow in softmax logits, z0 detached: a constant, or KL held fixed within each step."


def verify() -> Statement:
    """Return Theorem 4's half on KTO for three or more outputs, verified."""
    return Statement(
        name="theorem4_kto_outputs",
        title="Theorem 4, KTO: three or more outputs",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Theorem 4",
        formal="As for two outputs, with further outputs y_c of which no preference speaks. Over lambda_U the loss is "
        "rho - A sigmoid(u_a) + B sigmoid(u_b), A = p rho - (1 - p), B = p - (1 - p) rho, rho = lambda_D/lambda_U.",
        assumptions=OUTPUTS,
        claims=[
            optimum_with_a_constant(),
            optimum_with_a_fixed_distribution_of_three(),
            optimum_at_the_lower_end(),
            indicator_with_kl(),
            majority_gains_on_the_minority(),
            majority_always_rises(),
            majority_always_rises_from_the_reference(),
            first_step_with_the_advice(),
            every_start_leads_to_the_majority(),
            where_gradients_vanish(),
            kl.majority_rises_on_the_way(),
            kl.minimiser_with_kl(),
            kl.minimiser_with_kl_and_large_beta(),
            kl.weights_with_kl(),
            kl.rest_points_through_kl(),
            kl.dynamics_through_kl_of_three(),
        ],
        boundaries=[kl.minimisers()],
        notes=(
            "Outputs that nobody judged matter: with z0 = KL as part of the objective, giving some of them probability "
            "is always better than y_a alone, for every beta and pi_ref. The less pi_ref gives to y_a, the less does "
            "the minimiser, too, though no faster than 1/log(1/pi_ref(y_a)).",
            "On its way the policy may take probability from y_b and give it to such outputs faster than to y_a: with "
            "z0 a constant even on the way from pi_ref under loss neutrality (majority_rises_on_the_way). With z0 = KL "
            "held fixed this is shown at other policies only, or for lambda_D < lambda_U; no such way from pi_ref is "
            "known, and none is excluded.",
            "With gradients through KL the flow from pi_ref may stop short of y_a (dynamics_through_kl_of_three). It "
            "need not: in simulations, which prove nothing, it goes to y_a from a uniform pi_ref at beta = 1/10, "
            "although policies next to that end are better.",
        ),
    )


def optimum_with_a_constant() -> Claim:
    """Return the claim that with a constant z0 the theorem holds for any number of outputs."""
    rising = t**beta / (t**beta + k)
    return claim(
        "optimum_with_a_constant",
        "With z0 a constant and (1 - p)/p < lambda_D/lambda_U <= p/(1 - p), the indicator of y_a is the only minimiser "
        "of the loss, for every beta, pi_ref and z0.",
        [
            given("sigmoid(u_y) = pi(y)^beta/(pi(y)^beta + k_y), k_y = (pi_ref(y) exp(z0))^beta."),
            more_than("It rises strictly with pi(y), t = pi(y).", diff(rising, t), ZERO),
            more_than("A > 0: sigmoid(u_a) is largest at pi(y_a) = 1 alone.", weights(p, ratio)[0], ZERO, _above()),
            at_least("B >= 0: sigmoid(u_b) is least, 0, there too.", weights(p, ratio)[1], ZERO, _below()),
        ],
        assumptions=OUTPUTS,
    )


def optimum_with_a_fixed_distribution_of_three() -> Claim:
    """Return the sentence that z0 = E_Q[r] with a fixed Q may stand for the constant, refuted at its limits."""
    n, v, w = symbols("n v w", positive=True)
    few, root = n**-3, v * n**-2
    chosen, rejected, lower = v**3 / (v**3 + root), few / (few + root), few / (few + v * n**-5)
    spread = 1 / (1 + w * n**2)
    return refutation(
        "optimum_with_a_fixed_distribution_of_three",
        "With z0 = E_Q[r], the loss has a limit at the indicator of y_a, which is less than its limit at any other "
        "policy.",
        {
            "beta": 1,
            "pi_ref = Q": "(1/3, 1/3, 1/3)",
            "pi_1": "(1 - 2/n^3, 1/n^3, 1/n^3), where f tends to -1",
            "pi_2": "(1 - 1/n^3 - 1/n^12, 1/n^3, 1/n^12), where f tends to 0",
            "pi_3": "(1/2, 1/n^3, 1/2 - 1/n^3), where f tends to -1",
        },
        [
            given(
                "Under loss neutrality the part of the loss that moves is f = sigmoid(u_b) - sigmoid(u_a), f > -1. "
                "Here sigmoid(u_y) = pi(y)/(pi(y) + (pi(y_a) pi(y_b) pi(y_c))^(1/3)). Let n >= 2, v = pi(y_a)^(1/3)."
            ),
            at_least("At pi_1, which tends to the indicator, v >= 1/2 and sigmoid(u_a) >= 1 - 4/n^2,",
                     chosen, 1 - 4 / n**2, [v >= HALF, n >= 2]),
            at_least("while sigmoid(u_b) <= 2/n: f tends to -1.", 2 / n, rejected, [v >= HALF, n >= 2]),
            at_least("At pi_2, which also tends to the indicator, v <= 1 and sigmoid(u_b) >= 1 - 1/n^2: f tends to 0.",
                     lower, 1 - n**-2, [v <= 1, n >= 2]),
            given("At pi_3, which tends to (1/2, 0, 1/2), pi(y_a) pi(y_c) is at least 1/16, and sigmoid(u_b) = "
                  "1/(1 + w n^2) with w = (pi(y_a) pi(y_c))^(1/3) >= 1/4:"),
            at_least("it tends to 0;", 4 / n**2, spread, [w >= Rational(1, 4)]),
            at_least("and sigmoid(u_a) = 1/(1 + 2 w/n), w <= 1, tends to 1: f tends to -1, as at pi_1.",
                     1 / (1 + 2 * w / n), 1 - 2 / n, [w <= 1, n >= 2]),
        ],
        reading="Q is a distribution over the outputs that does not move with the policy; z0 moves, as r does. With "
        "two outputs the theorem holds under this reading.",
        assumptions=(*OUTPUTS, "lambda_D = lambda_U"),
    )  # fmt: skip


def optimum_at_the_lower_end() -> Claim:
    """Return the claim for the lower end of the interval, which two outputs allow."""
    numbers = {p: Rational(3, 5), ratio: Rational(2, 3)}
    return refutation(
        "optimum_at_the_lower_end",
        "With z0 a constant and lambda_D/lambda_U = (1 - p)/p, the indicator of y_a is the only minimiser, as it is "
        "with two outputs.",
        {"p": "3/5", "lambda_D": 2, "lambda_U": 3, "pi(y_a)": 0, "pi(y_b)": 0, "pi(y_c)": 1},
        [
            equal("A = 0,", put(weights(p, ratio)[0], numbers), ZERO),
            more_than("B > 0: only sigmoid(u_b) is left,", put(weights(p, ratio)[1], numbers), ZERO),
            given("which is 0 for every policy with pi(y_b) = 0, the witness among them."),
        ],
        assumptions=OUTPUTS,
    )


def indicator_with_kl() -> Claim:
    """Return the claim that with z0 = KL the indicator is never the minimiser."""
    rho_a, rho_c = log(t / qa), log((1 - t) / qc)
    kl = t * rho_a + (1 - t) * rho_c
    return claim(
        "indicator_with_kl",
        "With z0 = KL(pi || pi_ref), under loss neutrality, the indicator of y_a is never the minimiser of the loss, "
        "for any beta > 0 and pi_ref: pi(y_a) = t, pi(y_c) = 1 - t is better for every t between q_a/(q_a + q_c) and "
        "1, where q = pi_ref.",
        [
            given("The part of the loss that moves is f = sigmoid(u_b) - sigmoid(u_a); the indicator has f = -1/2."),
            given("pi(y_b) = 0: sigmoid(u_b) = 0."),
            equal(
                "u_a = beta (log t/q_a - KL) = beta (1 - t) (log t/q_a - log (1 - t)/q_c).",
                beta * (rho_a - UnevaluatedExpr(kl)),
                beta * (1 - t) * (rho_a - rho_c),
            ),
            more_than("t/q_a > (1 - t)/q_c,", t / qa, (1 - t) / qc, [t > qa / (qa + qc), t < 1]),
            more_than("so that u_a > 0: with 1 + z for their ratio,", log(1 + z), ZERO),
            more_than("f = -sigmoid(u_a) < -1/2, with z for u_a.", 1 / (1 + exp(-z)), HALF),
            given("f is continuous: policies with a little pi(y_b) > 0 are better than the indicator, too."),
        ],
        reading="z0 = KL is part of the loss value, whether or not gradients flow through it.",
        assumptions=(*OUTPUTS, "lambda_D = lambda_U"),
        trials=[_better_than_the_indicator()],
    )


def majority_gains_on_the_minority() -> Claim:
    """Return the claim that the odds of y_a against y_b always rise."""
    return claim(
        "majority_gains_on_the_minority",
        "With A > 0 and B >= 0, pi(y_a)/pi(y_b) rises all the time, whatever the other outputs do; so no policy that "
        "gives every output some probability is at rest.",
        [
            *_flow(),
            more_than("It is positive.", _gain(), ZERO, [ga > 0, *POLICY]),
        ],
        reading=LOGITS,
        assumptions=(*OUTPUTS, "A > 0", "B >= 0"),
        trials=[_flow_agrees()],
    )


def majority_always_rises() -> Claim:
    """Return the sentence that the majority's output always gains, refuted under loss neutrality."""
    policy, reference = (Rational(1, 20), Rational(1, 20)), (Rational(9, 10), Rational(1, 20))
    other = 1 - policy[0] - policy[1]
    pulls = [own * base / (own + base) ** 2 for own, base in zip(policy, reference, strict=True)]
    return refutation(
        "majority_always_rises",
        "Under loss neutrality pi(y_a) rises at every policy.",
        {
            "beta": 1,
            "z0": 0,
            "pi(y_a)": policy[0],
            "pi(y_b)": policy[1],
            "pi(y_c)": other,
            "pi_ref(y_a)": reference[0],
            "pi_ref(y_b)": reference[1],
            "pi_ref(y_c)": Rational(1, 20),
        },
        [
            RATES,
            given("With beta = 1 and z0 = 0, sigmoid'(u_y) = pi pi_ref/(pi + pi_ref)^2; A = B cancels."),
            more_than(
                "The sum is negative: y_b's probability goes to y_c.",
                ZERO,
                put(_growth(), {ga: pulls[0], gb: pulls[1], x: policy[0], y: policy[1], m: other**2}),
            ),
        ],
        reading=LOGITS,
        assumptions=(*OUTPUTS, "lambda_D = lambda_U"),
    )


def majority_always_rises_from_the_reference() -> Claim:
    """Return the same at the reference, refuted for unequal weights within the interval."""
    numbers = {p: Rational(3, 5), ratio: Rational(3, 4)}
    first, second = (weight.subs(numbers) for weight in weights(p, ratio))
    place = {x: Rational(1, 10), y: Rational(1, 10), m: Rational(16, 25)}
    return refutation(
        "majority_always_rises_from_the_reference",
        "With (1 - p)/p < lambda_D/lambda_U <= p/(1 - p), pi(y_a) rises at pi = pi_ref.",
        {
            "p": numbers[p],
            "lambda_D": 3,
            "lambda_U": 4,
            "beta": "any",
            "pi_ref(y_a)": place[x],
            "pi_ref(y_b)": place[y],
            "pi_ref(y_c)": 1 - place[x] - place[y],
        },
        [
            RATES,
            equal("A,", put(weights(p, ratio)[0], numbers), first),
            equal("B.", put(weights(p, ratio)[1], numbers), second),
            given("At pi_ref, sigmoid' is 1/4 for both: G_a and G_b are as A and B."),
            more_than("The sum is negative.", ZERO, put(_growth(), {ga: first, gb: second, **place})),
        ],
        reading=LOGITS,
        assumptions=OUTPUTS,
    )


def first_step_with_the_advice() -> Claim:
    """Return the claim that lambda_D >= lambda_U makes the majority's output rise at first."""
    return claim(
        "first_step_with_the_advice",
        "With 1 <= lambda_D/lambda_U <= p/(1 - p), the first step from pi_ref raises pi(y_a), whatever pi_ref is and "
        "however many outputs there are.",
        [
            RATES,
            at_least("A >= B for rho >= 1.", *weights(p, ratio), [p > HALF, p < 1, ratio >= 1]),
            given("At pi_ref, G_a and G_b are as A and B."),
            more_than("The sum is positive.", _growth(), ZERO, [ga > 0, ga >= gb, *POLICY]),
        ],
        reading=LOGITS,
        assumptions=OUTPUTS,
    )


def every_start_leads_to_the_majority() -> Claim:
    """Return the claim that in the end the majority's output has all probability."""
    first, second = _coefficients()
    return claim(
        "every_start_leads_to_the_majority",
        "With A > 0 and B >= 0, every start that gives y_a and y_b some probability leads to pi(y_a) = 1, for every "
        "beta and pi_ref.",
        [
            RATES,
            at_least("d log pi(y_a) is at most twice the growth of the log-odds,", 2 * _gain(), _growth(), POLICY),
            at_least("and at least minus that.", 2 * _gain(), -_growth(), POLICY),
            given(
                "If the odds stay bounded, then the growth has a finite integral, and so log pi(y_a) a limit x > 0 "
                "and log pi(y_b) one, y > 0."
            ),
            at_least("But the growth is at least 2 y G_a,", _gain(), 2 * y * ga, POLICY),
            given("and G_a >= a positive constant, as z0 is bounded: a contradiction. So the odds tend to infinity."),
            given(
                "sigmoid'(u) <= exp(u), and sigmoid'(u_a) >= a constant times exp(u_a), as u_a is bounded from "
                "above: G_b/G_a <= a constant times exp(u_b - u_a), where z0 cancels. It tends to 0."
            ),
            at_least("c1 >= m,", first, m, POLICY),
            at_least("m >= -c2,", m, -second, POLICY),
            at_least("and c1 >= (1 - x)^2.", first, (1 - x) ** 2, POLICY),
            given(
                "So from the time at which G_b < G_a/2, pi(y_a) rises, at a rate c1 G_a/2 at least, which is bounded "
                "away from 0 as long as pi(y_a) is away from 1."
            ),
        ],
        reading=LOGITS,
        assumptions=(*OUTPUTS, "A > 0", "B >= 0", "z0 bounded, as KL <= max log 1/pi_ref is"),
    )


def where_gradients_vanish() -> Claim:
    """Return the starts from which nothing moves."""
    return claim(
        "where_gradients_vanish",
        "With A > 0 and B > 0, the gradient vanishes at exactly these policies: pi(y_a) = 1; and pi(y_a) = 0 with "
        "pi(y_b) = 0 or 1. From pi(y_a) = 0 the policy never comes to produce y_a.",
        [
            RATES,
            given("Where pi(y_a) > 0, G_a > 0, and at rest the growth of the log-odds is 0:"),
            more_than("it is positive for x < 1.", _gain(), ZERO, [ga > 0, x > 0, x < 1, x + y <= 1]),
            given(
                "Where pi(y_a) = 0, sigmoid'(u_a) = 0 and G_a = 0, and the logit of y_a has the gradient "
                "G_b pi(y_a) = 0. That of y_b is G_b (1 - y):"
            ),
            more_than("it is positive for 0 < y < 1, where G_b > 0.", gb * (1 - y), ZERO, [gb > 0, y < 1]),
        ],
        reading=LOGITS,
        assumptions=(*OUTPUTS, "A > 0", "B > 0"),
    )


def _flow() -> list:
    """Return the steps from the loss to what gradient flow does with y_a and y_b."""
    total = x**2 + y**2 + m
    logit_a, logit_b = ga * (1 - x) + gb * x, -ga * y - gb * (1 - y)
    mean = ga * (x - total) - gb * (y - total)
    return [
        RATES,
        given(
            "The logit of an output with probability w moves at the rate G_a (1[it is y_a] - w) - "
            "G_b (1[it is y_b] - w), and d log w is that less its mean under the policy. So:"
        ),
        equal("d log pi(y_a),", UnevaluatedExpr(logit_a) - UnevaluatedExpr(mean), _growth()),
        equal("and d log(pi(y_a)/pi(y_b)).", UnevaluatedExpr(logit_a) - UnevaluatedExpr(logit_b), _gain()),
    ]


def _coefficients() -> tuple[Expr, Expr]:
    """Return c1 and c2 of d log pi(y_a) = c1 G_a + c2 G_b."""
    total = x**2 + y**2 + m
    return 1 - 2 * x + total, x + y - total


def _growth() -> Expr:
    """Return d log pi(y_a)."""
    first, second = _coefficients()
    return first * ga + second * gb


def _gain() -> Expr:
    """Return d log(pi(y_a)/pi(y_b))."""
    return ga * (1 - x + y) + gb * (1 + x - y)


def _above() -> list:
    return [p > HALF, p < 1, ratio > (1 - p) / p]


def _below() -> list:
    return [p > HALF, p < 1, ratio <= p / (1 - p)]


def _better_than_the_indicator() -> Trial:
    """Return by how much -1/2 is missed by the best t with pi(y_b) = 0, in random worlds."""
    generator = np.random.default_rng(0)
    reference = generator.dirichlet(np.ones(3), _WORLDS)
    betas = np.exp(generator.uniform(np.log(0.02), np.log(5), _WORLDS))
    own = reference[:, 0] / (reference[:, 0] + reference[:, 2])
    share = (1 + own) / 2
    kl = share * np.log(share / reference[:, 0]) + (1 - share) * np.log((1 - share) / reference[:, 2])
    f = -1 / (1 + np.exp(-betas * (np.log(share / reference[:, 0]) - kl)))
    miss = max(0.0, float((f + 0.5).max()))
    return Trial(text="t halfway from q_a/(q_a + q_c) to 1 is better", count=_WORLDS, largest_error=miss, tolerance=0)


def _flow_agrees() -> Trial:
    """Return the formula of d log(pi(y_a)/pi(y_b)), against differences of the loss in the logits."""
    generator = np.random.default_rng(0)
    reference = generator.dirichlet(np.ones(_OUTPUTS), _WORLDS)
    logits = generator.normal(size=(_WORLDS, _OUTPUTS))
    betas, constant = np.exp(generator.uniform(-3, 1.5, _WORLDS)), generator.normal(size=_WORLDS)
    first, second = generator.uniform(0, 1, (2, _WORLDS))

    def u(logits: np.ndarray) -> np.ndarray:
        policy = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return betas[:, None] * (np.log(policy / reference)[:, :2] - constant[:, None])

    def loss(logits: np.ndarray) -> np.ndarray:
        chosen = 1 / (1 + np.exp(-u(logits)))
        return second * chosen[:, 1] - first * chosen[:, 0]

    steps = _STEP * np.eye(_OUTPUTS)[:2]
    rates = [(loss(logits - step) - loss(logits + step)) / (2 * _STEP) for step in steps]
    policy = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    chosen = 1 / (1 + np.exp(-u(logits)))
    pulls = np.stack([first, second], 1) * betas[:, None] * chosen * (1 - chosen)
    formula = pulls[:, 0] * (1 - policy[:, 0] + policy[:, 1]) + pulls[:, 1] * (1 + policy[:, 0] - policy[:, 1])
    error = float(np.abs(rates[0] - rates[1] - formula).max())
    return Trial(
        text="d log(pi(y_a)/pi(y_b)), and differences of the loss", count=_WORLDS, largest_error=error, tolerance=1e-8
    )
