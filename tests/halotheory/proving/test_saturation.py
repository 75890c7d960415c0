"""Proposition 2 decided: what the slope of a value function tends to on either side."""

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from halotheory.findings import Status
from halotheory.formula import read_formula
from halotheory.proving.germs import OpenError, leading
from halotheory.proving.saturation import saturation
from halotheory.proving.shape import Z
from halotheory.reporting.implied import read_value


@pytest.mark.parametrize(
    ("v", "gains", "losses"),
    [
        ("sigmoid(beta*z)", "0", "0"),  # KTO, the paper's proposition 2
        ("logsigmoid(z)", "0", "1"),  # DPO
        ("z", "1", "1"),
        ("min(beta*z, 1)", "0", "beta"),
        ("tanh(z)", "0", "0"),
        ("where(z < 0, -2.25*(-z)**0.88, z**0.88)", "0", "0"),
        ("-(z - 1/beta)**2", "-oo", "oo"),
        ("z*erf(z)", "1", "-1"),
        ("log(1 + z**2)", "0", "0"),
        ("logsigmoid(z)*sigmoid(-z)", "0", "1"),
        ("where(sigmoid(z) < 0.5, z, 0)", "0", "1"),
        ("where((z > 3) | (z**2 > 5), 7, z)", "0", "0"),
        ("sigmoid(z) + exp(-(1000*(z - 37))**2)", "0", "0"),
        ("log(1 + softplus(z))", "0", "0"),
        ("atan(z) + z/(1 + abs(z))", "0", "0"),
        ("5", "0", "0"),
    ],
)
def test_limits_of_the_slope(v: str, gains: str, losses: str) -> None:
    value = read_value(v, {"beta": 0.1} if "beta" in v else {})
    found = saturation(value.v, value.settings)
    assert (found.gains.limit, found.losses.limit) == (gains, losses)
    assert found.gains.status is (Status.PROVED if gains == "0" else Status.REFUTED)
    assert found.status is (Status.PROVED if gains == losses == "0" else Status.REFUTED)


def test_a_limit_holds_for_every_hyperparameter_where_it_can_be_shown() -> None:
    kto = read_value("sigmoid(beta*z)", {"beta": 0.1})
    assert saturation(kto.v, kto.settings).gains.holds_for == "every beta > 0"
    power = read_value("where(z < 0, -(-z)**alpha, z**alpha)", {"alpha": 0.88})
    assert saturation(power.v, power.settings).gains.holds_for == "alpha = 22/25"


@pytest.mark.parametrize(
    ("v", "shown"),
    [
        ("min(z, 1.2*advantage)", "-> 0 as z -> +oo, -> 1 as z -> -oo"),
        ("where(advantage > 0, z, min(z, advantage))", "-> ? as z -> +oo, -> 1 as z -> -oo"),
        ("z*advantage", "-> ? as z -> +oo, -> ? as z -> -oo"),
    ],
)
def test_what_the_sign_of_a_context_does_not_change_is_decided(v: str, shown: str) -> None:
    assert str(saturation(read_value(v, {}).v)) == shown


def test_both_signs_of_a_context_bring_their_hyperparameters() -> None:
    clipped = read_value(
        "where(advantage > 0, min(z, high*advantage), min(z, low*advantage))", {"high": 1.3, "low": 0.8}
    )
    assert saturation(clipped.v, clipped.settings).gains.holds_for == "every high > 0, every low > 0"


def test_what_has_no_leading_term_stays_undecided() -> None:
    found = saturation(sympy.sin(Z))
    assert found.status is Status.UNDECIDED
    assert found.gains.limit is None
    assert str(found) == "-> ? as z -> +oo, -> ? as z -> -oo"


@pytest.mark.parametrize("expression", [Z - Z * 1 + sympy.log(Z + 1) - sympy.log(Z), sympy.exp(sympy.exp(Z))])
def test_cancelling_and_faster_terms_are_left_open(expression: sympy.Expr) -> None:
    with pytest.raises(OpenError):
        leading(expression, Z)


_atoms = st.sampled_from(["z", "1", "2", "1/3", "exp(z)", "exp(-z)", "exp(z/2)", "exp(-z**2)", "atan(z)", "erf(z)"])
_terms = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"1/(2 + ({t})**2)"),
        inner.map(lambda t: f"log(1 + ({t})**2)"),
    ),
    max_leaves=5,
)


@settings(max_examples=60)
@given(_terms)
def test_the_leading_term_is_what_high_precision_sees(text: str) -> None:
    expression = read_formula(text)
    try:
        term = leading(expression, Z)
    except OpenError:
        return
    if term.coefficient == 0:
        assert sympy.simplify(expression) == 0
        return
    whole = term.coefficient * sympy.exp(term.rate) * Z**term.power * sympy.log(Z) ** term.logs
    place, digits, factor = (20, 5000, 5) if "exp" in text or "erf" in text else (10**8, 200, 2)  # log z is slow
    with mpmath.workdps(digits):
        quotient = sympy.lambdify(Z, expression / whole, modules="mpmath")(mpmath.mpf(place))
        assert mpmath.mpf(1) / factor < quotient < factor
