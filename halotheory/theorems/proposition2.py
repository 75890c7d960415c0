"""Proposition 2: does KTO's update fade as the implied reward leaves? In which parameters, and for which z0."""

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import (
    Expr,
    IndexedBase,
    Integer,
    Rational,
    Sum,
    UnevaluatedExpr,
    diff,
    exp,
    log,
    sqrt,
    symbols,
)

from halotheory.findings import Status
from halotheory.proving.enclose import sign
from halotheory.theorems.claims import (
    Boundary,
    Claim,
    Statement,
    Step,
    Trial,
    at_least,
    claim,
    equal,
    given,
    more_than,
    refutation,
    released,
    sigmoid,
)

if TYPE_CHECKING:
    from halotheory.theorems.ignored import Pull

_WORLDS, _SIZE = 1000, 8
_GRID, _DIGITS = 10**8, 6

beta, lam, eps, q, p, d, t, m = symbols("beta lamda epsilon q p d t m", positive=True)
r, z, z0, s, R, other = symbols("r z z0 s R r_j", real=True)
i, n = symbols("i n", integer=True, positive=True)
rewards = IndexedBase("r", real=True)

ZERO = Integer(0)
DEFAULT = Rational(1, 10)
"""The paper's beta."""
FIXED = "z0 is fixed as r moves."
MOVING = "z0 = KL(pi||pi_ref), which moves with pi; no gradient flows through it."
BATCH = (
    "z0 is the mean of r over a batch, which moves with r; no gradient flows through it. (KTO's is the mean of "
    "mismatched log-ratios, which are other numbers and need not move with r.)"
)
PROBABILITIES = "With the probabilities as parameters, the update tends to 0 as r tends to -oo."


def verify() -> Statement:
    """Return Proposition 2: the limit, what it needs, whether it is reached, and what other losses do."""
    from halotheory.theorems.ignored import ignored_examples  # brings torch

    pulls = ignored_examples()
    return Statement(
        name="proposition2",
        title="Which examples KTO ignores",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Proposition 2, Eq. 8 and the proof in Appendix B",
        formal="By one example, KTO moves the parameters by weight * grad log pi(y|x), up or down, where weight = "
        "lambda beta sigmoid'(beta z), z = r - z0, r = log(pi/pi_ref). As r tends to +oo or -oo, this tends to 0.",
        assumptions=("one example of x and y", "beta > 0, lambda > 0", "no gradient flows through z0"),
        claims=[*weight(), *parameters(), *ends(), *batch_means(), built_in_losses(pulls)],
        boundaries=[exponents(), smallest_weights(), largest_gains(), ignored(pulls)],
        notes=_notes(pulls),
    )


def bell(u: Expr) -> Expr:
    """Return sigmoid'(u)."""
    return sigmoid(u) * (1 - sigmoid(u))


# --- the weight ------------------------------------------------------------------------------------------------------


def weight() -> list[Claim]:
    """Return Eq. 8, and that the weight fades exponentially with the distance from z0."""
    up, down = 1 / (1 + exp(-beta * (r - z0))), 1 / (1 + exp(-beta * (z0 - r)))
    pull = lam * beta * bell(beta * (r - z0))
    far = log(lam * beta / eps) / beta
    return [
        claim(
            "equation_8",
            "The derivative of lambda - v by r is -+ lambda beta sigmoid(beta z) (1 - sigmoid(beta z)), z0 held.",
            [
                equal("Desirable: v = lambda sigmoid(beta (r - z0)).", diff(lam - lam * up, r), -pull),
                equal("Undesirable: v = lambda sigmoid(beta (z0 - r)).", diff(lam - lam * down, r), pull),
            ],
            reading=FIXED,
            trials=[_slopes_by_differences()],
        ),
        claim(
            "weight_vanishes",
            "As r tends to +oo or -oo, the weight tends to 0, at least as fast as lambda beta exp(-beta |z|).",
            [
                *_fades(),
                equal(
                    "So it is at most epsilon from |z| = log(lambda beta/epsilon)/beta on.",
                    lam * beta * exp(-beta * UnevaluatedExpr(far)),
                    eps,
                ),
            ],
            reading=FIXED,
        ),
    ]


def _fades() -> list[Step]:
    weight = bell(beta * z)
    return [
        at_least("sigmoid'(beta z) is at most exp(-beta z), which tends to 0 for z -> +oo ...", exp(-beta * z), weight),
        at_least("... and at most exp(beta z), which tends to 0 for z -> -oo.", exp(beta * z), weight),
    ]


def _slopes_by_differences() -> Trial:
    generator = np.random.default_rng(0)
    reward, point = generator.normal(size=(2, _WORLDS))
    temper, step = generator.uniform(0.05, 2, _WORLDS), 1e-5

    def value(rewards: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-temper * (rewards - point)))

    slopes = (value(reward + step) - value(reward - step)) / (2 * step)
    error = np.abs(slopes - temper * value(reward) * (1 - value(reward))).max()
    return Trial(text="Eq. 8 and central differences", count=_WORLDS, largest_error=float(error), tolerance=1e-9)


# --- which parameters -------------------------------------------------------------------------------------------------


def parameters() -> list[Claim]:
    """Return what becomes of weight * grad log pi in softmax logits, and in the probabilities themselves."""
    return [
        _softmax_logits(),
        _probabilities_above_one(),
        _probabilities_at_one(),
        _probabilities_below_one(),
        _probabilities_on_the_simplex(),
    ]


def _softmax_logits() -> Claim:
    total, squares, one = symbols("S Q a", nonnegative=True)
    return claim(
        "softmax_logits",
        "In softmax logits the update tends to 0: |grad log pi(y|x)| is at most sqrt(2).",
        [
            given("The gradient is e_y - pi; its square is (1 - p)^2, p = pi(y|x), plus the squares of all other pi."),
            at_least(
                "Squares of numbers >= 0 add up to Q <= S^2, S their sum; so with one more number a:",
                (total + one) ** 2,
                squares + one**2,
                [squares <= total**2],
            ),
            given("The other pi add up to 1 - p, so the square is at most 2 (1 - p)^2."),
            at_least("That is at most 2.", Integer(2), 2 * (1 - p) ** 2, [p <= 1]),
            *_fades(),
            given("Other parameters will do wherever |grad log pi| grows more slowly than exp(beta |z|)."),
        ],
        reading=FIXED,
        trials=[_gradient_norms()],
    )


def _gradient_norms() -> Trial:
    policies = np.random.default_rng(0).dirichlet(np.full(_SIZE, 0.2), size=_WORLDS)
    gradients = np.eye(_SIZE)[0] - policies
    above = np.linalg.norm(gradients, axis=1) - np.sqrt(2) * (1 - policies[:, 0])
    return Trial(
        text="|e_y - pi| above sqrt(2) (1 - pi_y)",
        count=_WORLDS,
        largest_error=float(above.max().clip(0)),
        tolerance=1e-12,
    )


def update(temper: Expr, reward: Expr, mass: Expr, point: Expr) -> Expr:
    """Return weight * d log pi/d pi for lambda = 1, with pi = pi_ref exp(r)."""
    return temper * bell(temper * (reward - point)) / (mass * exp(reward))


def _probabilities_above_one() -> Claim:
    bound = beta / q * exp((beta - 1) * r - beta * z0)
    return claim(
        "probabilities_beta_above_1",
        PROBABILITIES,
        [
            given("d log pi/d pi = 1/pi = exp(-r)/q, with q for pi_ref(y|x); lambda = 1."),
            at_least("The update is at most this, which falls with r for beta > 1.", bound, update(beta, r, q, z0)),
            more_than("The rate beta - 1 is positive.", beta - 1, Integer(0), [beta > 1]),
        ],
        reading=FIXED,
        assumptions=("beta > 1",),
    )


def _probabilities_at_one() -> Claim:
    return _probabilities_stay("probabilities_beta_1", Integer(1), [])


def _probabilities_below_one() -> Claim:
    far = (1 - beta) * -r
    return _probabilities_stay(
        "probabilities_beta_below_1",
        DEFAULT,
        [
            more_than("... and for any beta < 1 the rate 1 - beta is positive:", 1 - beta, ZERO, [beta < 1]),
            at_least("exp((1 - beta)(-r)) >= 1 + (1 - beta)(-r), which grows without bound.", exp(far), 1 + far),
        ],
        assumptions=("beta < 1, any",),
    )


def _probabilities_stay(name: str, temper: Expr, growth: Sequence[Step], **others: Any) -> Claim:
    """Return the refutation for a rate that is not negative, in numbers for one beta, with steps on how it grows."""
    mass, places = Rational(1, 2), (Integer(-10), Integer(-100))
    bound = beta / (4 * q) * exp((beta - 1) * r - beta * z0)
    floor_here = bound.subs({beta: temper, q: mass, z0: 0})
    here = update(temper, r, mass, ZERO)
    return refutation(
        name,
        PROBABILITIES,
        {"beta": temper, "lambda": 1, "pi_ref(y|x)": mass, "z0": 0}
        | {f"update at r = {place}": f"more than {floor_here.subs(r, place)}" for place in places},
        [
            given("d log pi/d pi = 1/pi = exp(-r)/q, with q for pi_ref(y|x); lambda = 1."),
            at_least("Up to z0 the update is at least this ...", update(beta, r, q, z0), bound, [r <= z0]),
            *growth,
            at_least("Here the rate is not negative: it does not fall as r does.", 1 - temper, ZERO),
            at_least("For all r <= 0:", here, floor_here, [r <= 0]),
            *(
                more_than(f"In numbers, at r = {place}:", here.subs(r, place), floor_here.subs(r, place))
                for place in places
            ),
        ],
        reading=FIXED,
        **others,
    )


def _probabilities_on_the_simplex() -> Claim:
    return claim(
        "probabilities_on_the_simplex",
        "Projecting e_y/pi on the directions that keep the sum of n >= 2 probabilities changes its size by a factor "
        "between sqrt(1/2) and 1, so beta = 1 stays the boundary.",
        [
            given("The projection of e_y has 1 - 1/n at y, and -1/n at the n - 1 others."),
            equal("Its square is 1 - 1/n.", (1 - 1 / n) ** 2 + (n - 1) * (1 / n) ** 2, 1 - 1 / n),
            at_least("That is at least 1/2 ...", 1 - 1 / n, Rational(1, 2), [n >= 2]),
            more_than("... and below 1.", Integer(1), 1 - 1 / n),
        ],
        reading=FIXED,
    )


# --- whether r gets there ---------------------------------------------------------------------------------------------


def ends() -> list[Claim]:
    """Return that +oo is out of reach, that a certain output has the full weight, and what happens towards -oo."""
    return [_gains_are_bounded(), _smallest_weight(), _certain_output(), _largest_gain(), _losses_fade()]


def _gains_are_bounded() -> Claim:
    mass = Rational(1, 2)
    return refutation(
        "infinite_gain_is_reached",
        "r(x, y) can tend to +oo.",
        {"pi_ref(y|x)": mass, "largest r": log(1 / mass)},
        [
            at_least("pi(y|x) = p <= 1 leaves r at most -log pi_ref(y|x).", -log(q), log(p / q), [p <= 1]),
            at_least("Here that is log 2:", log(2), log(p / mass), [p <= 1]),
        ],
        assumptions=("pi_ref(y|x) > 0 is fixed",),
    )


def _smallest_weight() -> Claim:
    x, y = symbols("x y", positive=True)
    certain = exp(beta * (z0 + log(q)))
    return claim(
        "smallest_weight_of_gains",
        "For r >= z0 the weight is least at pi(y|x) = 1, where it is lambda beta k/(1 + k)^2 with "
        "k = exp(beta (z0 + log pi_ref(y|x))).",
        [
            given("With x = exp(-beta z), sigmoid'(beta z) = x/(1 + x)^2."),
            at_least("It falls as x does, for x <= 1.", x / (1 + x) ** 2, y / (1 + y) ** 2, [x <= 1, y <= x]),
            equal("At r = -log q:", bell(beta * (UnevaluatedExpr(-log(q)) - z0)), certain / (1 + certain) ** 2),
        ],
        reading=FIXED,
    )


def gain(certain: Expr, mass: Expr, rest: Expr) -> Expr:
    """Return r - KL(pi||pi_ref) for pi(y|x) = certain, pi_ref(y|x) = mass and the KL among the other outputs."""
    return (1 - certain) * (log(certain / (1 - certain)) - log(mass / (1 - mass)) - rest)


def _certain_output() -> Claim:
    rest = symbols("K", real=True)
    divergence = t * log(t / q) + (1 - t) * (log((1 - t) / (1 - q)) + rest)
    policy, mass = Rational(999, 1000), Rational(1, 2)
    reached = gain(policy, mass, Integer(0))
    almost = Rational(999, 1000)
    return refutation(
        "certain_output_loses_weight",
        "As pi(y|x) tends to 1, and r to its largest value, the weight falls towards 0.",
        {"beta": DEFAULT, "pi_ref": "(1/2, 1/2)", "pi": f"({policy}, {1 - policy})", "z": reached},
        [
            given("t = pi(y|x), q = pi_ref(y|x); K is the KL among the other outputs, at most -log min pi_ref."),
            equal("z = r - KL is (1 - t) (logit t - logit q - K).", log(t / q) - divergence, gain(t, q, rest)),
            at_least("With d = 1 - t, d log(1/d) is at most sqrt(d) ...", sqrt(d), -d * log(d), [d <= 1]),
            given("... and the other terms are d times what is bounded: z tends to 0, whatever pi_ref is."),
            equal("There the weight is lambda beta/4 ...", bell(UnevaluatedExpr(Integer(0))), Rational(1, 4)),
            at_least("... the largest that it can be.", Rational(1, 4), bell(z)),
            more_than("In numbers: it is above 0.999 of that.", bell(DEFAULT * reached), almost / 4),
            given("In softmax logits e_y - pi tends to 0, and the update with it; this is not saturation."),
        ],
        reading=MOVING,
        assumptions=("finitely many outputs, pi_ref > 0",),
    )


def _largest_gain() -> Claim:
    slope = 1 / t - (log(t / (1 - t)) - log(q / (1 - q)))
    bend = -1 / t**2 - 1 / (t * (1 - t))
    return claim(
        "largest_gain",
        "With two outputs, z = r - KL is largest at the one t = pi(y|x) with logit t - 1/t = logit pi_ref(y|x); it is "
        "(1 - t)/t there.",
        [
            equal("The derivative of z by t:", diff(gain(t, q, Integer(0)), t), slope),
            equal("Its derivative:", diff(slope, t), bend),
            more_than("It is negative: the first falls, from +oo to -oo, and is 0 once.", Integer(0), bend, [t < 1]),
            equal(
                "Where the first is 0, logit t - logit q is 1/t, and z is (1 - t)/t.",
                (1 - t) * UnevaluatedExpr(1 / t),
                (1 - t) / t,
            ),
        ],
        reading=MOVING,
        assumptions=("two outputs",),
    )


def _losses_fade() -> Claim:
    divergence = symbols("KL", nonnegative=True)
    return claim(
        "losses_fade",
        "As pi(y|x) tends to 0, r tends to -oo, KL stays bounded, and the weight is at most lambda beta exp(beta r).",
        [
            at_least("KL is a mean of log(p/q), each at most -log q: bounded.", -log(q), log(p / q), [p <= 1]),
            at_least(
                "KL >= 0 only takes z further down.",
                exp(beta * r),
                bell(beta * (r - divergence)),
            ),
        ],
        reading=MOVING,
        assumptions=("finitely many outputs, pi_ref > 0",),
    )


# --- z0 as a mean of the batch ----------------------------------------------------------------------------------------


def batch_means() -> list[Claim]:
    """Return what a mean that moves with r makes of the limit: all together, one alone, and with the clamp."""
    return [
        _moves_together(),
        _batch_of_one(),
        _outlier_fades(),
        _outlier_silences(),
        _clamped_mean_rises(),
        *_clamped_mean_falls(),
    ]


def _full_weight() -> Step:
    return equal("The weight stays the largest there is.", bell(UnevaluatedExpr(ZERO)), Rational(1, 4))


def _mean_goes_along() -> Step:
    together = UnevaluatedExpr(r + s) - UnevaluatedExpr(R + s)
    return equal("With R for the mean, z = r - R does not move.", together, r - R)


def _moves_together() -> Claim:
    mean, raised = Sum(rewards[i], (i, 1, n)) / n, Sum(UnevaluatedExpr(rewards[i] + s), (i, 1, n)) / n
    return refutation(
        "batch_moves_together",
        "As all r of a batch tend to +oo or -oo together, all updates tend to 0.",
        {"r": "(s, s), any s", "z": "(0, 0)", "sigmoid'(beta z)": Rational(1, 4)},
        [equal("All r raised by s raise the mean by s.", raised, mean + s), _mean_goes_along(), _full_weight()],
        reading=BATCH,
    )


def _batch_of_one() -> Claim:
    return refutation(
        "batch_of_one",
        "As r of the one example of a batch tends to +oo or -oo, its update tends to 0.",
        {"m": 1, "z": 0, "sigmoid'(beta z)": Rational(1, 4)},
        [equal("The mean is r itself: z = 0.", rewards[1] - Sum(rewards[i], (i, 1, 1)), ZERO), _full_weight()],
        reading=BATCH,
    )


def _outlier_fades() -> Claim:
    alone = UnevaluatedExpr(r) - UnevaluatedExpr(r + R) / m
    return claim(
        "batch_outlier_fades",
        "As one r of a batch of m >= 2 tends to +oo or -oo, its update tends to 0.",
        [
            equal("With R for the sum of the others, z = (1 - 1/m) r - R/m leaves as r does.", alone,
                  (1 - 1 / m) * r - R / m),
            at_least("For m >= 2, 1 - 1/m is at least 1/2.", 1 - 1 / m, Rational(1, 2), [m >= 2]),
            *_fades(),
        ],
        reading=BATCH,
    )  # fmt: skip


def _clamped_mean_falls() -> list[Claim]:
    below = given("From some point on the mean is below 0, so that z0 = 0.")
    return [
        claim(
            "clamped_batch_falls_together",
            "As all r of a batch tend to -oo together, all updates tend to 0.",
            [below, at_least("z = r, and sigmoid'(beta r) tends to 0.", exp(beta * r), bell(beta * r))],
            reading=f"{BATCH} It is clamped at 0.",
        ),
        claim(
            "clamped_outlier_below_leaves_others",
            "As one r of a batch tends to -oo, the other examples keep a weight that does not depend on it.",
            [below, more_than("The others have z = r_j. Their weight is positive.", bell(beta * other), ZERO)],
            reading=f"{BATCH} It is clamped at 0.",
        ),
    ]


def _outlier_silences() -> Claim:
    outlier, temper = Integer(100), DEFAULT
    after = temper * UnevaluatedExpr(0 - outlier / 2)
    return refutation(
        "batch_outlier_leaves_others",
        "As one r of a batch tends to +oo, only its own example is ignored.",
        {"r": f"({outlier}, 0)", "m": 2, "beta": temper, "z": (outlier / 2, -outlier / 2)},
        [
            equal(
                "Another example has z = r_j - r/m - R/m, which tends to -oo: its update tends to 0 as well.",
                other - UnevaluatedExpr(r + R) / m,
                other - r / m - R / m,
            ),
            more_than("In numbers: the other's sigmoid' falls below 1/120 ...", Rational(1, 120), bell(after)),
            equal("... from what it is where both r are 0.", bell(UnevaluatedExpr(Integer(0))), Rational(1, 4)),
        ],
        reading=f"{BATCH} Clamped or not: the mean is positive.",
    )


def _clamped_mean_rises() -> Claim:
    return refutation(
        "clamped_batch_rises_together",
        "As all r of a batch tend to +oo together, all updates tend to 0.",
        {"r": "(s, s), any s > 0", "z": "(0, 0)", "sigmoid'(beta z)": Rational(1, 4)},
        [
            given("From some point on the mean is positive, and the clamp idle."),
            _mean_goes_along(),
            _full_weight(),
        ],
        reading=f"{BATCH} It is clamped at 0.",
    )


# --- every built-in loss ----------------------------------------------------------------------------------------------


def built_in_losses(pulls: "Sequence[Pull]") -> Claim:
    """Return the refutation that all losses ignore examples as KTO does, with what each ignores."""
    other = next(pull for pull in pulls if pull.loss == "dpo" and pull.losses.status is Status.REFUTED)
    steps = [
        Step(
            text=f"{pull.loss}, {pull.output}: {end} the pull on log pi(y|x) tends to {tail.limit} ({tail.where}).",
            status=Status.PROVED,
            method="the leading term of the derivative",
        )
        if tail.status is not Status.UNDECIDED
        else given(f"{pull.loss}, {pull.output}: {end} the limit is open; {tail.where}.")
        for pull in pulls
        for end, tail in zip(_ends_of(pull), (pull.gains, pull.losses), strict=True)
    ]
    return refutation(
        "built_in_losses_ignore_alike",
        "As r tends to +oo or -oo, the pull on log pi(y|x) tends to 0 for every built-in loss, as for KTO.",
        {"loss": other.loss, "output": other.output, "pull as r -> -oo": other.losses.limit},
        steps,
        reading="What is detached, z0 among it, gets no gradient; kl is fixed, batch means move.",
    )


def _ends_of(pull: "Pull") -> tuple[str, str]:
    return ("as pi(y|x) -> 1" if pull.reference_free else "as r -> +oo", "as r -> -oo")


# --- boundaries, and what it means ------------------------------------------------------------------------------------


def exponents() -> Boundary:
    """Return how the update in the probabilities behaves, by beta."""
    places = (Integer(-10), Integer(-100))

    def point(temper: Expr) -> dict[str, str]:
        updates = {place: update(temper, place, Rational(1, 2), Integer(0)) for place in places}
        numbers = {f"update at r = {place}": _enclosed(found) for place, found in updates.items()}
        return {"beta": str(temper), "rate": str(1 - temper), **numbers}

    return Boundary(
        name="probabilities",
        statement="With the probabilities as parameters (pi_ref(y|x) = 1/2, z0 = 0, lambda = 1), the update goes as "
        "exp((beta - 1) r) for r -> -oo: it fades for beta > 1, tends to a constant at beta = 1, grows for beta < 1.",
        formula="beta = 1",
        points=[point(temper) for temper in (DEFAULT, Rational(1, 2), Integer(1), Rational(3, 2), Integer(2))],
        axes=("beta", "rate"),
    )


def smallest_weights() -> Boundary:
    """Return how much weight an output keeps that the policy is certain of, z0 fixed."""
    masses = [Rational(1, 10**power) for power in (1, 3, 10, 30, 100)]
    return Boundary(
        name="smallest_weights",
        statement="The least weight of a gain, as a share of the largest, for z0 = 0: that of an output of which the "
        "policy is certain. With k = pi_ref(y|x)^beta it is 4 k/(1 + k)^2.",
        formula="4*q**beta/(1 + q**beta)**2",
        points=[
            {"log10_q": str(log(mass, 10)), "beta": str(temper), "share": _enclosed(4 * bell(-temper * log(mass)))}
            for temper in (DEFAULT, Rational(1, 2))
            for mass in masses
        ],
        axes=("log10_q", "share", "beta"),
        asymptotes=("share -> 1 as q -> 1", "share ~ 4 q^beta as q -> 0"),
    )


def largest_gains() -> Boundary:
    """Return how far r can rise above KL with two outputs, and how much weight is left there."""
    masses = [Rational(1, 2), *(Rational(1, 10**power) for power in (1, 2, 3, 6, 12))]

    def point(mass: Expr) -> dict[str, str]:
        low, high = _crossing(lambda place: 1 / place - log(place / (1 - place)) + log(mass / (1 - mass)))
        least, most = (1 - high) / high, (1 - low) / low
        shares = [4 * bell(DEFAULT * each) for each in (most, least)]
        return {
            "q": str(mass),
            "log10_q": str(log(mass, 10).evalf(6)),
            "t": _enclosed(low, high),
            "largest_z": _enclosed(least, most),
            f"share_at_beta_{DEFAULT}": _enclosed(*shares),
        }

    return Boundary(
        name="largest_gains",
        statement="With z0 = KL(pi||pi_ref) and two outputs, r - z0 cannot exceed largest_z, reached at pi(y|x) = t; "
        "the share is the least weight of a gain over the largest.",
        formula="logit(t) - 1/t = logit(q), largest_z = (1 - t)/t",
        points=[point(mass) for mass in masses],
        axes=("log10_q", "largest_z"),
        asymptotes=("largest_z -> 0 as q -> 1",),
    )


def ignored(pulls: "Sequence[Pull]") -> Boundary:
    """Return the table of built-in losses."""
    return Boundary(
        name="ignored_examples",
        statement="What each built-in loss's pull on log pi(y|x) tends to (upwards is positive): 0 means that the "
        "example is ignored. For losses without pi_ref, r rises as pi(y|x) -> 1.",
        points=[
            {
                "loss": pull.loss,
                "output": pull.output,
                "r_rises": str(pull.gains),
                "r_falls": str(pull.losses),
                "ignored_at": pull.ignores,
                "shown for": pull.where,
            }
            for pull in pulls
        ],
    )


def _notes(pulls: "Sequence[Pull]") -> list[str]:
    return [
        f"Ignored at both ends, for all kinds of outputs: {_named(pulls, 'both')}.",
        f"Ignored at neither end, for all kinds of outputs: {_named(pulls, 'neither')}.",
        "'As the reward tends to +oo': it cannot, for a fixed pi_ref(y|x) > 0. With z0 = KL an output of which the "
        "policy is certain has z = 0 and the full weight; what fades there is grad log pi, as for every loss.",
        "'Ignored' is a matter of z, not of r: with z0 a batch mean (of mismatched outputs that move alike), rewards "
        "that rise together silence nobody, and one outlier silences the whole batch.",
        "That the update fades for r -> -oo needs softmax logits, or beta > 1.",
    ]


def _named(pulls: "Sequence[Pull]", ends: str) -> str:
    """Return the losses all of whose outputs are ignored there."""
    others = {pull.loss for pull in pulls if pull.ignores != ends}
    return ", ".join(dict.fromkeys(pull.loss for pull in pulls if pull.loss not in others))


def _crossing(function: Callable[[Expr], Expr]) -> tuple[Expr, Expr]:
    """Return neighbours on a grid in (0, 1) between which a function falls through 0, its signs decided by balls."""
    low, high = 1, _GRID - 1
    assert sign(function(Rational(low, _GRID))) == 1
    assert sign(function(Rational(high, _GRID))) == -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sign(function(Rational(middle, _GRID))) == 1 else (low, middle)
    return Rational(low, _GRID), Rational(high, _GRID)


def _enclosed(low: Expr, high: Expr | None = None) -> str:
    """Return decimals between which a number, or all numbers from low to high, lie."""
    ends = ((low, ROUND_FLOOR), (low if high is None else high, ROUND_CEILING))
    return "[" + ", ".join(_rounded(number, rounding) for number, rounding in ends) + "]"


def _rounded(number: Expr, rounding: str) -> str:
    exact = Decimal(str(released(number).evalf(80)))
    return str(Context(prec=_DIGITS, rounding=rounding).plus(exact))
