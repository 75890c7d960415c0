"""The interval of weights with z0 = KL in the loss value, against the loss computed with floats."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sympy import Rational

from halotheory.findings import Status
from halotheory.theorems import kto_weights_kl
from halotheory.theorems.kto_curves import VALUE
from halotheory.theorems.kto_loss import weights

BOUNDARY = kto_weights_kl.interval_with_kl()

_fractions = st.floats(0.51, 0.95)
_log_odds = st.floats(-6, 6)


def extra(s: np.ndarray, log_odds: float, beta: float, p: float, ratio: float) -> np.ndarray:
    """The loss over lambda_U at the logits s, less that of the indicator, with z0 = KL."""
    first, second = weights(p, ratio)
    delta = s - log_odds
    return second * expit(-beta * expit(s) * delta) - first * (expit(beta * expit(-s) * delta) - 0.5)


def interval(text: str) -> tuple[float, float]:
    low, high = (float(end) for end in text.strip("[]").split(", "))
    return low, high


@given(_fractions, st.floats(0.01, 1), st.floats(0.05, 3), _log_odds)
def test_small_weights_of_desirable_outputs_do_no_harm(p: float, factor: float, beta: float, log_odds: float) -> None:
    s = np.linspace(-30, 12, 2001)
    assert extra(s, log_odds, beta, p, factor * (1 - p) / p).min() > 0


@given(_fractions, st.floats(1, 4), st.floats(0.05, 3), _log_odds, st.floats(0.01, 5))
def test_large_weights_make_other_policies_better(
    p: float, factor: float, beta: float, log_odds: float, further: float
) -> None:
    assert extra(np.array(log_odds + further), log_odds, beta, p, factor * p / (1 - p)) < 0


@pytest.mark.parametrize("point", BOUNDARY.points, ids=lambda point: f"{point['beta']} {point['pi_ref(y_a)']}")
def test_the_largest_ratio_is_where_another_policy_gets_better(point: dict[str, str]) -> None:
    beta, log_odds = float(Rational(point["beta"])), logit(float(Rational(point["pi_ref(y_a)"])))
    s = np.linspace(log_odds, log_odds + 80 / (1 - beta), 200_001)
    for text in kto_weights_kl.FRACTIONS:
        low, high = interval(point[f"largest ratio at p = {text}"])
        p = float(Rational(text))
        assert low < high < low + 1e-3
        assert extra(s, log_odds, beta, p, low).min() >= -1e-12
        assert extra(s, log_odds, beta, p, high * 1.001).min() < 0


def test_loss_neutrality_is_within_exactly_up_to_the_value_curve() -> None:
    for point in BOUNDARY.points:
        beta, curve = Rational(point["beta"]), VALUE.largest_beta(Rational(point["pi_ref(y_a)"]))[0]
        low, high = interval(point["S"])
        assert (high < 1) == (beta < curve.low)
        assert (low > 1) == (beta > curve.high)


@given(st.floats(0.05, 0.95), _log_odds)
def test_the_share_is_below_its_bound(beta: float, log_odds: float) -> None:
    delta = np.linspace(1e-3, 60, 4001)
    x, y = beta * expit(-(log_odds + delta)) * delta, beta * expit(log_odds + delta) * delta
    found = (np.tanh(x / 2) * (1 + np.exp(y)) / 2).max()
    assert found <= beta * np.exp(-log_odds) / (2 * np.e * (1 - beta)) * (1 + 1e-12)


@given(_fractions, st.floats(0.05, 0.95), _log_odds, st.floats(1, 2))
def test_for_large_beta_nothing_in_between_is_enough(p: float, place: float, log_odds: float, beta: float) -> None:
    low, high = (1 - p) / p, p / (1 - p)
    ratio = low * (high / low) ** place
    first, second = weights(p, ratio)
    k, kappa = np.exp(-log_odds), second / first
    delta = max(2 * k, 24 * kappa * (1 + k) / k) * 1.01
    assume(delta < 300)
    x = beta * delta * expit(-(log_odds + delta))
    assert np.log(np.tanh(x / 2)) + np.logaddexp(0, beta * delta - x) - np.log(2) > np.log(kappa)


def test_a_share_that_is_not_below_its_bound_is_not_enclosed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kto_weights_kl, "_near_the_largest", lambda strength, log_k: (Rational(1), 0.01))
    with pytest.raises(ArithmeticError, match="no largest share enclosed at beta = 1/2"):
        kto_weights_kl.largest_share(Rational(1, 2), Rational(1, 10))


def test_weights_of_another_majority_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kto_weights_kl, "weights", lambda p, ratio: weights(1 - p, ratio))
    assert kto_weights_kl.below_the_interval().status is Status.UNDECIDED
    assert kto_weights_kl.between().status is Status.UNDECIDED
