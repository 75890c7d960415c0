"""Enclosed flows: solutions that are known, and KTO's gradient flow against scipy."""

import numpy as np
import pytest
from flint import arb
from scipy.integrate import solve_ivp
from scipy.special import expit
from sympy import Rational

from halotheory.theorems.flow import Numbers, positions
from halotheory.theorems.kto_paths import Path

EIGHTH = Rational(1, 8)


def test_an_exponential_and_a_circle_are_enclosed() -> None:
    def rates(x: Numbers) -> Numbers:
        return [-x[0], x[2], -x[1]]

    found = positions(rates, [arb(1), arb(0), arb(1)], EIGHTH, 80)
    for count in (1, 40, 80):
        time = arb(count) / 8
        for ball, exact in zip(found[count - 1], ((-time).exp(), time.sin(), time.cos()), strict=True):
            assert ball.overlaps(exact)
            assert float(ball.rad()) < 1e-12


def test_a_logistic_curve_is_enclosed() -> None:
    (last,) = positions(lambda x: [x[0] * (1 - x[0])], [arb(1) / 10], Rational(1, 4), 20)[-1]
    assert last.overlaps(1 / (1 + 9 * (-arb(5)).exp()))
    assert float(last.rad()) < 1e-9


def test_a_solution_that_leaves_within_a_step_has_no_enclosure() -> None:
    with pytest.raises(ArithmeticError, match="no enclosure of the flow"):
        positions(lambda x: [x[0] * x[0]], [arb(1)], Rational(2), 1)
    with pytest.raises(ArithmeticError, match="no enclosure of the flow"):
        positions(lambda x: [1 / x[0]], [arb(-1)], Rational(2), 1)


@pytest.mark.parametrize("through_kl", [True, False])
def test_the_path_of_kto_is_that_of_an_ordinary_solver(through_kl: bool) -> None:
    q, beta = (Rational(1, 10), Rational(1, 2), Rational(2, 5)), Rational(3, 4)
    path = Path(reference=q, beta=beta, through_kl=through_kl)
    reference, temper = np.array(q, dtype=float), float(beta)

    def loss(logits: np.ndarray) -> float:
        policy = np.exp(logits) / np.exp(logits).sum()
        r = np.log(policy / reference)
        z = r - (policy @ r if through_kl else 0)
        return float(expit(temper * z[1]) - expit(temper * z[0]))

    def falling(_: float, logits: np.ndarray) -> np.ndarray:
        return np.array([loss(logits - step) - loss(logits + step) for step in 1e-5 * np.eye(3)]) / 2e-5

    end = solve_ivp(falling, (0, 6), np.log(reference), rtol=1e-9, atol=1e-11).y[:, -1]
    (place,) = path.after(EIGHTH, [48])
    for enclosed, found in ((place.majority, (np.exp(end) / np.exp(end).sum())[0]), (place.loss, loss(end))):
        assert float(enclosed.low) - 1e-7 < found < float(enclosed.high) + 1e-7
        assert float(enclosed.high - enclosed.low) < 3e-5
