"""Formulas as text: exact numbers, names as symbols, and nothing that could run."""

import pytest
import sympy

from halotheory.errors import HaloTheoryError
from halotheory.formula import read_formula
from halotheory.proving.shape import Z
from halotheory.reporting.implied import read_value

BETA = sympy.Symbol("beta", positive=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/(1+exp(-beta*z))", 1 / (1 + sympy.exp(-BETA * Z))),
        ("sigmoid(beta*z)", 1 / (1 + sympy.exp(-BETA * Z))),
        ("0.1*z", Z / 10),
        ("where(z > 0, z, 2*z)", sympy.Piecewise((Z, Z > 0), (2 * Z, True))),
        ("Piecewise((z, (z > 0) & (z < 1)), (0, True))", sympy.Piecewise((Z, (Z > 0) & (Z < 1)), (0, True))),
        ("-z**2", -(Z**2)),
        ("abs(z)", sympy.Piecewise((Z, Z >= -Z), (-Z, True))),
    ],
)
def test_what_is_written_is_what_is_read(text: str, value: sympy.Expr) -> None:
    assert read_formula(text) == value


def test_printed_expressions_are_read_back() -> None:
    for text in ("log(1 + exp(-z))", "tanh(beta*z) - relu(1 - z)", "Piecewise((0, Eq(z, 0)), (z, True))"):
        assert read_formula(str(read_formula(text))) == read_formula(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "unknown function"),
        ("z.__class__", "is no arithmetic"),
        ("(lambda: 1)()", "unknown function"),
        ("[z for z in z]", "is no arithmetic"),
        ("'z'", "is no number"),
        ("9**9**9", "too large"),
        ("(2**1000)**1000", "too large"),
        ("z^2", "write ** for a power"),
        ("sigmod(z)", "did you mean 'sigmoid'?"),
        ("exp", "write exp(...)"),
        ("exp(z, z)", "needs one argument without names"),
        ("sin(z)", "did you mean 'sign'?; there are: exp, log, "),
        ("True*z", "no expression of numbers; a choice is where(z > 0, a, b)"),
        ("z/0", "no real number, but infinite or undefined"),
        ("1/0", "no real number"),
        ("sqrt(-1)", "no real number"),
        ("z > 0", "no real number"),
        ("(z", "was never closed"),
        ("", "the formula is empty"),
        (" ", "the formula is empty"),
        ("z if z > 0 else 1", "is no arithmetic"),
        ("z" * 30_000, "the most is"),
    ],
)
def test_anything_else_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(HaloTheoryError) as error:
        read_formula(text)
    assert message in str(error.value)


def test_names_beside_the_hyperparameters_have_no_sign() -> None:
    value = read_value("beta*z + margin + chosen_lengths", {"beta": 0.1})
    signs = {str(symbol): symbol.is_positive for symbol in value.v.free_symbols}
    assert signs == {"z": None, "beta": True, "margin": None, "chosen_lengths": True}
    assert value.as_set == read_value("z/10 + margin + chosen_lengths", {}).v
