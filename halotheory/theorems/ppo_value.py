"""PPO-Clip's value function in the proof of Theorem 1: its forms, its shape, and whether it is one function."""

from collections.abc import Sequence

import numpy as np
from sympy import Expr, Integer, Max, Min, Rational, UnevaluatedExpr, sign, symbols

from halotheory.theorems.cases import at_least_by_cases, equal_by_cases
from halotheory.theorems.claims import (
    Boundary,
    Claim,
    Trial,
    claim,
    equal,
    given,
    more_than,
    refutation,
)

_WORLDS, _TOLERANCE = 1000, 1e-12

A, q, z, eps = symbols("A q z epsilon", real=True)
RANGE = (q > 0, eps > 0, eps < 1)
"""Full support of both policies, and the clip range."""

CLIPPED = Min(Max(q, 1 - eps), 1 + eps)
SURROGATE = Min(q * A, CLIPPED * A)
"""What PPO-Clip maximises at one token."""


def piecewise_form() -> Claim:
    """Return the claim that the two cases of A give PPO-Clip's surrogate."""
    return claim(
        "ppo_piecewise_form",
        "min(q A, clip(q, 1 - epsilon, 1 + epsilon) A) is A min(q, 1 + epsilon) for A >= 0 and "
        "A max(q, 1 - epsilon) for A < 0.",
        [
            equal_by_cases("For A >= 0.", SURROGATE, A * Min(q, 1 + eps), [*RANGE, A >= 0]),
            equal_by_cases("For A < 0.", SURROGATE, A * Max(q, 1 - eps), [*RANGE, A < 0]),
        ],
        trials=[_forms_agree()],
    )


def combined_form() -> Claim:
    """Return the claim that the paper's one formula gives both cases for q > 0."""
    combined = Min(q * A, A * (1 + sign(q * A) * eps))
    return claim(
        "ppo_combined_form",
        "v(q A) = min(q A, A (1 + sign(q A) epsilon)) is A min(q, 1 + epsilon) for A >= 0 and A max(q, 1 - epsilon) "
        "for A < 0.",
        [
            equal_by_cases("For A >= 0.", combined, A * Min(q, 1 + eps), [*RANGE, A >= 0]),
            equal_by_cases("For A < 0.", combined, A * Max(q, 1 - eps), [*RANGE, A < 0]),
        ],
        assumptions=("q > 0",),
    )


def combined_form_at_ratio_zero() -> Claim:
    """Return the refutation of the same at q = 0."""
    point = {q: Integer(0), A: Integer(-1), eps: Rational(1, 5)}
    return refutation(
        "ppo_combined_form_at_ratio_zero",
        "The combined formula is the piecewise one for q = 0, too.",
        _named(point),
        [
            more_than(
                "A max(q, 1 - epsilon) is more than min(q A, A (1 + sign(q A) epsilon)), for sign(0) = 0.",
                (A * Max(q, 1 - eps)).subs(point),
                Min(q * A, A * (1 + sign(q * A) * eps)).subs(point),
            )
        ],
        reading="pi gives a token no probability; a softmax never does.",
    )


def combined_form_on_the_line() -> Claim:
    """Return the refutation that the combined formula is non-decreasing in z on the whole line, for A < 0."""
    printed = Min(z, A * (1 + sign(z) * eps))
    fixed = {A: Integer(-1), eps: Rational(1, 5)}
    places = (Rational(-1, 2), Rational(1, 2))
    return refutation(
        "ppo_combined_form_on_the_line",
        "v(z) = min(z, A (1 + sign(z) epsilon)) is non-decreasing everywhere, for every fixed A.",
        {**_named(fixed), "z1": places[0], "z2": places[1]},
        [
            given("The loss takes v only at z = q A, of the sign of A; a function on the line has the rest as well."),
            more_than("z2 > z1 ...", places[1], places[0]),
            more_than("... but v(z1) > v(z2).", *(printed.subs({**fixed, z: place}) for place in places)),
        ],
        reading="v: R -> R as printed. With sign(A) in place of sign(z) it is min(z, A + epsilon |A|); see below.",
    )


def a_value_function_for_each_advantage() -> Claim:
    """Return the claim that for each A there is a v of the required shape."""
    level, z1, z2, t = symbols("m z1 z2 t", real=True)
    chord = t * Min(z1, level) + (1 - t) * Min(z2, level)
    return claim(
        "ppo_a_value_function_for_each_advantage",
        "For each fixed A, v_A(z) = min(z, A + epsilon |A|) gives the surrogate at z = q A; it is non-decreasing and "
        "concave on the whole line.",
        [
            equal_by_cases("For A >= 0.", SURROGATE, Min(q * A, A + eps * A), [*RANGE, A >= 0]),
            equal_by_cases("For A < 0, where |A| = -A.", SURROGATE, Min(q * A, A - eps * A), [*RANGE, A < 0]),
            at_least_by_cases(
                "With m = A + epsilon |A|: z2 >= z1 gives v(z2) >= v(z1).", Min(z2, level), Min(z1, level), [z2 >= z1]
            ),
            at_least_by_cases(
                "v lies above its chords, 0 <= t <= 1.", Min(t * z1 + (1 - t) * z2, level), chord, [t >= 0, t <= 1]
            ),
        ],
    )


def one_value_function() -> Claim:
    """Return the refutation that v is one function on the line."""
    clip = {eps: Rational(1, 5)}
    places = [Integer(1), Integer(2)]
    values = {
        advantage: [SURROGATE.subs({**clip, q: place / advantage, A: advantage}) for place in places]
        for advantage in (Integer(1), Integer(2))
    }
    rises = {advantage: UnevaluatedExpr(found[1]) - UnevaluatedExpr(found[0]) for advantage, found in values.items()}
    return refutation(
        "ppo_one_value_function",
        "There is one function v: R -> R with v(q A) + C(A) = min(q A, clip(q, 1 - epsilon, 1 + epsilon) A).",
        {
            **_named(clip),
            "(q, A) at z = 1": "(1, 1) and (1/2, 2)",
            "(q, A) at z = 2": "(2, 1) and (1, 2)",
            **{f"values for A = {advantage}": tuple(found) for advantage, found in values.items()},
        },
        [
            given("From z = q A = 1 to z = 2, v would have to rise by the same for A = 1 and A = 2, whatever C(A)."),
            equal("For A = 1 the value rises by 1/5 ...", rises[Integer(1)], Rational(1, 5)),
            equal("... for A = 2 by 1.", rises[Integer(2)], Integer(1)),
            more_than("That is not the same.", Integer(1), Rational(1, 5)),
        ],
        reading="One v for all tokens, as the definition says: v: R -> R. Its additive constant may depend on A, which "
        "carries no gradient.",
    )


def one_advantage_for_each_sign() -> Claim:
    """Return the claim that two different advantages of one sign already exclude a single v."""
    small, large = symbols("a b", positive=True)
    up, down, ordered = (1 + eps) * large, -(1 - eps) * small, [*RANGE, small < large]
    return claim(
        "ppo_one_advantage_for_each_sign",
        "If the advantages take two different values of the same sign, no single v serves, not even with a constant "
        "for each value.",
        [
            given("Take 0 < a < b, and a z = q A that both reach with some q > 0."),
            equal_by_cases(
                "A = a and A = b have the same value at z = a, so the same constant.",
                Min(small, small + eps * small), Min(small, large + eps * large), ordered,
            ),
            equal_by_cases("A = b at z = (1 + epsilon) b has the value z ...", Min(up, large + eps * large), up),
            equal_by_cases("... A = a is clipped ...", Min(up, small + eps * small), (1 + eps) * small, ordered),
            more_than("... to less.", up, (1 + eps) * small, ordered),
            equal_by_cases(
                "A = -a and A = -b have the same value at z = -b, so the same constant.",
                Min(-large, -small + eps * small), Min(-large, -large + eps * large), ordered,
            ),
            equal_by_cases("A = -a at z = -(1 - epsilon) a has the value z ...", Min(down, -small + eps * small), down),
            equal_by_cases("... A = -b is clipped ...", Min(down, -large + eps * large), -(1 - eps) * large, ordered),
            more_than("... to less.", down, -(1 - eps) * large, ordered),
        ],
        assumptions=(
            "ratios q from (1 - epsilon) a/b to (1 + epsilon) b/a occur: pi_ref(y) is small enough",
        ),
    )  # fmt: skip


def one_advantage_for_each_sign_suffices() -> Claim:
    """Return the claim that with one positive and one negative advantage a single v serves."""
    gain, loss = symbols("a b", positive=True)
    z1, z2 = symbols("z1 z2", real=True)
    above, below = Min(z2, (1 + eps) * gain), Min(z1, -(1 - eps) * loss)
    return claim(
        "ppo_one_advantage_for_each_sign_suffices",
        "If the advantages are only a > 0, -b < 0 and 0, one v serves: min(z, (1 + epsilon) a) for z > 0, v(0) = 0, "
        "min(z, -(1 - epsilon) b) for z < 0.",
        [
            given("z = q A has the sign of A, so that z tells which advantage it is; each half is non-decreasing and "
                  "concave, as min(z, m) is. An upward jump at 0 is no jump inside (0, oo)."),
            at_least_by_cases("v > 0 for gains ...", above, Integer(0), [*RANGE, z2 > 0], strictly=True),
            at_least_by_cases("... and v < 0 for losses: it is non-decreasing across 0.", Integer(0), below,
                              [*RANGE, z1 < 0], strictly=True),
        ],
        reading="Such as the dummy rewards of +1 and -1 of section 3.3, if they are used as advantages.",
    )  # fmt: skip


def advantages() -> Boundary:
    """Return for which advantages one v serves."""
    return Boundary(
        name="advantages",
        statement="One v serves PPO-Clip exactly if the advantages take at most one positive and one negative value, "
        "provided that for any two values of one sign, a < b in size, ratios q from (1 - epsilon) a/b to "
        "(1 + epsilon) b/a occur.",
    )


def _named(point: dict[Expr, Expr]) -> dict[str, Expr]:
    return {str(symbol): value for symbol, value in point.items()}


def _forms_agree() -> Trial:
    """Return the surrogate, the piecewise and the combined form, and min(z, A + epsilon |A|), by NumPy."""
    generator = np.random.default_rng(0)
    ratio, clip = np.exp(generator.normal(size=_WORLDS)), generator.uniform(0.01, 0.99, size=_WORLDS)
    advantage = generator.normal(size=_WORLDS)
    surrogate = np.minimum(ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage)
    others: Sequence[np.ndarray] = (
        advantage * np.where(advantage >= 0, np.minimum(ratio, 1 + clip), np.maximum(ratio, 1 - clip)),
        np.minimum(ratio * advantage, advantage * (1 + np.sign(ratio * advantage) * clip)),
        np.minimum(ratio * advantage, advantage + clip * np.abs(advantage)),
    )
    error = max(float(np.abs(surrogate - other).max()) for other in others)
    return Trial(
        text="all four forms at random q, A, epsilon", count=_WORLDS, largest_error=error, tolerance=_TOLERANCE
    )
