"""KTO's loss for three or more outputs with z0 = KL as part of it: its minimiser, its rest points, and a path."""

import numpy as np
from sympy import E, Integer, Rational, diff, exp, log, symbols

from halotheory.findings import Status
from halotheory.proving.enclose import sign
from halotheory.theorems.claims import (
    Boundary,
    Claim,
    Step,
    Trial,
    at_least,
    claim,
    equal,
    given,
    more_than,
    refutation,
)
from halotheory.theorems.kto_curves import Enclosed, around
from halotheory.theorems.kto_loss import weights
from halotheory.theorems.kto_paths import METHOD, Path

_WORLDS, _OUTPUTS, _STEP = 500, 5, 1e-6

beta, p, A, B, M = symbols("beta p A B M", positive=True)
qa, qb, qc, v, w, c, G, U, X = symbols("q_a q_b Q_c v w c G U X", positive=True)
z, x = symbols("z x", real=True)

ZERO, HALF = Integer(0), Rational(1, 2)
REFERENCES = (
    ("1/3", "1/3"),
    ("1/2", "2/5"),
    ("1/10", "1/10"),
    ("1/100", "1/100"),
    ("1/10000", "1/10000"),
    ("1/1000000", "1/1000000"),
    ("1/1000000", "1/2"),
)
SHORT = Path(reference=(Rational(1, 10), Rational(1, 10), Rational(4, 5)), beta=Rational(1), through_kl=True)
FALLING = Path(
    reference=(Rational(1, 5000), Rational(973, 1000), Rational(67, 2500)), beta=Rational(39, 50), through_kl=False
)

READING = "z0 = KL is part of the loss value, whether or not gradients flow through it."
OUTPUTS = ("outputs y_a, y_b and others that are in no data", "1/2 < p < 1", "pi_ref > 0 on all outputs", "beta > 0")
NAMED = given(
    "X = log pi(y_a)/pi_ref(y_a) - KL, Y and w_c alike for y_b and the others: u_a = beta X, u_b = beta Y. "
    "q = pi_ref, Q_c is the sum of all q_c."
)


def bound_on_the_arguments() -> list[Step]:
    """Return the steps to q_a X exp(X) + q_b Y exp(Y) <= Q_c/e, which holds for every policy."""
    return [
        NAMED,
        given(
            "KL = sum pi log(pi/q) says that pi times (X, Y, w_c) sums to 0; and pi = q exp(KL) exp(X), and so on. "
            "So q_a X exp(X) + q_b Y exp(Y) = -sum q_c w_c exp(w_c)."
        ),
        more_than("With x = -w - 1: exp(x) > 1 + x for x > 0 ...", exp(x), 1 + x, [x > 0]),
        more_than("... and for x < 0.", exp(x), 1 + x, [x < 0]),
        given("So -w exp(w) <= 1/e, with equality at w = -1 alone: the sum is at most Q_c/e."),
        given(
            "The other way round, numbers with that equation are those of a policy: pi = q exp(X)/(the sum of these)."
        ),
    ]


def minimiser_with_kl() -> Claim:
    """Return the minimiser where beta is not large."""
    return claim(
        "minimiser_with_kl",
        "With z0 = KL, beta < 1, A > 0, B > 0 and A beta q_b <= 2 B (1 - beta) (e q_a + Q_c), the only minimiser of "
        "the loss is: pi(y_b) = 0, pi(y_a) = 1/(1 + X) with X exp(X) = Q_c/(e q_a), and the rest shared as in pi_ref.",
        [
            *bound_on_the_arguments(),
            given("Let U be the X with X exp(X) = Q_c/(e q_a), and G = exp(U). The policy named has pi(y_b) = 0, "
                  "sigmoid(u_b) = 0 and X = U: its loss has -A sigmoid(beta U) for the part that moves."),
            equal("(Its w_c are -1, and pi(y_a) U = 1 - pi(y_a) for pi(y_a) = 1/(1 + U).)", U / (1 + U),
                  1 - 1 / (1 + U)),
            given("With pi(y_b) = 0, X <= U, and less unless all w_c = -1. Now pi(y_b) > 0, so sigmoid(u_b) > 0; where "
                  "X <= U, this is worse, as it is for Y >= 0. Else w = -Y > 0 and X > U."),
            at_least("X exp(X) lies above its tangent at U: with m = X - U,", (U + M) * exp(M), U + M * (1 + U)),
            given("so X - U <= (q_b/q_a) w exp(-w)/((1 + U) G)."),
            at_least("(1 + U) G >= 1 + Q_c/(e q_a), as U G is the latter.", G + U * G, 1 + U * G, [G >= 1]),
            at_least("sigmoid' <= 1/4: sigmoid(beta X) exceeds sigmoid(beta U) by at most beta (X - U)/4,",
                     Rational(1, 4), exp(-z) / (1 + exp(-z)) ** 2),
            more_than("while sigmoid(-beta w) > exp(-beta w)/2.", 1 / (1 + exp(v)), exp(-v) / 2),
            at_least("v exp(-v) <= 1/e for v = (1 - beta) w.", 1 / E, v * exp(-v)),
            at_least("So it is enough that A beta (q_b/q_a)/(4 (1 - beta) e (1 + Q_c/(e q_a))) <= B/2.", B / 2,
                     A * beta * qb / (4 * (1 - beta) * (E * qa + qc)),
                     [beta < 1, A * beta * qb <= 2 * B * (1 - beta) * (E * qa + qc)]),
        ],
        reading=READING,
        assumptions=OUTPUTS,
        trials=[_nothing_better()],
    )  # fmt: skip


def minimiser_with_kl_and_large_beta() -> Claim:
    """Return the claim that for beta >= 1 every minimiser keeps the minority's output."""
    return claim(
        "minimiser_with_kl_and_large_beta",
        "With z0 = KL, beta >= 1, A > 0 and B > 0, every minimiser of the loss gives y_b some probability.",
        [
            *bound_on_the_arguments(),
            given("With pi(y_b) = 0 the best has X = U, U exp(U) = Q_c/(e q_a), as shown there. Take instead all "
                  "w_c = -1, Y = -w, and X with X exp(X) = (Q_c/e + q_b w exp(-w))/q_a: a policy, X > U."),
            given("As w exp(-w) <= 1/e, X is at most a number X_1 for all w; between U and X_1 the slopes of X exp(X) "
                  "and sigmoid(beta X) are between positive numbers: sigmoid(beta X) exceeds sigmoid(beta U) by at "
                  "least c w exp(-w), c > 0 a number."),
            more_than("sigmoid' is positive,", exp(-z) / (1 + exp(-z)) ** 2, ZERO),
            equal("and X exp(X) has the slope", diff(X * exp(X), X), (1 + X) * exp(X)),
            at_least("sigmoid(-beta w) <= exp(-beta w) <= exp(-w).", exp(-v), 1 / (1 + exp(v))),
            more_than("So A c w exp(-w) > B exp(-w) for w > B/(A c): it is better.", A * c * w, B, [w * A * c > B]),
        ],
        reading=READING,
        assumptions=(*OUTPUTS[:3], "beta >= 1"),
    )  # fmt: skip


def weights_with_kl() -> Claim:
    """Return the claim that no ratio of the weights makes the indicator the only minimiser."""
    return claim(
        "weights_with_kl",
        "With z0 = KL, the indicator of y_a is the only minimiser for no lambda_D/lambda_U; for lambda_D/lambda_U = "
        "(1 - p)/p it is one of many, and for no other ratio it is one.",
        [
            given("The indicator has -A/2 for the part that moves."),
            given("A > 0: with pi(y_b) = 0 and t between q_a/(q_a + Q_c) and 1 it is -A sigmoid(u_a), u_a > 0, as in "
                  "indicator_with_kl, whatever B is."),
            more_than("That is less.", -A / 2, -A / (1 + exp(-w))),
            equal("A = 0 is lambda_D/lambda_U = (1 - p)/p.", weights(p, (1 - p) / p)[0], ZERO),
            more_than("There B > 0, and every policy with pi(y_b) = 0 has the least value, 0.",
                      weights(p, (1 - p) / p)[1], ZERO, [p > HALF, p < 1]),
            given("A = -M < 0: a policy that gives all to another output y_c has 0, the indicator M/2."),
            more_than("That is more.", M / 2, ZERO),
        ],
        reading=READING,
        assumptions=OUTPUTS,
    )  # fmt: skip


def rest_points_through_kl() -> Claim:
    """Return what all rest points of the flow through KL have in common."""
    logits = symbols("s_a s_b s_c", real=True)
    total = sum(map(exp, logits), ZERO)
    policy = [exp(s) / total for s in logits]
    ratios = [log(share) - log(q) for share, q in zip(policy, (qa, qb, qc), strict=True)]
    mean = sum((share * r for share, r in zip(policy, ratios, strict=True)), ZERO)
    first, second = symbols("g_a g_b", positive=True)
    return claim(
        "rest_points_through_kl",
        "With gradients through KL and lambda_D = lambda_U, every rest point that gives each output some probability "
        "has log pi(y_c)/pi_ref(y_c) = KL - 1 for all outputs that are in no data: these are shared as in "
        "pi_ref.",
        [
            NAMED,
            equal("By the logit of y_c, KL has the slope pi(y_c) w_c (three outputs written out; it is so for more).",
                  diff(mean, logits[2]), policy[2] * (ratios[2] - mean)),
            given("With g = sigmoid'(u), the slope of f/beta by the logit of y_c is (g_a - g_b) pi(y_c) (1 + w_c), and "
                  "by that of y_a it is (g_a - g_b) pi(y_a) (1 + X) - g_a."),
            more_than("If g_a = g_b, the latter is -g_a: no rest.", ZERO, -first),
            more_than("So g_a and g_b differ, and 1 + w_c = 0 for all y_c. (g_b > 0, as pi(y_b) > 0.)", second, ZERO),
        ],
        reading="Gradient flow in softmax logits, z0 = KL part of the objective.",
        assumptions=(*OUTPUTS, "lambda_D = lambda_U"),
        trials=[_slopes_agree()],
    )  # fmt: skip


def dynamics_through_kl_of_three() -> Claim:
    """Return the sentence that the flow through KL leads to the majority's output, refuted by an enclosed path."""
    (place,) = SHORT.after(Rational(1, 4), [24])
    return refutation(
        "dynamics_through_kl_of_three",
        "With z0 = KL and gradients through it, gradient flow from pi_ref leads to pi(y_a) = 1.",
        {**_shown(SHORT), "time": 6, "f": place.loss, "f at pi(y_a) = 1": -HALF},
        [
            given("The flow of f = sigmoid(u_b) - sigmoid(u_a), from pi_ref at time 0."),
            _followed(f"At time 6 f lies in {place.loss}."),
            more_than("That is below where it would end.", -HALF, place.loss.high),
            given("Gradient flow never raises f."),
        ],
        reading="Gradient flow in softmax logits, z0 part of the objective.",
        assumptions=(*OUTPUTS, "lambda_D = lambda_U"),
    )


def majority_rises_on_the_way() -> Claim:
    """Return the sentence that from pi_ref the majority's output only gains, refuted by an enclosed path."""
    times = (32, 46)
    earlier, later = (place.majority for place in FALLING.after(Rational(1, 8), [8 * time for time in times]))
    found = dict(zip(times, (earlier, later), strict=True))
    return refutation(
        "majority_rises_on_the_way",
        "Under loss neutrality pi(y_a) rises all the way from pi_ref.",
        {**_shown(FALLING), "z0": 0, **{f"pi(y_a) at time {time}": place for time, place in found.items()}},
        [
            given("The flow of f = sigmoid(u_b) - sigmoid(u_a), from pi_ref at time 0."),
            _followed(f"pi(y_a) lies in {earlier} at time {times[0]}, and in {later} at time {times[1]}."),
            more_than("It has fallen.", earlier.low, later.high),
        ],
        reading="Gradient flow in softmax logits, z0 = 0 held fixed.",
        assumptions=(*OUTPUTS, "lambda_D = lambda_U"),
    )


def minimisers() -> Boundary:
    """Return how much the minimiser gives to the majority's output, for some references."""
    points = []
    for first, second in REFERENCES:
        own, other = Rational(first), Rational(second)
        rest = 1 - own - other
        scale = 2 * (E * own + rest) / other
        points.append(
            {
                "pi_ref(y_a)": first,
                "pi_ref(y_b)": second,
                "pi(y_a)": str(share_of_the_majority(own, rest)),
                "for beta up to": str((scale / (1 + scale)).evalf(4)),
            }
        )
    return Boundary(
        name="minimisers_with_kl",
        statement="With z0 = KL in the loss value, loss neutrality and beta up to the number in the last column "
        "(rounded), the minimiser of the loss gives y_a this probability, y_b none, and the others the rest.",
        formula="log(pi(y_a)/(1 - pi(y_a))) - 1/pi(y_a) = log(q_a/Q_c)",
        points=points,
        asymptotes=("pi_ref(y_a) -> 0: pi(y_a) ~ 1/log(1/pi_ref(y_a)), by expansion",),
    )


def share_of_the_majority(own: Rational, rest: Rational) -> Enclosed:
    """Return an interval of the t with logit t - 1/t = log(q_a/Q_c), whose left side rises with t.

    Raises:
        ArithmeticError: it was not enclosed.
    """
    near = _near_share(float(own), float(rest))
    found = around(near, 1e-5 * min(near, 1 - near))
    signs = [sign(log(t / (1 - t)) - 1 / t - log(own / rest)) for t in (found.low, found.high)]
    if signs != [-1, 1]:
        raise ArithmeticError(f"no share enclosed for pi_ref(y_a) = {own} and {rest} on the others")
    return found


def _near_share(own: float, rest: float) -> float:
    low, high = 1e-9, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        below = np.log(middle / (1 - middle)) - 1 / middle < np.log(own / rest)
        low, high = (middle, high) if below else (low, middle)
    return low


def _shown(path: Path) -> dict[str, object]:
    return {"pi_ref(y_a), pi_ref(y_b), pi_ref(y_c)": tuple(path.reference), "beta": path.beta}


def _followed(text: str) -> Step:
    """Return the step on where an enclosed path is."""
    return Step(text=text, status=Status.PROVED, method=METHOD)


def _value(betas: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Return f from log pi/pi_ref - KL of all outputs, the last axis."""
    first, second = (1 / (1 + np.exp(-betas * relative[..., k])) for k in (0, 1))
    return second - first


def _relative(policies: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return log pi/pi_ref - KL; the last axis is that of the outputs."""
    ratios = np.log(policies / reference)
    return ratios - (policies * ratios).sum(axis=-1, keepdims=True)


def _nothing_better() -> Trial:
    """Return by how much a random policy beats the minimiser, where the condition holds."""
    generator = np.random.default_rng(0)
    reference = generator.dirichlet(np.ones(3), _WORLDS)
    scale = 2 * (np.e * reference[:, 0] + reference[:, 2]) / reference[:, 1]
    betas = generator.uniform(0, 1, _WORLDS) * scale / (1 + scale)
    policies = np.maximum(generator.dirichlet(np.full(3, 0.3), (_WORLDS, 200)), 1e-300)
    found = _value(betas[:, None], _relative(policies, reference[:, None]))
    best = np.array([_near_share(own, rest) for own, _, rest in reference])
    least = -1 / (1 + np.exp(-betas * (1 - best) / best))
    miss = max(0.0, float((least[:, None] - found).max()))
    return Trial(text="no random policy is better", count=200 * _WORLDS, largest_error=miss, tolerance=1e-12)


def _slopes_agree() -> Trial:
    """Return the slopes of f by the logits, by the formula and by differences."""
    generator = np.random.default_rng(0)
    reference = generator.dirichlet(np.ones(_OUTPUTS), _WORLDS)
    logits, betas = generator.normal(size=(_WORLDS, _OUTPUTS)), np.exp(generator.uniform(-3, 1, _WORLDS))

    def relative(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        policies = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return policies, _relative(policies, reference)

    policies, found = relative(logits)
    first, second = (np.exp(-betas * found[:, k]) / (1 + np.exp(-betas * found[:, k])) ** 2 for k in (0, 1))
    formula = (first - second)[:, None] * policies * (1 + found)
    formula[:, 0] -= first
    formula[:, 1] += second
    steps = _STEP * np.eye(_OUTPUTS)
    values = [[_value(betas, relative(logits + way * step)[1]) for way in (1, -1)] for step in steps]
    slopes = np.array([(up - down) / (2 * _STEP) for up, down in values]).T
    error = float(np.abs(slopes - betas[:, None] * formula).max())
    return Trial(text="the slopes of f, and differences", count=_WORLDS, largest_error=error, tolerance=1e-8)
