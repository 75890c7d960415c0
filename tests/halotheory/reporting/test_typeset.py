"""Formulas as MathML and LaTeX: well-formed, escaped, and with names that a reader knows."""

from xml.etree import ElementTree

import pytest
import sympy

from halotheory.reporting.typeset import decimal, latex, mathml, parsed

TEXTS = [
    "1/(1 + exp(-beta*z))",
    "Piecewise((-loss_aversion*(-z)**alpha, z < 0), (z**alpha, True))",
    "Piecewise((0, (z > 0) & (z <= 1)), (sqrt(z**2 + 1), True))",
    "-9*log(1 + exp(-z))/8 + atan(z)",
    "beta*log_ratio",
]


def _read(text: str) -> sympy.Expr:
    expression = parsed(text)
    assert expression is not None
    return expression


@pytest.mark.parametrize("text", TEXTS)
def test_mathml_is_well_formed(text: str) -> None:
    root = ElementTree.fromstring(mathml(_read(text), block=True))
    assert root.tag.endswith("math")
    assert root.get("displaystyle") == "true"


def test_pieces_are_a_brace_with_conditions_in_words() -> None:
    words = "".join(ElementTree.fromstring(mathml(_read(TEXTS[1]))).itertext())
    assert words.startswith("{")
    assert "if\u00a0z<0" in words
    assert words.endswith("otherwise")


def test_relations_are_characters_and_escaped_once() -> None:
    element = mathml(_read("Piecewise((0, (z >= 1) & (beta <= 2)), (1, z < -1), (2, True))"))
    words = "".join(ElementTree.fromstring(element).itertext())
    assert {"≥", "≤", "∧", "<"} <= set(words)
    assert "&" not in words


def test_greek_is_greek_and_long_names_stay_whole() -> None:
    assert latex(_read(TEXTS[0])) == r"\frac{1}{1 + e^{- \beta z}}"
    assert r"\mathrm{loss\ aversion}" in latex(_read(TEXTS[1]))
    assert latex(_read(TEXTS[4])) == r"\beta \rho"
    assert latex(_read("βeta*λ*märgin")) == r"\mathrm{margin} \mathrm{\beta eta} \lambda"
    assert ">β<" in mathml(_read(TEXTS[0]))


@pytest.mark.parametrize(
    "text", ["kl = E_Q[log_ratio], Q the policy", "1 for desirable, 0 for undesirable", "", "-> 3"]
)
def test_prose_is_no_expression(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("text", "number"), [("1/3", "0.3333333333"), ("20", "20"), ("-1/2", "-0.5"), ("exp(-100)", "3.720075976e-44")]
)
def test_decimals_are_short(text: str, number: str) -> None:
    assert decimal(_read(text)) == number


def test_what_names_a_symbol_has_no_decimals() -> None:
    assert decimal(_read("2/beta")) is None
