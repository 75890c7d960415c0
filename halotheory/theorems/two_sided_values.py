"""Theorem 3 with KTO's own value function: sigmoid(beta (r - z0)) for desirable outputs, of z0 - r for the others."""

from collections.abc import Sequence

from sympy import Expr, IndexedBase, Integer, Rational, Sum, UnevaluatedExpr, symbols

from halotheory.theorems.claims import Claim, Step, claim, equal, given, more_than, refutation
from halotheory.theorems.rewards import CONSTANT, EXISTS, listed

r, h, m, mean, square, c = symbols("r h m M S c", real=True)
i, n = symbols("i n", integer=True, positive=True)
w, rewards = IndexedBase("w", real=True), IndexedBase("r", real=True)

OWN = "KTO's own value, lambda_D = lambda_U; D has desirable and undesirable outputs."
SQUARES = given(
    "The squared log-odds of a value, over beta^2, are (r - z0)^2 for both labels: if their mean over D changes, the "
    "distribution does."
)


def two_sided() -> list[Claim]:
    """Return what becomes of the theorem with that value, by reference point."""
    return [
        *fixed(),
        *per_input(),
        far_down(
            "per_input_clamped_two_sided_exists",
            f"z0(x) = max(0, m(x)), m(x) = E_Q[r_a(x, .)]; {OWN}",
            "every m(x)",
        ),
        *shared(),
        far_down(
            "shared_clamped_two_sided_exists",
            f"z0 = max(0, m), m the mean of E_Q[r_a(x, .)] over x, shared by all x: KTO as trained; {OWN}",
            "m",
        ),
        *shared_clamped_constants(),
    ]


def fixed() -> list[Claim]:
    """Return what a constant h does where z0 does not move."""
    reading = f"z0 is one fixed number; {OWN}"
    good, bad, shift = Integer(1), Integer(-2), Integer(1)
    return [
        claim(
            "fixed_two_sided_exists",
            EXISTS,
            [
                given("Take h = c, constant. M and S are the means over D of u = r_a - z0 and of u^2."),
                SQUARES,
                more_than(
                    "For c > 0 and c > -2 M the mean of (u + c)^2 is larger than S, what it is for r_a.",
                    square + 2 * c * mean + c**2,
                    square,
                    [c > 0, c > -2 * mean],
                ),
            ],
            reading=reading,
        ),
        refutation(
            "fixed_two_sided_constant_h",
            CONSTANT,
            {"D": "a desirable and an undesirable output of one x", "r_a": listed([good, bad]), "h": shift, "z0": 0},
            _exchange(good, bad, shift),
            reading=reading,
        ),
    ]


def per_input() -> list[Claim]:
    """Return that Definition 3.4's reference point absorbs h for this value as for the other."""
    reading = f"z0(x) = E_Q[r(x, .)] with any Q whose weights h does not change; {OWN}"
    before, point = [Integer(1), Integer(-2)], Rational(-1, 2)
    moved = [
        equal(
            f"In numbers: at the {kind} output, r - z0 is the same for r_a + 1 and r_a.",
            UnevaluatedExpr(one + 1) - UnevaluatedExpr(point + 1),
            UnevaluatedExpr(one) - UnevaluatedExpr(point),
        )
        for kind, one in zip(("desirable", "undesirable"), before, strict=True)
    ]
    return [
        claim("per_input_two_sided_pointwise", "No h changes any value.", _absorbed(), reading=reading),
        refutation(
            "per_input_two_sided_exists",
            EXISTS,
            {"D": "a desirable and an undesirable output of one x", "r_a": listed(before), "Q": "(1/2, 1/2)",
             "h": "every h; in numbers 1", "z0 of r_a": point, "z0 of r_a + h": point + 1},
            [*_absorbed(), *moved],
            reading=reading,
        ),
    ]  # fmt: skip


def shared() -> list[Claim]:
    """Return that an h that varies gets through a shared mean."""
    covariance, spread, t = symbols("C K t", real=True)
    reading = f"z0 = the mean of E_Q[r(x, .)] over x, shared by all x; {OWN}"
    return [
        claim(
            "shared_two_sided_exists",
            EXISTS,
            [
                given("Take h = t k, t > 0, k not the same for all x; E_k is its mean over x. r - z0 moves by "
                      "t (k - E_k)."),
                SQUARES,
                given("Over D: S is the mean of (r_a - z0)^2, C that of (r_a - z0)(k - E_k), K > 0 that of "
                      "(k - E_k)^2, as each x has positive mass."),
                more_than("The mean of the squares exceeds S where t K > -2 C.",
                          square + 2 * t * covariance + t**2 * spread, square,
                          [spread > 0, t > 0, t * spread > -2 * covariance]),
            ],
            reading=reading,
            assumptions=("D has at least two inputs",),
        ),
    ]  # fmt: skip


def far_down(name: str, reading: str, bounds: str) -> Claim:
    """Return that a constant h far below 0 changes the distribution, as the clamp keeps z0 at 0.

    Args:
        name: of the claim.
        reading: of the reference point.
        bounds: the means whose negatives h is to be below.
    """
    before = symbols("S_0", nonnegative=True)
    return claim(
        name,
        EXISTS,
        [
            given(f"Take h = c, constant, so far below 0 that {bounds} is below 0 with it: z0 is 0 for r_a + h."),
            SQUARES,
            given("Over D: S_0 is the mean of (r_a - z0)^2, and M and S are those of r_a and r_a^2."),
            more_than("The mean of (r_a + c)^2 is more than S_0 for c <= -(1 + S_0) and c + 2 M <= -(1 + S_0).",
                      square + 2 * c * mean + c**2, before,
                      [square >= 0, c <= -(1 + before), c + 2 * mean <= -(1 + before)]),
        ],
        reading=reading,
    )  # fmt: skip


def shared_clamped_constants() -> list[Claim]:
    """Return which constants get through as KTO is trained: not the same as with one value function."""
    reading = f"z0 = max(0, m), m the mean of E_Q[r_a(x, .)] over x: KTO as trained; {OWN}"
    good, bad, other, shift = Integer(1), Integer(-2), Integer(-8), Integer(1)
    point = (good + bad + other) / 3
    upper, below = [Integer(4), Integer(2)], Integer(3)
    return [
        refutation(
            "shared_clamped_two_sided_constant_h",
            CONSTANT,
            {"D, Q": "a desirable and an undesirable output of one x, uniform", "r_a": listed(upper), "h": 1,
             "z0 of r_a": below, "z0 of r_a + h": below + 1},
            [
                equal(f"At the {kind} output, r - z0 is the same for r_a + h and r_a.",
                      UnevaluatedExpr(one + 1) - UnevaluatedExpr(below + 1),
                      UnevaluatedExpr(one) - UnevaluatedExpr(below))
                for kind, one in zip(("desirable", "undesirable"), upper, strict=True)
            ],
            reading=reading,
        ),
        refutation(
            "shared_clamped_two_sided_constant_h_exactly",
            "A constant h other than 0 changes the distribution exactly if m < 0 or m + h < 0.",
            {"outputs of one x": "desirable, undesirable, and one that is in Q alone", "Q": "uniform",
             "r_a": listed([good, bad, other]), "h": shift, "m": point, "z0 of r_a and of r_a + h": 0},
            [
                more_than("m < 0,", Integer(0), point),
                more_than("and m + h < 0: z0 is 0 for both.", Integer(0), point + shift),
                *_exchange(good, bad, shift),
            ],
            reading=f"{reading} With one value function for all outputs the sentence is true.",
        ),
    ]  # fmt: skip


def _exchange(good: Expr, bad: Expr, shift: Expr) -> Sequence[Step]:
    """Return the steps that an h exchanges the values of a desirable and an undesirable output, z0 being 0."""
    after_good, after_bad = UnevaluatedExpr(good + shift), -UnevaluatedExpr(bad + shift)
    return [
        given("The log-odds, over beta, are r - z0 for desirable and z0 - r for undesirable outputs."),
        equal("The desirable output now has the value that the undesirable one had ...", after_good, -bad),
        equal("... and the other way round: the same distribution.", after_bad, good),
        more_than("Yet the desirable output's value rose.", after_good, good),
    ]


def _absorbed() -> Sequence[Step]:
    return [
        given("The weights w of Q sum to one."),
        equal("So E_Q[r + h] = E_Q[r] + h.", Sum(w[i] * UnevaluatedExpr(rewards[i] + h), (i, 1, n)),
              Sum(w[i] * rewards[i], (i, 1, n)) + h * Sum(w[i], (i, 1, n))),
        equal("h cancels from r - z0, and from z0 - r.", UnevaluatedExpr(r + h) - UnevaluatedExpr(m + h), r - m),
    ]  # fmt: skip
