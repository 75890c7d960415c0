"""Formulas are set as they are written: structure kept, parentheses where they are needed, prose refused."""

from fractions import Fraction
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halotheory.reporting.notation import set_latex, set_mathml

LATEX = [
    ("a - (b - c)", "a - (b - c)"),
    ("(a - b) - c", "a - b - c"),
    ("-(a + b)/c", r"- \frac{a + b}{c}"),
    ("(-x)**2", "( - x)^{2}"),
    ("-x**2", "- x^{2}"),
    ("2*3**n", r"2 \cdot 3^{n}"),
    ("p**(1/beta)", r"p^{1 / \beta }"),
    ("exp(-beta*z)", r"e^{ - \beta \,\allowbreak z}"),
    ("sqrt(x + 1)", r"\sqrt{x + 1}"),
    ("Sum(q[i], (i, 1, n))", r"\sum_{i = 1}^{n}q_{i}"),
    ("pi_ref(y_a)", r"\pi _{\mathrm{ref}}(y_{a})"),
    ("lambda_D*n1", r"\lambda _{D}\,\allowbreak n_{1}"),
    ("lambda", r"\lambda"),
    ("desirable_weight", r"\mathrm{desirable\ weight}"),
    ("Max(0, -m)", r"\mathrm{max}(0 , - m)"),
    ("Limit(exp(-x), x, oo)", r"\lim_{x \to \infty }e^{ - x}"),
    ("Derivative(f(t), t)", r"\frac{\partial }{\partial t}\,\allowbreak f(t)"),
    ("|u - h|/2", r"\frac{|u - h|}{2}"),
    ("-m, m >= 0", r"- m , m \ge 0"),
    ("(a, b), c", "(a , b) , c"),
    ("(0 <= x) & (x < 1)", r"0 \le x\text{ and }x < 1"),
]


@pytest.mark.parametrize(("text", "expected"), LATEX)
def test_structure_and_parentheses_in_latex(text: str, expected: str) -> None:
    found = set_latex(text)
    assert found is not None
    assert found.split() == expected.split()


@pytest.mark.parametrize("text", [text for text, _ in LATEX])
def test_mathml_is_well_formed(text: str) -> None:
    found = set_mathml(text, ">=", "0")
    assert found is not None
    assert "".join(ElementTree.fromstring(found).itertext()).endswith("≥0")


def test_nothing_is_simplified() -> None:
    assert set_latex("(w*s)/(Z*s)", "=", "w/Z") == r"\frac{w\,\allowbreak s}{Z\,\allowbreak s} = \frac{w}{Z}"


def test_a_long_formula_has_no_fraction_in_which_no_line_may_break() -> None:
    text = " + ".join(f"x{i}/(y{i} + 1)" for i in range(12))
    assert r"\frac" not in (set_latex(text) or "")
    assert "<mfrac>" in (set_mathml(text) or "")


@pytest.mark.parametrize(
    "text", ["", "y'", "every beta > 0", "a :=", "lambda x: x", "f(x=1)", "Sum(x)", "x @ y", "'a'"]
)
def test_prose_is_no_formula(text: str) -> None:
    assert set_mathml(text) is None
    assert set_latex(text) is None


def test_a_long_name_is_text_and_cannot_break_out() -> None:
    assert set_mathml("a", "<", "b<script>") is None


_NUMBERS = {"x": Fraction(7, 3), "y": Fraction(11, 5), "t": Fraction(13, 7), "beta": Fraction(17, 11)}
_TREES = st.recursive(
    st.sampled_from(list(_NUMBERS)),
    lambda parts: (
        st.builds(lambda a, op, b: f"({a}){op}({b})", parts, st.sampled_from(["+", "-", "*", "/"]), parts)
        | st.builds(lambda a: f"-({a})", parts)
    ),
    max_leaves=8,
)


@given(_TREES)
def test_a_formula_without_fractions_means_what_the_text_means(text: str) -> None:
    shown = set_latex(text, "=", "x" * 99) or ""
    left = shown.partition(" = ")[0].replace(r"\,\allowbreak ", "*").replace(r"\beta", "beta")
    assert _value(left) == _value(text)


def _value(text: str) -> Fraction | None:
    try:
        return eval(text.strip(), {}, _NUMBERS)
    except ZeroDivisionError:
        return None
