"""Lemma 1 of the DPO paper: rewards that differ by h(x) have one optimal policy and one preference distribution."""

import numpy as np
import sympy
from sympy import Expr, IndexedBase, Integer, Rational, Sum, UnevaluatedExpr, exp, log, symbols

from halotheory.theorems.claims import Claim, Statement, Trial, claim, equal, given, more_than, refutation

_WORLDS, _SIZE, _TOLERANCE = 1000, 8, 1e-12

beta, Z, t = symbols("beta Z t", positive=True)
h, reward, other = symbols("h r r_other", real=True)
i, n = symbols("i n", integer=True, positive=True)
p, q, r = IndexedBase("p", positive=True), IndexedBase("q", positive=True), IndexedBase("r", real=True)


def verify() -> Statement:
    """Return Lemma 1, which Theorem 3 uses, verified for any number of outputs."""
    return Statement(
        name="lemma1",
        title="Equivalent rewards: the same optimal policy, the same preferences",
        source="Rafailov et al. 2023, arXiv 2305.18290, Lemmas 1 and 2; used by Theorem 3 of arXiv 2402.01306",
        formal="For each input x with n outputs, full-support pi_ref(.|x), beta > 0 and any function h: the rewards "
        "r(x, y) and r(x, y) + h(x) have the same maximiser of Eq. 2 and the same Bradley-Terry probabilities; "
        "and rewards that have either in common differ by an h(x).",
        assumptions=("n outputs, n finite", "pi_ref(y|x) > 0 for every output", "beta > 0, the same for both rewards"),
        claims=[
            unique_maximiser(),
            same_optimal_policy(),
            same_preferences(),
            policy_fixes_the_class(),
            policy_fixes_the_class_without_full_support(),
            preferences_fix_the_class(),
        ],
    )


def unique_maximiser() -> Claim:
    """Return the claim that Eq. 2 has one maximiser, by Gibbs' inequality."""
    optimum = q[i] * exp(r[i] / beta) / Z
    gained = p[i] * (r[i] - beta * log(p[i] / q[i]))
    lost = p[i] * log(p[i] / optimum)
    bend = t * log(t) - t + 1
    one, best = symbols("p s", positive=True)
    return claim(
        "unique_maximiser",
        "Eq. 2, E_p[r] - beta KL(p||pi_ref), is largest at p = pi* = pi_ref exp(r/beta)/Z, and nowhere else.",
        [
            given("Write p for the policy, q for pi_ref, Z = sum over y of q exp(r/beta), all at one x; 0 log 0 = 0."),
            equal(
                "Eq. 2 is beta log Z - beta KL(p||pi*), for p sums to one.",
                Sum(gained, (i, 1, n)),
                beta * log(Z) * Sum(p[i], (i, 1, n)) - beta * Sum(lost, (i, 1, n)),
            ),
            equal(
                "With s = pi*(y) and t = p/s, each term of KL(p||pi*) is s (t log t - t + 1), and p - s more.",
                one * log(one / best),
                best * bend.subs(t, one / best) + one - best,
            ),
            given("Summed over y, p - s gives 1 - 1 = 0."),
            more_than("The bracket is positive for t > 1 ...", bend, Integer(0), [t > 1]),
            more_than("... and for 0 < t < 1; at t = 0 it is 1 ...", bend, Integer(0), [t < 1]),
            equal(
                "... and 0 at t = 1.",
                Integer(1) * log(UnevaluatedExpr(Integer(1))) - UnevaluatedExpr(Integer(1)) + 1,
                Integer(0),
            ),
            given("So KL(p||pi*) >= 0, with 0 only where p = pi* for every y: the maximum beta log Z is pi*'s alone."),
        ],
        trials=[_objective_by_its_gap()],
    )


def same_optimal_policy() -> Claim:
    """Return the claim that h(x) cancels from the optimum of Eq. 2."""
    weight, shift = exp(r[i] / beta), exp(h / beta)
    partition = Sum(q[i] * weight, (i, 1, n))
    shifted = Sum(q[i] * exp(UnevaluatedExpr((r[i] + h) / beta)), (i, 1, n))
    one, rest = symbols("w Z", positive=True)
    return claim(
        "same_optimal_policy",
        "pi*(y|x) = pi_ref(y|x) exp(r(x, y)/beta) / Z(x) is the same for r and for r + h(x).",
        [
            given("The maximiser of Eq. 2 is pi*(y|x) = pi_ref(y|x) exp(r(x, y)/beta) / Z(x)."),
            equal(
                "exp((r + h)/beta) splits.",
                exp(UnevaluatedExpr((reward + h) / beta)),
                exp(reward / beta) * exp(h / beta),
            ),
            equal("What does not depend on y leaves the sum: Z is multiplied by it.", shifted, shift * partition),
            equal(
                "It cancels against the numerator, w = pi_ref exp(r/beta).",
                UnevaluatedExpr(one * shift) / UnevaluatedExpr(shift * rest),
                one / rest,
            ),
        ],
        trials=[_optimal_policies_agree()],
    )


def same_preferences() -> Claim:
    """Return the claim that h(x) cancels from the Bradley-Terry probability."""
    gap = UnevaluatedExpr(reward + h) - UnevaluatedExpr(other + h)
    return claim(
        "same_preferences",
        "p(y > y'|x) = sigmoid(r(x, y) - r(x, y')) is the same for r and for r + h(x).",
        [equal("h(x) is added to both rewards and leaves their difference.", _sigmoid(gap), _sigmoid(reward - other))],
        trials=[_preferences_agree()],
    )


def policy_fixes_the_class() -> Claim:
    """Return the converse: one optimal policy, one class."""
    optimum, base, first, second = symbols("pi_star q Z_a Z_b", positive=True)
    weight = base * exp(reward / beta)
    return claim(
        "policy_fixes_the_class",
        "If r_a and r_b have the same optimal policy, then r_b(x, y) = r_a(x, y) + h(x) for some h.",
        [
            equal(
                "The policy gives the reward back: r = beta log(pi*/pi_ref) + beta log Z.",
                beta * log(weight / Z / base) + beta * log(Z),
                reward,
            ),
            given("This needs pi_ref(y|x) > 0; then pi*(y|x) > 0 as well."),
            equal(
                "Two rewards with one pi* differ by beta log(Z_b/Z_a), in which there is no y.",
                UnevaluatedExpr(beta * log(optimum / base) + beta * log(second))
                - UnevaluatedExpr(beta * log(optimum / base) + beta * log(first)),
                beta * log(second / first),
            ),
        ],
        assumptions=("pi_ref(y|x) > 0 for every output",),
    )


def policy_fixes_the_class_without_full_support() -> Claim:
    """Return the refutation of the converse for a pi_ref that leaves an output out."""
    reference = (Rational(1, 2), Rational(1, 2), Integer(0))
    rewards = {"r_a": (0, 0, 0), "r_b": (0, 0, 1)}
    policies = {name: _optimal(reference, values) for name, values in rewards.items()}
    gaps = [UnevaluatedExpr(b) - UnevaluatedExpr(a) for a, b in zip(*rewards.values(), strict=True)]
    return refutation(
        "policy_fixes_the_class_without_full_support",
        "If r_a and r_b have the same optimal policy, then r_b(x, y) = r_a(x, y) + h(x) for some h.",
        {"pi_ref": reference, **rewards, "beta": "every beta > 0"},
        [
            *(
                equal(f"pi*(y_{k}) is the same for both.", a, b)
                for k, (a, b) in enumerate(zip(*policies.values(), strict=True), 1)
            ),
            more_than("The rewards differ more at y_3 than at y_1, so by no h(x).", gaps[2], gaps[0]),
        ],
        reading="pi_ref(y|x) = 0 is allowed.",
    )


def preferences_fix_the_class() -> Claim:
    """Return the claim that one preference distribution means one class."""
    a, a_other, b, b_other = symbols("a a_other b b_other", real=True)
    chance = _sigmoid(reward)
    return claim(
        "preferences_fix_the_class",
        "If r_a and r_b have the same Bradley-Terry probabilities, then r_b(x, y) = r_a(x, y) + h(x) for some h.",
        [
            equal(
                "The log-odds of sigmoid(u) are u: equal probabilities, equal differences of rewards.",
                log(chance / (1 - chance)),
                reward,
            ),
            given("Write a = r_a(x, y), a_other = r_a(x, y'), and b, b_other for r_b."),
            equal(
                "So r_b - r_a is the same at y and at y', for all y and y': it depends on x alone.",
                UnevaluatedExpr(b - a) - UnevaluatedExpr(b_other - a_other),
                UnevaluatedExpr(b - b_other) - UnevaluatedExpr(a - a_other),
            ),
        ],
    )


def _sigmoid(u: Expr) -> Expr:
    return 1 / (1 + exp(-u))


def _optimal(reference: tuple[Expr, ...], rewards: tuple[int, ...]) -> list[Expr]:
    """Return pi* of one input, its quotients as they are written."""
    weights = [mass * exp(sympy.Integer(value) / beta) for mass, value in zip(reference, rewards, strict=True)]
    return [UnevaluatedExpr(weight) / UnevaluatedExpr(sympy.Add(*weights)) for weight in weights]


def _objective_by_its_gap() -> Trial:
    reference, rewards, _, betas = _worlds()
    policy = np.random.default_rng(1).dirichlet(np.ones(_SIZE), size=_WORLDS)
    best = _optimum(reference, rewards, betas)
    partition = np.log((reference * np.exp(rewards / betas)).sum(axis=-1))
    objective = (policy * (rewards - betas * np.log(policy / reference))).sum(axis=-1)
    gap = (policy * np.log(policy / best)).sum(axis=-1)
    error = np.abs(objective - betas[:, 0] * (partition - gap)).max()
    below = np.maximum(objective - betas[:, 0] * partition, 0).max()
    return _trial("Eq. 2 of random policies, and its gap below beta log Z", max(error, below))


def _optimal_policies_agree() -> Trial:
    reference, rewards, shift, betas = _worlds()
    error = np.abs(_optimum(reference, rewards, betas) - _optimum(reference, rewards + shift, betas)).max()
    return _trial("pi* of r and of r + h by softmax", error)


def _preferences_agree() -> Trial:
    _, rewards, shift, _ = _worlds()
    chances = [1 / (1 + np.exp(each[:, None, :] - each[:, :, None])) for each in (rewards, rewards + shift)]
    return _trial("p(y > y') of r and of r + h for all pairs", np.abs(chances[0] - chances[1]).max())


def _worlds() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return pi_ref (worlds, outputs), r (worlds, outputs), h (worlds, 1) and beta (worlds, 1)."""
    generator = np.random.default_rng(0)
    reference = generator.dirichlet(np.ones(_SIZE), size=_WORLDS)
    rewards, shift = generator.normal(size=(_WORLDS, _SIZE)), generator.normal(scale=5, size=(_WORLDS, 1))
    return reference, rewards, shift, generator.uniform(0.05, 2, size=(_WORLDS, 1))


def _optimum(reference: np.ndarray, rewards: np.ndarray, betas: np.ndarray) -> np.ndarray:
    logits = np.log(reference) + rewards / betas
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _trial(text: str, error: float) -> Trial:
    return Trial(text=text, count=_WORLDS, largest_error=float(error), tolerance=_TOLERANCE)
