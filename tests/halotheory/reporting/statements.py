"""Statements made by hand, for the tests of how statements are shown."""

import sympy

from halotheory.findings import Status
from halotheory.theorems.claims import (
    Boundary,
    Claim,
    Formula,
    Statement,
    Step,
    Trial,
    claim,
    equal,
    given,
    more_than,
    refutation,
)

t = sympy.Symbol("t", positive=True)

TRUE = claim(
    "square",
    "(t + 1)^2 = t^2 + 2 t + 1 for every t > 0.",
    [given("Multiply out."), equal("As it stands.", (t + 1) ** 2, t**2 + 2 * t + 1)],
    trials=[Trial(text="both sides", count=10, largest_error=1e-16, tolerance=1e-12)],
)
FALSE = refutation(
    "rising",
    "y_b has more than y_a.",
    {"pi_ref(y_a)": sympy.Rational(1, 3), "beta": "every beta > 0"},
    [more_than("At the witness 2/3 - 1/3 is positive.", sympy.Rational(2, 3), sympy.Rational(1, 3))],
    reading='"more" means <b>more often</b>',
    assumptions=["pi_ref > 0"],
)
OPEN = Claim(
    name="hard",
    statement="There are infinitely many twin primes.",
    status=Status.UNDECIDED,
    method="open: everything",
    steps=[
        Step(
            text="A step that failed.",
            formula=Formula(left="y'", sign=">", right="0"),
            status=Status.UNDECIDED,
            method="no procedure",
        )
    ],
)
CURVE = Boundary(
    name="beta_star",
    statement="Above the curve it fails.",
    formula="beta = 2*log(3)/log(1/q)",
    points=[
        {"q": "1e-6", "beta_star": "[0.158, 0.160]", "side": "left"},
        {"q": "1/100", "beta_star": "0.477", "side": "left"},
        {"q": "9/10", "beta_star": "20.9", "side": "right"},
    ],
    asymptotes=["beta_star -> 0 as q -> 0"],
    axes=("q", "beta_star"),
)
TABLE = Boundary(
    name="plain_table", statement="A table.", points=[{"case": "none", "m": "oo"}, {"case": "all", "n": "1"}]
)


def made(name: str = "theorem4_kto", *claims: Claim) -> Statement:
    """Return a statement with these claims; with a proved and a refuted one where none are given."""
    return Statement(
        name=name,
        title="Contradictory preferences",
        source="arXiv 2402.01306, Theorem 4",
        formal="For each x with pi_ref(y|x) > 0 & beta > 0.",
        assumptions=["two outputs"],
        claims=claims or (TRUE, FALSE),
        boundaries=[CURVE, TABLE],
        notes=["Use lambda_D = lambda_U."],
        seconds=0.25,
    )
