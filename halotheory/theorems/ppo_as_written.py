"""PPO-Clip under Definition 3.4 as it is written: r = l(y) log(pi/pi_ref), and one v."""

from sympy import Expr, Integer, Max, Min, Rational, UnevaluatedExpr, diff, log, symbols

from halotheory.theorems.cases import at_least_by_cases, equal_by_cases
from halotheory.theorems.claims import Claim, at_least, claim, equal, given, more_than, refutation
from halotheory.theorems.ppo_value import RANGE, SURROGATE, A, eps, q

l1, l2, l3, p, s, h = symbols("l_1 l_2 l_3 p s h", positive=True)
kappa = symbols("kappa", positive=True)
Q2, Q3 = symbols("Q_2 Q_3", nonnegative=True)

ZERO, ONE = Integer(0), Integer(1)


def as_written() -> Claim:
    """Return the refutation for every Q that is fixed, or is the policy, by a token of a vocabulary of three."""
    gain, rest = {A: ONE, eps: Rational(1, 5)}, 1 - q / 3
    others = [log(3 * rest * s), log(3 * rest * (1 - s))]
    fixed = (1 - Q2 - Q3) * l1 * log(q) - Q2 * l2 * others[0] - Q3 * l3 * others[1]
    policy = (1 - q / 3) * l1 * log(q) - rest * s * l2 * others[0] - rest * (1 - s) * l3 * others[1]
    bends = (Q2 * l2 / s**2 + Q3 * l3 / (1 - s) ** 2, rest * (l2 / s + l3 / (1 - s)))
    return refutation(
        "ppo_as_written",
        "There are l, Q, signs a, a number C and a v: R -> R with which PPO-Clip's loss is E[a v(r - E_Q[r])] + C, for "
        "all policies, where r = l(y) log(pi(y|x)/pi_ref(y|x)).",
        {
            "pi_ref": "(1/3, 1/3, 1/3)",
            "data": "y_1, with A = 1",
            "epsilon": gain[eps],
            "pi": "(q/3, (1 - q/3) s, (1 - q/3)(1 - s)), q near 1 and s in (0, 1)",
        },
        [
            equal_by_cases("Up to q = 1 + epsilon the loss is -q: it does not depend on s.", SURROGATE.subs(gain), q,
                           [q > 0, q <= Rational(6, 5)]),
            given("So a v(z) = -q - C wherever z = r - E_Q[r] is that of q and some s. (a is one sign, of this y_1.)"),
            given("Q fixed, Q_2 + Q_3 > 0: z is a function of s that is not constant, as it bends:"),
            equal("its second derivative by s", diff(fixed, s, 2), bends[0]),
            more_than("is positive.", bends[0], ZERO, [s < 1, Q2 + Q3 > 0]),
            given("Q fixed, Q_2 = Q_3 = 0: z is 0 for every policy, and the loss would be one number."),
            given("Q = pi: again z is not constant in s, as it bends:"),
            equal("its second derivative by s", diff(policy, s, 2), -bends[1]),
            more_than("is negative.", bends[1], ZERO, [s < 1, q < 3]),
            given("Let z1 < z2 be values of z at q = 1. As z is continuous, it takes the value (z1 + z2)/2 at q = 1 "
                  "and also at some q = 1 + h, h > 0: there a v would be both -1 - C and -1 - h - C."),
            more_than("These are two numbers.", 1 + h, ONE),
        ],
        reading="Definition 3.4 as written, token by token, with any l > 0; Q(.|x) is a distribution that does not "
        "move with the policy (pi_ref, the data, a point mass) or it is the policy. That v is non-decreasing and "
        "concave in gains is not even used.",
        assumptions=("PPO-Clip is to be a HALO for every data set, as a loss is one or not",),
    )  # fmt: skip


def as_written_with_two_tokens() -> Claim:
    """Return the claim that a single token of a vocabulary of two is in form."""
    scale = ((1 - p) / p) ** 2
    rest = (1 - p * q) / (1 - p)
    z = log(q) - scale * log(rest)
    slope, bend = 1 / q + scale * p / (1 - p * q), -1 / q**2 + scale * p**2 / (1 - p * q) ** 2
    inside = [q > 0, p < 1, p * q < 1]
    return claim(
        "ppo_as_written_with_two_tokens",
        "With a vocabulary of two tokens and one example y_1, A > 0, the same sentence is true: l(y_1) = 1, "
        "l(y_2) = ((1 - p)/p)^2, p = pi_ref(y_1), Q all on y_2, a = -1.",
        [
            given("z = r(y_1) - r(y_2), and pi(y_2)/pi_ref(y_2) = (1 - p q)/(1 - p)."),
            equal("dz/dq.", diff(z, q), slope),
            more_than("It is positive: q is a function of z, which rises,", slope, ZERO, inside),
            equal("The second derivative of z.", diff(z, q, 2), bend),
            at_least("It is not negative for q >= 1, that is z >= 0: q is concave in gains,", bend, ZERO,
                     [q >= 1, p < 1, p * q < 1]),
            given("and so is v(z) = A min(q, 1 + epsilon), the smaller of a concave function and a number."),
        ],
        reading="Definition 3.4 as written; one example. With two tokens there is no s to move z at one q.",
    )  # fmt: skip


def as_written_with_any_distribution() -> Claim:
    """Return the claim that a Q that may be any function of the policy lets PPO-Clip be in form, and much else."""
    raised, lowered = Min(q, 1 + eps) - 1, Max(q, 1 - eps) - 1
    between = list(RANGE)

    def no_farther(moved: Expr) -> list:
        return [
            at_least_by_cases("... for q >= 1, 0 <= m ...", moved, ZERO, [*between, q >= 1]),
            at_least_by_cases("... and m <= q - 1;", q - 1, moved, [*between, q >= 1]),
            at_least_by_cases("for q <= 1, m <= 0 ...", ZERO, moved, [*between, q <= 1]),
            at_least_by_cases("... and m >= q - 1.", moved, q - 1, [*between, q <= 1]),
        ]

    return claim(
        "ppo_as_written_with_any_distribution",
        "If Q may be any function of the policy and the example, PPO-Clip is in form, with the one v(z) = z/kappa, "
        "l = 1, where kappa is the smallest pi_ref over the largest |A|.",
        [
            given("For A >= 0: a = -1, z = kappa A m, m = min(q, 1 + epsilon) - 1. For A < 0: a = 1, z = kappa |A| m, "
                  "m = max(q, 1 - epsilon) - 1."),
            equal_by_cases("-z/kappa is the loss but for a number, A >= 0;", -(kappa * A * raised) / kappa - A,
                           -SURROGATE, [*RANGE, A >= 0]),
            equal_by_cases("z/kappa is, A < 0.", -(kappa * A * lowered) / kappa - A, -SURROGATE, [*RANGE, A < 0]),
            given("This needs E_Q[r] = log q - z. It is between 0 and log q, as z is too; first, m is between 0 and "
                  "q - 1. For A >= 0 ..."),
            *no_farther(raised),
            given("For A < 0 ..."),
            *no_farther(lowered),
            given("And p (q - 1), p = pi_ref(y), is no farther from 0 than log q, as p q <= 1:"),
            at_least("for q >= 1, log q >= 1 - 1/q ...", log(q), 1 - 1 / q, [q > 0]),
            at_least("... >= p (q - 1);", 1 - 1 / q, p * (q - 1), [q >= 1, p * q <= 1]),
            at_least("for q <= 1, -log q >= 1 - q.", -log(q), 1 - UnevaluatedExpr(q), [q > 0]),
            given("r takes the value log q at y and, as pi and pi_ref both sum to one, one that is 0 or of the other "
                  "sign at another token: a Q on these two has the mean."),
        ],
        reading="Definition 3.4 as written, with nothing said of how Q may move: it is chosen anew for each policy and "
        "example so that the sentence is true.",
        assumptions=("two tokens or more", "advantages are bounded"),
    )  # fmt: skip
