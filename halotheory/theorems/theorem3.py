"""Theorem 3: do rewards of one class have the same distribution of human values? It depends on the reference point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sympy import (
    Expr,
    IndexedBase,
    Integer,
    Max,
    Rational,
    Sum,
    UnevaluatedExpr,
    bernoulli,
    exp,
    factorial,
    log,
    pi,
    sqrt,
    symbols,
    zeta,
)

from halotheory.findings import Status
from halotheory.theorems.claims import (
    Boundary,
    Claim,
    Statement,
    Step,
    at_least,
    claim,
    equal,
    given,
    more_than,
    refutation,
    sigmoid,
)
from halotheory.theorems.rewards import (
    CONSTANT,
    EXISTS,
    clamped_means,
    clamped_shared_mean,
    exchanged,
    fixed_number,
    relative,
    shared_mean,
    shift_trial,
    unchanged,
    world,
)
from halotheory.theorems.two_sided_values import two_sided

beta, s, Z = symbols("beta s Z", positive=True)
r, u, z0, h, m, E_h = symbols("r u z0 h m E_h", real=True)
i, n = symbols("i n", integer=True, positive=True)
w, rewards = IndexedBase("w", real=True), IndexedBase("r", real=True)
p, q = IndexedBase("p", positive=True), IndexedBase("q", positive=True)

EVERY = "Every h that is not 0 everywhere gives another distribution of human values."
SERIES = "For the series of the values of r_a (around 0) and of r_a + h (around h) to be equal, h must be 0."

_LADDER = world(((0, 1), (1, 2)), (1, -1))
_LOW_LADDER = world(((-3, -2), (-2, -1)), (1, -1))


def verify() -> Statement:
    """Return Theorem 3 under each reading of the reference point."""
    claims = [
        *fixed(),
        *per_input(),
        *per_input_clamped(),
        *shared(),
        *shared_clamped(),
        *two_sided(),
        *taylor(),
        *implied(),
    ]
    return Statement(
        name="theorem3",
        title="Equivalent rewards and the distribution of human values",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Theorem 3 and its proof in Appendix B",
        formal="The value of (x, y) is sigmoid(beta (r(x, y) - z0)); its distribution is over (x, y) ~ D. For a reward "
        "r_a there is an h such that r_a + h has r_a's optimal policy and preferences (Lemma 1), and another "
        "distribution of values. z0 is, in turn: one fixed number; m(x) = E_Q[r(x, .)]; max(0, m(x)); the mean of m "
        "over x; that, not below 0.",
        assumptions=(
            "finitely many inputs and outputs; D gives each input positive mass",
            "beta > 0 (the paper's r - z0 without beta is beta = 1)",
            "unless said otherwise, one value function for all examples, sigmoid(beta (r - z0))",
        ),
        claims=claims,
        boundaries=[absorption(), radius()],
        notes=_notes(claims),
    )


# --- z0 is one fixed number ------------------------------------------------------------------------------------------


def fixed() -> list[Claim]:
    """Return what h does where z0 does not move: all that the proof says, and not its last sentence."""
    reading = "z0 is one fixed number; h does not move it."
    moved = equal("r - z0 moves by h.", UnevaluatedExpr(r + h - z0) - UnevaluatedExpr(r - z0), h)
    return [
        claim(
            "fixed_pointwise",
            "The value of (x, y) changes exactly where h(x) is not 0.",
            [moved, _log_odds()],
            reading=reading,
            trials=[shift_trial(lambda table: np.zeros(table.shape[:2]), lambda m, h: h)],
        ),
        claim("fixed_exists", EXISTS, [given("Take h = 1: all values rise."), moved, *_monotone()], reading=reading),
        claim("fixed_constant_h", CONSTANT, [moved, *_monotone()], reading=reading),
        claim(
            "fixed_at_one_input",
            "Two rewards of one class that differ at x do not induce the same distribution of values at x.",
            [
                given("They differ by the number h(x), which is not 0: all values at x move, one way."),
                moved,
                *_monotone(),
            ],
            reading=f"{reading} The distribution is that of the outputs of one input x, at which the proof works.",
        ),
        exchanged("fixed_every_h", EVERY, _LADDER, fixed_number, reading),
    ]


# --- z0 = E_Q[r(x, .)], per x: the reference point of Definition 3.4, and of KTO --------------------------------------


def per_input() -> list[Claim]:
    """Return that E_Q absorbs every h: the theorem is false under the paper's own reference point."""
    return [
        claim(
            "per_input_pointwise",
            "No h changes any value.",
            [*_mean_moves(), _cancels(), _log_odds()],
            reading="z0(x) = E_Q[r(x, .)] with any Q whose weights h does not change.",
            trials=[shift_trial(lambda table: table.mean(axis=-1), lambda m, h: 0 * h)],
        ),
        *(_absorbed_by(distribution) for distribution in _DISTRIBUTIONS),
    ]


@dataclass(frozen=True, kw_only=True)
class _Distribution:
    """A reference point distribution Q.

    Attributes:
        name: for the claim.
        words: what it is.
        why: why h does not change its weights.
        weights: of two outputs with these rewards, for pi_ref uniform and beta = 1.
    """

    name: str
    words: str
    why: str
    weights: Callable[[Sequence[Expr]], Sequence[Expr]]


_DISTRIBUTIONS = (
    _Distribution(
        name="optimal_policy",
        words="Q = pi*, the optimal policy",
        why="it is the same for r_a + h (Lemma 1)",
        weights=lambda values: [exp(value) / sum(exp(each) for each in values) for value in values],
    ),
    _Distribution(
        name="trained_policy",
        words="Q = pi, the policy in training, as in KTO",
        why="h is no part of it; here pi = (1/4, 3/4)",
        weights=lambda values: (Rational(1, 4), Rational(3, 4)),
    ),
    _Distribution(
        name="reference_policy",
        words="Q = pi_ref",
        why="h is no part of it",
        weights=lambda values: (Rational(1, 2), Rational(1, 2)),
    ),
    _Distribution(
        name="data",
        words="Q = the outputs of x in the data",
        why="h is no part of it; here y_1 comes once, y_2 twice",
        weights=lambda values: (Rational(1, 3), Rational(2, 3)),
    ),
    _Distribution(
        name="point_mass",
        words="Q = all mass on another output, as in DPO",
        why="h is no part of it; here on y_2",
        weights=lambda values: (Integer(0), Integer(1)),
    ),
)


def _absorbed_by(distribution: _Distribution) -> Claim:
    """Return the refutation of the theorem for one Q, for every h, and with numbers for one."""
    before, after = (Integer(0), Integer(1)), (Integer(1), Integer(2))
    points = [
        sum((a * b for a, b in zip(distribution.weights(values), values, strict=True)), start=Integer(0))
        for values in (before, after)
    ]
    numbers = {"z0 of r_a": points[0], "z0 of r_a + h": points[1]}
    return refutation(
        f"per_input_exists_{distribution.name}",
        EXISTS,
        {"r_a": before, "h": "every h; in numbers 1", "pi_ref": "(1/2, 1/2)", "beta": 1, **numbers},
        [
            given(f"{distribution.words}: {distribution.why}."),
            *_mean_moves(),
            _cancels(),
            *(
                equal(
                    f"In numbers: at y_{k}, r - z0 is the same for r_a + h and r_a.",
                    relative(b, points[1]),
                    relative(a, points[0]),
                )
                for k, (a, b) in enumerate(zip(before, after, strict=True), 1)
            ),
        ],
        reading=f"z0(x) = E_Q[r(x, .)], {distribution.words}.",
    )


# --- z0 = max(0, E_Q[r(x, .)]), per x ---------------------------------------------------------------------------------


def per_input_clamped() -> list[Claim]:
    """Return that the clamp lets some h through: those that keep or push the mean below 0."""
    reading = "z0(x) = max(0, m(x)), m(x) = E_Q[r_a(x, .)]."
    return [
        claim(
            "per_input_clamped_pointwise",
            "The values at x stay exactly where h(x) = 0, or m(x) >= 0 and m(x) + h(x) >= 0; else they move as h does.",
            [*_clamp_cases(), _log_odds()],
            reading=reading,
            trials=[shift_trial(lambda table: table.mean(axis=-1).clip(0), _clamped_shift)],
        ),
        claim(
            "per_input_clamped_exists",
            EXISTS,
            [
                given("Take h constant, below 0 and below -m(x) at some x: no value rises, and some fall."),
                *_clamp_cases(),
            ],
            reading=reading,
        ),
        claim(
            "per_input_clamped_constant_h_exactly",
            "A constant h other than 0 changes the distribution exactly if m(x) < 0 or m(x) + h < 0 at some x.",
            [given("All values that move, move the way of h, case by case:"), *_clamp_cases()],
            reading=reading,
        ),
        unchanged("per_input_clamped_constant_h", CONSTANT, world(((0, 1),), (1,)), clamped_means, reading),
        exchanged("per_input_clamped_every_h", EVERY, _LOW_LADDER, clamped_means, reading),
    ]


def _clamped_shift(means: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return by how much r - max(0, m) moves, by the cases."""
    before, after = means >= 0, means + h >= 0
    return np.select([before & after, ~before & after, before & ~after], [0 * h, -means, means + h], h)


def _clamp_cases() -> list[Step]:
    """Return, case by case, by how much r - max(0, m) moves as r and m rise by h alike, and which way."""
    lifted, lowered = [m < 0, m + h >= 0], [m >= 0, m + h < 0]
    above, below = UnevaluatedExpr(r - m), r
    above_after, below_after = UnevaluatedExpr(r + h) - UnevaluatedExpr(m + h), UnevaluatedExpr(r + h)
    return [
        equal("m >= 0, m + h >= 0: z0 moves from m to m + h, r - z0 by 0.", above_after - above, Integer(0)),
        equal("m < 0, m + h < 0: z0 stays 0, r - z0 moves by h.", below_after - below, h),
        equal("m < 0, m + h >= 0: z0 moves from 0 to m + h, r - z0 by -m ...", above_after - below, -m),
        more_than("... upwards ...", -m, Integer(0), lifted),
        more_than("... as h does.", h, Integer(0), lifted),
        equal("m >= 0, m + h < 0: z0 moves from m to 0, r - z0 by h + m ...", below_after - above, h + m),
        more_than("... downwards ...", Integer(0), h + m, lowered),
        more_than("... as h does.", Integer(0), h, lowered),
        *_monotone(),
    ]


# --- z0 = one mean, shared by all x -----------------------------------------------------------------------------------


def shared() -> list[Claim]:
    """Return that a shared mean absorbs the mean of h, and no more."""
    reading = "z0 = the mean of E_Q[r(x, .)] over x, shared by all x; E_h is the same mean of h."
    moved = _shared_moves()
    return [
        claim(
            "shared_pointwise",
            "The value of (x, y) changes exactly where h(x) is not E_h.",
            [moved, _log_odds()],
            reading=reading,
            trials=[
                shift_trial(
                    lambda table: table.mean(axis=(1, 2), keepdims=True)[..., 0],
                    lambda m, h: h - h.mean(axis=1, keepdims=True),
                )
            ],
        ),
        _shared_exists(reading, moved),
        unchanged(
            "shared_exists_one_input",
            EXISTS,
            world(((0, 1),), (1,)),
            shared_mean,
            "z0 is shared, and D has one input.",
            [given("h has one value, its mean."), _cancels()],
        ),
        unchanged("shared_constant_h", CONSTANT, world(((0, 1), (1, 2)), (1, 1)), shared_mean, reading),
        exchanged("shared_every_h", EVERY, _LADDER, shared_mean, reading),
    ]


def _shared_exists(reading: str, moved: Step) -> Claim:
    variance, covariance, spread, t = symbols("V C K t", real=True)
    return claim(
        "shared_exists",
        EXISTS,
        [
            moved,
            given("Take h = t k, t > 0, k not the same for all x; E_h is one number and leaves variances alone."),
            given("Over D: V is the variance of r_a, C its covariance with k, K > 0 the variance of k."),
            more_than(
                "The variance of r - z0 for r_a + h exceeds V where t K > -2 C: another distribution.",
                variance + 2 * t * covariance + t**2 * spread,
                variance,
                [spread > 0, t > 0, t * spread > -2 * covariance],
            ),
        ],
        reading=reading,
        assumptions=("D has at least two inputs",),
    )


def shared_clamped() -> list[Claim]:
    """Return the same for a shared mean that is not let below 0, which is how KTO is trained."""
    reading = "z0 = max(0, m), m the mean of E_Q[r_a(x, .)] over x, shared by all x: KTO as trained; E_h as m."
    new = symbols("z0_new", real=True)
    moved = (UnevaluatedExpr(r + h) - new) - UnevaluatedExpr(r - z0)
    return [
        claim(
            "shared_clamped_pointwise",
            "The value of (x, y) changes exactly where h(x) is not max(0, m + E_h) - max(0, m).",
            [equal("r - z0 moves by h less what z0 moves by.", moved, h - (new - z0)), _log_odds()],
            reading=reading,
            trials=[shift_trial(_clamped_shared_point, _clamped_shared_shift)],
        ),
        claim(
            "shared_clamped_exists",
            EXISTS,
            [given("Take h constant, below 0 and below -m: all values fall."), *_clamp_cases()],
            reading=reading,
        ),
        claim(
            "shared_clamped_constant_h_exactly",
            "A constant h other than 0 changes the distribution exactly if m < 0 or m + h < 0.",
            [given("All values move alike, case by case:"), *_clamp_cases()],
            reading=reading,
        ),
        unchanged("shared_clamped_constant_h", CONSTANT, world(((0, 1), (1, 2)), (1, 1)), clamped_shared_mean, reading),
        exchanged("shared_clamped_every_h", EVERY, _LADDER, clamped_shared_mean, reading),
    ]


def _clamped_shared_point(table: np.ndarray) -> np.ndarray:
    return table.mean(axis=(1, 2), keepdims=True)[..., 0].clip(0)


def _clamped_shared_shift(means: np.ndarray, h: np.ndarray) -> np.ndarray:
    before, by = means.mean(axis=1, keepdims=True), h.mean(axis=1, keepdims=True)
    return h - (np.maximum(0, before + by) - np.maximum(0, before))


# --- the proof's Taylor series ----------------------------------------------------------------------------------------


def taylor() -> list[Claim]:
    """Return what the proof's comparison of two series shows, and what it takes for granted."""
    around_h = UnevaluatedExpr(r + h - z0) - h
    return [
        claim(
            "taylor_same_reference_point",
            SERIES,
            [
                equal("Both are series in r_a - z0 if z0 is the same: (r_a + h - z0) - h.", around_h, r - z0),
                given("Equal series have equal first terms, sigmoid(0) = sigmoid(h). But sigmoid is injective:"),
                more_than("for h > 0, sigmoid(h) is larger;", sigmoid(s), sigmoid(0)),
                more_than("for h < 0, it is smaller.", sigmoid(0), sigmoid(-s)),
            ],
            reading="z0 is the same for r_a and r_a + h, as the proof writes it.",
        ),
        refutation(
            "taylor_moving_reference_point",
            SERIES,
            {"r_a": 1, "z0 of r_a": Rational(1, 2), "h": 1, "z0 of r_a + h": Rational(3, 2)},
            [
                given("The value of r_a + h is sigmoid(r_a + h - z0 - h): its series is around 0, in the same powers."),
                _cancels(),
                equal("In numbers:", UnevaluatedExpr(Integer(2)) - Rational(3, 2), 1 - UnevaluatedExpr(Rational(1, 2))),
                more_than("Yet h = 1 is not 0.", UnevaluatedExpr(Integer(1)), Integer(0)),
            ],
            reading="z0 = E_Q[r(x, .)], which h moves.",
        ),
        _taylor_series_converges(),
    ]


def _taylor_series_converges() -> Claim:
    """Return the refutation of what the proof takes for granted of the series, and does not need."""
    place, orders = Integer(4), (5, 9, 13)
    sizes = [abs(_taylor_term(place, order)) for order in orders]
    by_euler = 2 * factorial(6) * UnevaluatedExpr(zeta(6)) / (2 * UnevaluatedExpr(pi)) ** 6
    return refutation(
        "taylor_series_converges",
        "The Taylor series of sigmoid(u) around 0 gives the value of every u = r_a - z0.",
        {"u": place, **{f"size of the term of order {k}": size for k, size in zip(orders, sizes, strict=True)}},
        [
            given("The term of order k - 1, k even, is (2^k - 1) B_k u^(k - 1)/k!, with Bernoulli's B_k."),
            equal("Euler: |B_k| = 2 k! zeta(k)/(2 pi)^k; here for k = 6.", abs(bernoulli(6)), by_euler),
            given("With zeta(k) >= 1, the size of the term is at least (u/pi)^k/u."),
            more_than("That grows without bound for u > pi, and 4 is larger.", place, pi),
            *(
                more_than(f"In numbers: order {later} gives more than order {earlier}.", b, a)
                for (earlier, a), (later, b) in pairwise(zip(orders, sizes, strict=True))
            ),
            given("The proof does not need the series: that sigmoid is injective suffices."),
        ],
    )


def _taylor_term(place: Expr, order: int) -> Expr:
    """Return the term of an odd order of sigmoid's series around 0."""
    k = order + 1
    return (2**k - 1) * bernoulli(k) * place**order / factorial(k)


# --- the reward that a policy implies ---------------------------------------------------------------------------------


def implied() -> list[Claim]:
    """Return which member of its class a trained model's own reward is."""
    total = Sum(q[i] * exp(UnevaluatedExpr(rewards[i] + h) / beta), (i, 1, n))
    partition = Sum(q[i] * exp(rewards[i] / beta), (i, 1, n))
    return [
        claim(
            "implied_reward_is_normalised",
            "The implied reward r_theta = beta log(pi/pi_ref) has: sum over y of pi_ref exp(r_theta/beta) = 1.",
            [
                equal(
                    "With p for pi and q for pi_ref, the sum is that of p, which is one.",
                    Sum(q[i] * exp(UnevaluatedExpr(beta * log(p[i] / q[i])) / beta), (i, 1, n)),
                    Sum(p[i], (i, 1, n)),
                )
            ],
            reading="l(y) = beta, as in Eq. 5.",
        ),
        claim(
            "one_implied_reward_in_each_class",
            "Exactly one reward of each class is the implied reward of a policy: r - beta log Z, of pi*.",
            [
                equal("For r + h, the sum is exp(h/beta) Z.", total, exp(h / beta) * partition),
                equal("It is 1 for h = -beta log Z ...", exp(UnevaluatedExpr(-beta * log(Z)) / beta) * Z, Integer(1)),
                more_than("... and it rises with h, so for no other h.", exp((h + s) / beta), exp(h / beta)),
                equal(
                    "r - beta log Z is what pi* = pi_ref exp(r/beta)/Z implies.",
                    beta * log(UnevaluatedExpr(exp(r / beta) / Z)),
                    r - beta * log(Z),
                ),
            ],
        ),
        _two_implied_rewards(),
        _implied_mean(),
    ]


def _two_implied_rewards() -> Claim:
    reference, policy = (Rational(1, 2), Rational(1, 2)), (Rational(1, 4), Rational(3, 4))
    own = [log(b / a) for a, b in zip(reference, policy, strict=True)]
    totals = [
        sum((a * exp(UnevaluatedExpr(b + shift)) for a, b in zip(reference, own, strict=True)), start=Integer(0))
        for shift in (0, 1)
    ]
    return refutation(
        "two_implied_rewards_in_a_class",
        "r_a and r_a + h, h not 0, can both be implied rewards of policies, as the theorem's pair would have to be.",
        {"pi_ref": reference, "pi": policy, "beta": 1, "r_a": tuple(own), "h": 1},
        [
            equal("r_a is implied by pi: the sum of pi_ref exp(r_a) is one.", totals[0], Integer(1)),
            more_than("r_a + 1 is implied by no policy: the sum is larger.", totals[1], Integer(1)),
        ],
        reading="The two rewards are those of trained models.",
    )


def _implied_mean() -> Claim:
    t = symbols("t", positive=True)
    ratio = p[i] / q[i]
    return claim(
        "implied_mean_is_kl",
        "E_pi[r_theta] = beta KL(pi||pi_ref), at least 0: the exact reference point of KTO never needs its clamp.",
        [
            equal(
                "With t = p/q, E_pi[r_theta] is beta times a sum of q (t log t - t + 1), and of p - q, which gives 0.",
                Sum(p[i] * UnevaluatedExpr(beta * log(ratio)), (i, 1, n)),
                beta * Sum(q[i] * (ratio * log(ratio) - ratio + 1) + p[i] - q[i], (i, 1, n)),
            ),
            at_least("No term is negative.", t * log(t) - t + 1, Integer(0)),
        ],
        reading="Q is the policy itself.",
    )


# --- steps that several claims share ----------------------------------------------------------------------------------


def _log_odds() -> Step:
    value = sigmoid(beta * u)
    odds = value / (1 - value)
    return equal("A value stays exactly if its log-odds do: they are beta u, u = r - z0.", log(odds), beta * u)


def _monotone() -> list[Step]:
    """Return that the mean of the values moves where some u = r - z0 move, all one way."""
    below, here, above = (sigmoid(beta * (u + by)) for by in (-s, Integer(0), s))
    return [
        more_than("A value rises with u = r - z0: it is larger at u + s, s > 0 ...", above, here),
        more_than("... and smaller at u - s. Where all that move, move one way, their mean does.", here, below),
    ]


def _mean_moves() -> list[Step]:
    return [
        given("The weights w of Q sum to one."),
        equal(
            "So E_Q[r + h] = E_Q[r] + h.",
            Sum(w[i] * UnevaluatedExpr(rewards[i] + h), (i, 1, n)),
            Sum(w[i] * rewards[i], (i, 1, n)) + h * Sum(w[i], (i, 1, n)),
        ),
    ]


def _cancels() -> Step:
    return equal("h cancels from r - z0: z0 absorbs it.", UnevaluatedExpr(r + h) - UnevaluatedExpr(m + h), r - m)


def _shared_moves() -> Step:
    moved = (UnevaluatedExpr(r + h) - UnevaluatedExpr(m + E_h)) - UnevaluatedExpr(r - m)
    return equal("r - z0 moves by h(x) - E_h.", moved, h - E_h)


# --- boundaries, and what it means ------------------------------------------------------------------------------------


def absorption() -> Boundary:
    """Return for which m and h a clamped reference point absorbs h."""
    beyond = Rational(1, 10)
    means = [Integer(0), Rational(1, 2), Integer(1), Integer(2)]
    return Boundary(
        name="absorption",
        statement="A clamped z0 = max(0, m) absorbs h (no value changes) where m >= 0 and h >= -m; below -m it does "
        "not, nor for any h other than 0 where m < 0. Without the clamp it absorbs every h.",
        formula="h = -m, m >= 0",
        points=[
            {"m": str(mean), "h": str(-mean), "moved": str(_moved(mean, -mean))}
            | {f"moved at h - {beyond}": str(_moved(mean, -mean - beyond))}
            for mean in means
        ],
        axes=("m", "h"),
    )


def _moved(mean: Expr, shift: Expr) -> Expr:
    """Return by how much r - max(0, m) moves as r and m rise by h."""
    return shift - (Max(0, mean + shift) - Max(0, mean))


def radius() -> Boundary:
    """Return how far the proof's series reach."""
    return Boundary(
        name="radius",
        statement="The Taylor series of sigmoid around h gives its value within the distance to the poles at +-i pi.",
        formula="|u - h| < sqrt(h**2 + pi**2)",
        points=[{"h": str(each), "radius": str(sqrt(each**2 + pi**2).evalf(6))} for each in (0, 1, 3, 10)],
        axes=("h", "radius"),
    )


def _notes(claims: Sequence[Claim]) -> list[str]:
    found = {each.name: each.status for each in claims}
    return [
        "That some h changes the distribution is, by reading of z0: "
        + "; ".join(f"{words} {_word(name, found)}" for words, name in _READINGS)
        + ".",
        "The reference point of Definition 3.4, E_Q[r(x, .)], absorbs every h: under the paper's own definition, and "
        "with KTO's exact z0, no reward of the class has other values. The proof holds z0 still as r moves.",
        "'Thus two arbitrary reward functions in the same equivalence class do not induce the same distribution of "
        "human values': of any two, and a distribution over several inputs, this is false under every reading of z0. "
        "Of any two that differ at x, the distribution at x and a fixed z0, it is true. The proof announces that they "
        "'do not necessarily induce the same distribution'; that is the theorem's 'there exists'.",
        "'A reward function that maximizes Equation (2)': policies maximise Eq. 2. The proof does not use it.",
        "With KTO's own value, which turns its argument for undesirable outputs, the answers are the same by reading; "
        "but a constant h that moves the values may leave their distribution as it is.",
        "A trained model's own reward beta log(pi/pi_ref) is one fixed member of its class: two models with the same "
        "policy have the same values. The theorem is about the rewards of annotators, not of models.",
        "As trained, z0 is shared and clamped. It still absorbs every constant h that keeps the mean at or above 0.",
    ]


_READINGS = (
    ("fixed:", "fixed_exists"),
    ("E_Q per x:", "per_input_exists_trained_policy"),
    ("the same, clamped:", "per_input_clamped_exists"),
    ("shared by two or more x:", "shared_exists"),
    ("shared, with one x:", "shared_exists_one_input"),
    ("shared and clamped:", "shared_clamped_exists"),
)


def _word(name: str, found: dict[str, Status]) -> str:
    return found[name].value
