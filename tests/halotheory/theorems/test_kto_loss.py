"""The formulas that Theorem 4's statements on KTO share, against the built-in loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sympy import Symbol

from halotheory.losses import kto
from halotheory.theorems.kto_loss import pull, put, slope, weights

_logps = st.floats(-5, -0.01)


@given(
    st.floats(0.51, 0.99),
    st.floats(0.2, 3),
    st.floats(0.2, 3),
    st.floats(0.05, 3),
    st.lists(_logps, min_size=4, max_size=4),
    st.floats(0, 2),
)
def test_the_loss_of_the_four_kinds_of_examples(
    p: float, desirable: float, undesirable: float, beta: float, logps: tuple[float, float, float, float], kl: float
) -> None:
    a, b, ref_a, ref_b = logps
    policy, reference = torch.tensor([a, a, b, b]).double(), torch.tensor([ref_a, ref_a, ref_b, ref_b]).double()
    losses = kto(
        policy,
        reference,
        torch.tensor([True, False, False, True]),
        torch.tensor(kl).double(),
        beta=beta,
        desirable_weight=desirable,
        undesirable_weight=undesirable,
    ).numpy()
    whole = np.array([p, 1 - p, p, 1 - p]) @ losses
    first, second = weights(p, desirable / undesirable)
    u_a, u_b = beta * (a - ref_a - kl), beta * (b - ref_b - kl)
    assert whole == pytest.approx(desirable - undesirable * (first * expit(u_a) - second * expit(u_b)))


@given(st.floats(-20, 20))
def test_the_slope_is_that_of_the_sigmoid(u: float) -> None:
    assert float(slope(u)) == pytest.approx(expit(u) * expit(-u))


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(0.1, 2), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_pull_is_minus_the_slope_of_the_loss(
    s: float, reference: float, beta: float, first: float, second: float, constant: float
) -> None:
    def u(s: float) -> tuple[float, float]:
        rho = np.log(expit(s) / expit(reference)), np.log(expit(-s) / expit(-reference))
        return beta * (rho[0] - constant), beta * (rho[1] - constant)

    def loss(s: float) -> float:
        u_a, u_b = u(s)
        return second * expit(u_b) - first * expit(u_a)

    step = 1e-5
    u_a, u_b = u(s)
    found = float(pull(beta, expit(s), first * slope(u_a), second * slope(u_b)))
    assert found == pytest.approx((loss(s - step) - loss(s + step)) / (2 * step), abs=1e-8)


def test_numbers_are_shown_as_they_are_put_in() -> None:
    x = Symbol("x")
    assert put(x + x**2, {x: 2 + x - x}).doit() == 6
