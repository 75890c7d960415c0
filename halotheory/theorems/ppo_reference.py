"""PPO-Clip's reference point and implied policies, as the proof of Theorem 1 constructs them, and what mends them."""

import numpy as np
from sympy import IndexedBase, Integer, Rational, Sum, UnevaluatedExpr, exp, log, symbols

from halotheory.theorems.claims import (
    Boundary,
    Claim,
    Trial,
    at_least,
    claim,
    equal,
    given,
    more_than,
    refutation,
)

_WORLDS, _SIZE, _TOLERANCE = 1000, 8, 1e-12

V, c, q = symbols("V c q", real=True)

REFERENCE, POLICY = (Rational(1, 2), Rational(1, 2)), (Rational(3, 4), Rational(1, 4))
ACTION_VALUES = (Integer(2), Integer(1))
"""A vocabulary of two tokens at one state: pi_ref, pi and Q^pi; the witness of most refutations below."""

RATIOS = tuple(p / w for p, w in zip(POLICY, REFERENCE, strict=True))
STATE_VALUE = sum((p * value for p, value in zip(POLICY, ACTION_VALUES, strict=True)), Integer(0))
REWARDS = tuple(ratio * value for ratio, value in zip(RATIOS, ACTION_VALUES, strict=True))
WITNESS = {"pi_ref": REFERENCE, "pi": POLICY, "Q^pi": ACTION_VALUES}


def reference_point() -> Claim:
    """Return the refutation that q V is the mean of r under a distribution given x."""
    points = [ratio * STATE_VALUE for ratio in RATIOS]
    zs = [r - point for r, point in zip(REWARDS, points, strict=True)]
    value = symbols("Q", real=True)
    return refutation(
        "ppo_reference_point",
        "With r = q Q^pi, q A = r - z0 for a reference point z0 = E_Q[r(x, y')].",
        {**WITNESS, "V^pi": STATE_VALUE, "q V^pi": tuple(points)},
        [
            equal("What is subtracted from r is q(y) V^pi.", q * UnevaluatedExpr(value - V), q * value - q * V),
            more_than("It is not the same for both tokens, as a mean over y' would be.", points[0], points[1]),
            more_than(
                "Whatever z0 is: r(y_1) - r(y_2) would have to be z(y_1) - z(y_2).",
                UnevaluatedExpr(REWARDS[0]) - UnevaluatedExpr(REWARDS[1]),
                UnevaluatedExpr(zs[0]) - UnevaluatedExpr(zs[1]),
            ),
        ],
    )


def the_policy_as_reference_distribution() -> Claim:
    """Return the refutation that z0 is V^pi, or belongs to the policy."""
    terms = zip(POLICY, REWARDS, strict=True)
    mean = sum((p * UnevaluatedExpr(r) for p, r in terms), Integer(0))
    return refutation(
        "ppo_the_policy_as_reference_distribution",
        "Because V^pi = E_{y~pi}[Q^pi], the reference point distribution is simply the policy.",
        {**WITNESS, "r": REWARDS, "V^pi": STATE_VALUE},
        [
            more_than("E_pi[r] = E_pi[q Q^pi] is not V^pi ...", mean, STATE_VALUE),
            more_than("... nor q V^pi at the first token ...", RATIOS[0] * STATE_VALUE, mean),
            more_than("... nor at the second.", mean, RATIOS[1] * STATE_VALUE),
        ],
        reading="The mean under Q of the reward r = q Q^pi, as the definition asks, and not of Q^pi.",
    )


def where_it_is_a_reference_point() -> Claim:
    """Return the claim that q V is the same for all tokens only at V = 0 or pi = pi_ref."""
    first, second = symbols("q1 q2", positive=True)
    reference, policy, values = IndexedBase("w", positive=True), IndexedBase("p"), IndexedBase("Q")
    i, n = symbols("i n", integer=True, positive=True)
    return claim(
        "ppo_where_it_is_a_reference_point",
        "q V^pi is the same for all tokens exactly where V^pi = 0 or pi = pi_ref; there it is E_{pi_ref}[q Q^pi].",
        [
            equal("For two tokens:", UnevaluatedExpr(first * V) - UnevaluatedExpr(second * V), V * (first - second)),
            given("So V = 0, or q is one number for all tokens."),
            equal("Then pi = q pi_ref sums to q (w = pi_ref) ...", Sum(q * reference[i], (i, 1, n)),
                  q * Sum(reference[i], (i, 1, n))),
            given("... that is, 1 = q: pi = pi_ref. A loss is a HALO at every theta, and this is a single policy."),
            equal("There it is a mean under Q = pi_ref: E_{pi_ref}[q Q^pi] = E_pi[Q^pi] = V^pi (p = pi) ...",
                  Sum(reference[i] * UnevaluatedExpr(policy[i] / reference[i]) * values[i], (i, 1, n)),
                  Sum(policy[i] * values[i], (i, 1, n))),
            given("... which is q V^pi where V^pi = 0 or q = 1."),
        ],
    )  # fmt: skip


def constant_keeps_the_advantage() -> Claim:
    """Return the claim that Q^pi + c has the same advantages."""
    value = symbols("Q", real=True)
    return claim(
        "ppo_constant_keeps_the_advantage",
        "A constant can be added to Q^pi without changing the advantage.",
        [equal("V^pi grows by c as well.", q * (UnevaluatedExpr(value + c) - UnevaluatedExpr(V + c)), q * (value - V))],
    )


def constant_depends_on_the_input_alone() -> Claim:
    """Return the refutation that the added constant leaves r in its class."""
    added = Integer(1)
    terms = zip(RATIOS, ACTION_VALUES, REWARDS, strict=True)
    changes = [UnevaluatedExpr(ratio * (value + added)) - UnevaluatedExpr(r) for ratio, value, r in terms]
    return refutation(
        "ppo_constant_depends_on_the_input_alone",
        "Without loss of generality Q^pi >= 0: a constant c added to Q^pi changes r = q Q^pi by an h(x) only.",
        {**WITNESS, "c": added},
        [more_than("r grows by q c, more at the first token than at the second.", changes[0], changes[1])],
        reading="What leaves a reward in its class is an h(x), the same for all outputs (Theorem 3).",
    )


def nonnegative_rewards_are_logarithms() -> Claim:
    """Return the claim that u = exp(q Q) >= 1."""
    value = symbols("Q", real=True)
    return claim(
        "ppo_nonnegative_rewards_are_logarithms",
        "For Q^pi >= 0 there is a u >= 1 with q Q^pi = log u.",
        [
            equal("u = exp(q Q).", log(UnevaluatedExpr(exp(q * value))), q * value),
            at_least("It is at least 1.", exp(q * value), Integer(1), [q > 0, value >= 0]),
        ],
    )


def implied_policies_exist() -> Claim:
    """Return the refutation that log-ratios that are all non-negative belong to two distributions."""
    p, p1, r, r1 = symbols("p p1 r r1", real=True)
    mass = p * exp(REWARDS[0]) + (1 - p) * exp(REWARDS[1])
    return refutation(
        "ppo_implied_policies_exist",
        "Distributions with log(pihat/pihat_ref) = log u = q Q^pi >= 0 exist, which is 'trivial to show'.",
        {**WITNESS, "r = q Q^pi": REWARDS},
        [
            given("pihat = pihat_ref exp(r) has to sum to 1; let p = pihat_ref(y_1), between 0 and 1."),
            more_than("It sums to more.", mass, Integer(1), [p >= 0, p <= 1]),
            given("The same for any number of tokens with r >= 0, of which one has r1 > 0 and p1 > 0:"),
            at_least("each token has p exp(r) >= p ...", p * exp(r), p, [p >= 0, r >= 0]),
            more_than("... and that one more.", p1 * exp(r1), p1, [p1 > 0, r1 > 0]),
        ],
        reading="Distributions over the tokens; both ratios defined at every token. (Tokens that are left out, and for "
        "which r may be negative, would let them exist.)",
    )


def where_implied_policies_exist() -> Claim:
    """Return the exact condition for implied policies."""
    gain = symbols("g", positive=True)
    loss = symbols("l", positive=True)
    p, r = symbols("p r", real=True)
    weight = loss / (gain + loss)
    return claim(
        "ppo_where_implied_policies_exist",
        "Implied policies with full support exist exactly where r = 0 for every token or r takes both signs.",
        [
            given("r >= 0 with some r > 0 was excluded above. r <= 0 with some r < 0 is, alike:"),
            more_than("each p exp(r) is less than p.", p, p * exp(r), [p > 0, r < 0]),
            given("r = 0 everywhere: pihat = pihat_ref."),
            given("Both signs: let g > 0 be the mean of exp(r) - 1 over the tokens with r >= 0, and -l < 0 over the "
                  "others. pihat_ref has mass w = l/(g + l), spread evenly, on the former and 1 - w on the latter."),
            more_than("w > 0 ...", weight, Integer(0)),
            more_than("... w < 1 ...", Integer(1), weight),
            equal("... and pihat = pihat_ref exp(r) sums to one.", weight * (1 + gain) + (1 - weight) * (1 - loss),
                  Integer(1)),
        ],
        trials=[_implied_policies_sum_to_one()],
    )  # fmt: skip


def two_tokens_have_no_other_implied_policies() -> Claim:
    """Return the refutation of "not unique" for two tokens."""
    first, second = symbols("r1 r2", real=True)
    p, other = symbols("p p_other", real=True)
    mass = p * exp(first) + (1 - p) * exp(second)
    rewards = (log(2), -log(2))
    solution = (1 - exp(rewards[1])) / (exp(rewards[0]) - exp(rewards[1]))
    parts = (UnevaluatedExpr(solution * exp(rewards[0])), UnevaluatedExpr((1 - solution) * exp(rewards[1])))
    return refutation(
        "ppo_two_tokens_have_no_other_implied_policies",
        "The implied policies are not unique.",
        {"r": rewards, "pihat_ref(y_1)": solution},
        [
            equal("pihat_ref = (p, 1 - p) gives a pihat that sums to one at p = 1/3 ...", sum(parts, Integer(0)),
                  Integer(1)),
            equal("... and the sum is linear in p ...", mass - mass.subs(p, other),
                  (p - other) * (exp(first) - exp(second))),
            more_than("... with a slope that is not 0.", exp(first), exp(second), [first > 0, second < 0]),
        ],
        reading="Two tokens, r1 > 0 > r2.",
    )  # fmt: skip


def three_tokens_have_many_implied_policies() -> Claim:
    """Return the claim "not unique" for three tokens, by a family."""
    s = symbols("s", real=True)
    masses = ((1 - s) / 3, 2 * (1 - s) / 3, s)
    rewards = (log(2), -log(2), Integer(0))
    total = sum((mass * UnevaluatedExpr(exp(r)) for mass, r in zip(masses, rewards, strict=True)), Integer(0))
    return claim(
        "ppo_three_tokens_have_many_implied_policies",
        "The implied policies are not unique.",
        [
            given("pihat_ref = ((1 - s)/3, 2 (1 - s)/3, s) for any 0 < s < 1, r = (log 2, -log 2, 0)."),
            equal("pihat_ref sums to one ...", sum(map(UnevaluatedExpr, masses), Integer(0)), Integer(1)),
            equal("... and so does pihat.", total, Integer(1)),
        ],
        reading="Three tokens; with more, there are more free masses.",
    )


def repaired_reference_point() -> Claim:
    """Return the claim that r = q A with Q = pi_ref has the reference point 0, and implied policies."""
    policy, values, reference = IndexedBase("p"), IndexedBase("Q"), IndexedBase("w", positive=True)
    i, n = symbols("i n", integer=True, positive=True)
    mean = Sum(reference[i] * UnevaluatedExpr(policy[i] / reference[i]) * (values[i] - V), (i, 1, n))
    moments = Sum(policy[i] * values[i], (i, 1, n)) - V * Sum(policy[i], (i, 1, n))
    first, one, two = symbols("p Q1 Q2", real=True)
    state = first * one + (1 - first) * two
    return claim(
        "ppo_repaired_reference_point",
        "With r = q A and Q = pi_ref, the reference point is 0 and r takes both signs or is 0: z = q A is in form.",
        [
            equal("E_{pi_ref}[q A] = E_pi[Q^pi] - V^pi (p = pi, w = pi_ref) ...", mean, moments),
            given("... which is V^pi - V^pi = 0. With full support, q A sums to 0 with positive weights: it takes both "
                  "signs or is 0 everywhere."),
            equal("For two tokens, written out:", first * UnevaluatedExpr(one - state)
                  + (1 - first) * UnevaluatedExpr(two - state), Integer(0)),
        ],
        assumptions=("A is the advantage of the current policy",),
    )  # fmt: skip


def repair_with_kept_advantages() -> Claim:
    """Return the refutation of the repair for advantages of another policy than the current one."""
    value = sum((w * x for w, x in zip(REFERENCE, ACTION_VALUES, strict=True)), Integer(0))
    kept = [x - value for x in ACTION_VALUES]
    mean = sum(
        (w * UnevaluatedExpr(ratio * a) for w, ratio, a in zip(REFERENCE, RATIOS, kept, strict=True)), Integer(0)
    )
    return refutation(
        "ppo_repair_with_kept_advantages",
        "E_{pi_ref}[q A] = 0 for advantages that stay as pi moves.",
        {"pi_ref": REFERENCE, "pi": POLICY, "A": tuple(kept)},
        [
            equal("A is an advantage of pi_ref ...",
                  sum((w * UnevaluatedExpr(a) for w, a in zip(REFERENCE, kept, strict=True)), Integer(0)), Integer(0)),
            more_than("... and E_{pi_ref}[q A] = E_pi[A] > 0.", mean, Integer(0)),
        ],
        reading="Offline, as in section 3.3: the advantages are those of pi_ref.",
    )  # fmt: skip


def one_reference_for_all_policies() -> Claim:
    """Return the refutation that the implied reference policy of the repair is a fixed one."""
    t = symbols("t", real=True)
    r, p, other = symbols("r", positive=True), *symbols("p p_other", real=True)
    mass = p * exp(r) + (1 - p) * exp(-r)
    rewards = (Rational(1, 2), Rational(3, 8))
    return refutation(
        "ppo_one_reference_for_all_policies",
        "With r = q A and A the advantage of the current policy, one pihat_ref that does not move with pi serves for "
        "all policies.",
        {
            "pi_ref": REFERENCE,
            "Q^pi": ACTION_VALUES,
            "pi": "(1/2, 1/2) and (3/4, 1/4)",
            "r": f"({rewards[0]}, -{rewards[0]}) and ({rewards[1]}, -{rewards[1]})",
        },
        [
            equal("With pi = (t, 1 - t), Q^pi - V^pi is 1 - t and -t: r(y_1) = q A = 2 t (1 - t),",
                  2 * t * (2 - UnevaluatedExpr(2 * t + (1 - t))), 2 * t * (1 - t)),
            equal("and r(y_2) = -r(y_1).", 2 * (1 - t) * (1 - UnevaluatedExpr(2 * t + (1 - t))), -2 * t * (1 - t)),
            equal("pihat_ref = (p, 1 - p) gives a pihat that sums to one at p = 1/(1 + exp(r)), r = r(y_1),",
                  mass.subs(p, UnevaluatedExpr(1 / (1 + exp(r)))), Integer(1)),
            equal("and at no other p: the sum is linear in p,", mass - mass.subs(p, other),
                  (p - other) * (exp(r) - exp(-r))),
            more_than("with a slope that is not 0.", exp(r), exp(-r)),
            more_than("So p is not the same for both policies.", 1 / (1 + exp(rewards[1])), 1 / (1 + exp(rewards[0]))),
        ],
        reading="Definition 3.4's reference model is one model, whatever theta is.",
    )  # fmt: skip


def reference_points() -> Boundary:
    """Return where what the proof subtracts is a reference point."""
    return Boundary(
        name="reference_points",
        statement="q V^pi is a reference point of r = q Q^pi exactly where it is the same for all tokens: V^pi = 0 or "
        "pi = pi_ref.",
        formula="V*(q(y) - q(y')) = 0 for all y, y'",
    )


def constants() -> Boundary:
    """Return for which added constants implied policies exist."""
    low, high = -max(ACTION_VALUES), -min(ACTION_VALUES)
    return Boundary(
        name="constants",
        statement="With c added to Q^pi, r = q (Q^pi + c) has implied policies exactly if Q^pi + c takes both signs or "
        "is 0 for every token; those that make Q^pi + c >= 0, or <= 0, and not 0 for every token, are the others.",
        formula="-max Q^pi < c < -min Q^pi, or Q^pi + c = 0",
        points=[{"Q^pi": str(ACTION_VALUES), "c from": str(low), "c to": str(high), "c = -V^pi": str(-STATE_VALUE)}],
    )


def _implied_policies_sum_to_one() -> Trial:
    """Return the construction for random rewards of both signs."""
    generator = np.random.default_rng(0)
    rewards = generator.normal(size=(_WORLDS, _SIZE))
    rewards[:, 0], rewards[:, 1] = np.abs(rewards[:, 0]), -np.abs(rewards[:, 1])
    gains = rewards >= 0
    excess = np.expm1(rewards)
    gain = (excess * gains).sum(axis=1) / gains.sum(axis=1)
    loss = -(excess * ~gains).sum(axis=1) / (~gains).sum(axis=1)
    weight = (loss / (gain + loss))[:, None]
    reference = np.where(gains, weight / gains.sum(axis=1)[:, None], (1 - weight) / (~gains).sum(axis=1)[:, None])
    error = max(np.abs(mass.sum(axis=1) - 1).max() for mass in (reference, reference * np.exp(rewards)))
    return Trial(
        text="pihat and pihat_ref as constructed", count=_WORLDS, largest_error=float(error), tolerance=_TOLERANCE
    )
