"""Lemma 1 of the DPO paper: rewards that differ by h(x) have one optimal policy and one preference distribution."""

import numpy as np
import sympy
from sympy import IndexedBase, Sum, exp, symbols

from halotheory.theorems.claims import Claim, Statement, Trial, claim, equal, given

_WORLDS, _SIZE, _TOLERANCE = 1000, 8, 1e-12

beta = symbols("beta", positive=True)
h, reward, other = symbols("h r r_other", real=True)
i, n = symbols("i n", integer=True, positive=True)
q, r = IndexedBase("q", positive=True), IndexedBase("r", real=True)


def verify() -> Statement:
    """Return Lemma 1, which Theorem 3 uses, verified for any number of outputs."""
    return Statement(
        name="lemma1",
        title="Equivalent rewards: the same optimal policy, the same preferences",
        source="Rafailov et al. 2023, arXiv 2305.18290, Lemmas 1 and 2; used by Theorem 3 of arXiv 2402.01306",
        formal="For each input x with n outputs, full-support pi_ref(.|x), beta > 0 and any function h: the rewards "
        "r(x, y) and r(x, y) + h(x) have the same maximiser of Eq. 2 and the same Bradley-Terry probabilities.",
        assumptions=("n outputs, n finite", "pi_ref(y|x) > 0 for every output", "beta > 0"),
        claims=[same_optimal_policy(), same_preferences()],
    )


def same_optimal_policy() -> Claim:
    """Return the claim that h(x) cancels from the optimum of Eq. 2."""
    weight, shift = exp(r[i] / beta), exp(h / beta)
    partition = Sum(q[i] * weight, (i, 1, n))
    shifted = Sum(q[i] * weight * shift, (i, 1, n))
    one, rest = symbols("w Z", positive=True)
    return claim(
        "same_optimal_policy",
        "pi*(y|x) = pi_ref(y|x) exp(r(x, y)/beta) / Z(x) is the same for r and for r + h(x).",
        [
            given("The maximiser of Eq. 2 is pi*(y|x) = pi_ref(y|x) exp(r(x, y)/beta) / Z(x)."),
            equal("exp((r + h)/beta) splits.", exp((reward + h) / beta), exp(reward / beta) * exp(h / beta)),
            equal("What does not depend on y leaves the sum.", sympy.factor_terms(shifted), shift * partition),
            equal(
                "It cancels against the numerator, w = pi_ref exp(r/beta).", one * shift / (shift * rest), one / rest
            ),
        ],
        trials=[_optimal_policies_agree()],
    )


def same_preferences() -> Claim:
    """Return the claim that h(x) cancels from the Bradley-Terry probability."""
    left, right = 1 / (1 + exp(-((reward + h) - (other + h)))), 1 / (1 + exp(-(reward - other)))
    return claim(
        "same_preferences",
        "p(y > y'|x) = sigmoid(r(x, y) - r(x, y')) is the same for r and for r + h(x).",
        [equal("h(x) is added to both rewards and leaves their difference.", left, right)],
    )


def _optimal_policies_agree() -> Trial:
    generator = np.random.default_rng(0)
    reference = generator.dirichlet(np.ones(_SIZE), size=_WORLDS)
    rewards, shift = generator.normal(size=(_WORLDS, _SIZE)), generator.normal(scale=5, size=(_WORLDS, 1))
    betas = generator.uniform(0.05, 2, size=(_WORLDS, 1))
    error = np.abs(_optimum(reference, rewards, betas) - _optimum(reference, rewards + shift, betas)).max()
    return Trial(
        text="pi* of r and of r + h by softmax", count=_WORLDS, largest_error=float(error), tolerance=_TOLERANCE
    )


def _optimum(reference: np.ndarray, rewards: np.ndarray, betas: np.ndarray) -> np.ndarray:
    logits = np.log(reference) + rewards / betas
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
