"""Claims follow from steps, and steps show what was decided."""

import pytest
import sympy
from sympy import Integer, UnevaluatedExpr, symbols

from halotheory.findings import Status
from halotheory.theorems.claims import Claim, Step, Trial, at_least, claim, equal, given, more_than, refutation

a, b, c = symbols("a b c", real=True)


def test_a_step_shows_its_parts_as_they_are_written() -> None:
    step = equal("c cancels", UnevaluatedExpr(b - a + c) - UnevaluatedExpr(c + a - b), 2 * b - 2 * a)
    assert (str(step.formula), step.status) == ("(-a + b + c) - (a - b + c) = -2*a + 2*b", Status.PROVED)


def test_a_part_that_begins_with_a_minus_keeps_its_sign() -> None:
    step = equal("SymPy's own printer drops it", UnevaluatedExpr(b - a) - c, b - a - c)
    assert step.formula is not None
    shown = sympy.sympify(step.formula.left, locals={"a": a, "b": b, "c": c})
    assert shown == b - a - c


def test_a_step_says_under_which_conditions_it_was_decided() -> None:
    t, n, k = symbols("t", positive=True), symbols("n", integer=True, positive=True), symbols("k", nonnegative=True)
    assert more_than("between", t * (1 - t), Integer(0), [t < 1]).conditions == ["t > 0", "t < 1"]
    assert at_least("beyond", t * k, Integer(0), [t >= 2]).conditions == ["k >= 0", "t >= 2"]
    assert at_least("far", a + b, Integer(1), [a + b >= 1]).conditions == ["a + b >= 1"]
    assert equal("rewritten", UnevaluatedExpr(t * n) / t, n).conditions == ["n a positive integer", "t > 0"]
    assert more_than("numbers", Integer(1), Integer(0)).conditions == []


def test_what_is_false_is_not_proved() -> None:
    assert equal("a sign flipped", UnevaluatedExpr(a - b), b - a).status is Status.UNDECIDED
    assert at_least("the other way", -(a**2), Integer(1)).status is Status.UNDECIDED
    assert more_than("not strictly", a**2, Integer(0)).status is Status.UNDECIDED


def test_a_claim_is_decided_by_all_its_steps_and_trials() -> None:
    good, bad = at_least("squares", a**2, Integer(0)), more_than("not strictly", a**2, Integer(0))
    assert claim("x", "s", [good]).status is Status.PROVED
    assert claim("x", "s", [good, bad]).method == "open: not strictly"
    assert refutation("x", "s", {"a": 1}, [good]).status is Status.REFUTED
    assert refutation("x", "s", {"a": 1}, [bad]).status is Status.UNDECIDED
    trial = Trial(text="by hand", count=1, largest_error=float("nan"), tolerance=1.0)
    assert claim("x", "s", [good], trials=[trial]).method == "disagrees: by hand"


def test_words_alone_decide_nothing() -> None:
    assert claim("x", "s", [given("It is trivial to show.")]).status is Status.UNDECIDED
    with pytest.raises(ValueError, match="without a step"):
        Claim(name="x", statement="s", status=Status.PROVED, method="words", steps=[Step(text="trivially")])
