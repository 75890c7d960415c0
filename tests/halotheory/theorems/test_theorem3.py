"""Theorem 3, reading by reading, against values computed with floats."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, softmax
from sympy import Integer, sympify

from halotheory.findings import Status
from halotheory.theorems import rewards, theorem3
from halotheory.theorems.claims import Claim

STATEMENT = theorem3.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
PROVED, REFUTED = Status.PROVED, Status.REFUTED

Point = Callable[[np.ndarray], np.ndarray]
POINTS: dict[str, Point] = {
    "fixed": lambda r: np.zeros((2, 1)),
    "per_input": lambda r: r.mean(axis=1, keepdims=True),
    "per_input_clamped": lambda r: r.mean(axis=1, keepdims=True).clip(0),
    "shared": lambda r: np.full((2, 1), r.mean()),
    "shared_clamped": lambda r: np.full((2, 1), r.mean().clip(0)),
}

_numbers = st.integers(-6, 6).map(lambda k: k / 2)
_worlds = arrays(float, (2, 3), elements=_numbers)
_betas = st.floats(0.1, 2)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("fixed_pointwise", PROVED),
        ("fixed_exists", PROVED),
        ("fixed_constant_h", PROVED),
        ("fixed_at_one_input", PROVED),
        ("fixed_every_h", REFUTED),
        ("per_input_pointwise", PROVED),
        ("per_input_exists_optimal_policy", REFUTED),
        ("per_input_exists_trained_policy", REFUTED),
        ("per_input_exists_reference_policy", REFUTED),
        ("per_input_exists_data", REFUTED),
        ("per_input_exists_point_mass", REFUTED),
        ("per_input_clamped_pointwise", PROVED),
        ("per_input_clamped_exists", PROVED),
        ("per_input_clamped_constant_h_exactly", PROVED),
        ("per_input_clamped_constant_h", REFUTED),
        ("per_input_clamped_every_h", REFUTED),
        ("shared_pointwise", PROVED),
        ("shared_exists", PROVED),
        ("shared_exists_one_input", REFUTED),
        ("shared_constant_h", REFUTED),
        ("shared_every_h", REFUTED),
        ("shared_clamped_pointwise", PROVED),
        ("shared_clamped_exists", PROVED),
        ("shared_clamped_constant_h_exactly", PROVED),
        ("shared_clamped_constant_h", REFUTED),
        ("shared_clamped_every_h", REFUTED),
        ("fixed_two_sided_exists", PROVED),
        ("fixed_two_sided_constant_h", REFUTED),
        ("per_input_two_sided_pointwise", PROVED),
        ("per_input_two_sided_exists", REFUTED),
        ("per_input_clamped_two_sided_exists", PROVED),
        ("shared_two_sided_exists", PROVED),
        ("shared_clamped_two_sided_exists", PROVED),
        ("shared_clamped_two_sided_constant_h", REFUTED),
        ("shared_clamped_two_sided_constant_h_exactly", REFUTED),
        ("taylor_same_reference_point", PROVED),
        ("taylor_moving_reference_point", REFUTED),
        ("taylor_series_converges", REFUTED),
        ("implied_reward_is_normalised", PROVED),
        ("one_implied_reward_in_each_class", PROVED),
        ("two_implied_rewards_in_a_class", REFUTED),
        ("implied_mean_is_kl", PROVED),
    ],
)
def test_what_is_decided(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status


def test_every_claim_is_listed_here() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 42


def values(r: np.ndarray, point: Point, beta: float) -> np.ndarray:
    return expit(beta * (r - point(r)))


def witness_world(claim: Claim) -> tuple[np.ndarray, np.ndarray]:
    assert claim.witness is not None
    rows = [sympify(text) for key, text in claim.witness.items() if key.startswith("r_a(")]
    return np.array(rows, dtype=float), np.atleast_1d(np.array(sympify(claim.witness["h"]), dtype=float))[:, None]


@pytest.mark.parametrize("reading", ["fixed", "per_input_clamped", "shared", "shared_clamped"])
@pytest.mark.parametrize("beta", [0.1, 1.0, 3.0])
def test_the_exchange_keeps_the_distribution_and_changes_values(reading: str, beta: float) -> None:
    r, h = witness_world(CLAIMS[f"{reading}_every_h"])
    before, after = values(r, POINTS[reading], beta), values(r + h, POINTS[reading], beta)
    assert np.sort(after, axis=None) == pytest.approx(np.sort(before, axis=None), abs=1e-15)
    assert after[0, 0] > before[0, 0] + 1e-3


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("per_input_clamped_constant_h", POINTS["per_input_clamped"]),
        ("shared_exists_one_input", POINTS["per_input"]),
        ("shared_constant_h", POINTS["shared"]),
        ("shared_clamped_constant_h", POINTS["shared_clamped"]),
    ],
)
def test_the_constant_h_of_a_witness_is_absorbed(name: str, point: Point) -> None:
    r, h = witness_world(CLAIMS[name])
    assert np.ptp(h) == 0
    assert h[0] != 0
    assert values(r + h, point, 0.5) == pytest.approx(values(r, point, 0.5), abs=1e-15)


@given(arrays(float, 4, elements=_numbers), arrays(float, 4, elements=_numbers), _numbers, _betas)
def test_every_mean_per_input_absorbs_every_h(r: np.ndarray, logits: np.ndarray, h: float, beta: float) -> None:
    reference = softmax(logits)
    for weights, shifted in (
        (softmax(np.log(reference) + r / beta), softmax(np.log(reference) + (r + h) / beta)),
        (reference, reference),
        (np.array([0, 0, 1, 0]), np.array([0, 0, 1, 0])),
    ):
        assert expit(beta * (r + h - shifted @ (r + h))) == pytest.approx(expit(beta * (r - weights @ r)), abs=1e-12)


@given(_worlds, _numbers, _betas)
def test_a_clamped_mean_absorbs_exactly_what_keeps_it_above_zero(r: np.ndarray, h: float, beta: float) -> None:
    before, after = (values(each, POINTS["per_input_clamped"], beta) for each in (r, r + h))
    m = r.mean(axis=1)
    absorbed = (h == 0) | ((m >= -1e-12) & (m + h >= -1e-12))
    np.testing.assert_array_equal(np.isclose(before, after, atol=1e-12, rtol=0).all(axis=1), absorbed)
    changed = not np.allclose(np.sort(before, axis=None), np.sort(after, axis=None), atol=1e-12, rtol=0)
    assert changed == (not np.all(absorbed))


@given(_worlds, _numbers, _betas)
def test_a_constant_h_below_the_means_changes_the_distribution(r: np.ndarray, by: float, beta: float) -> None:
    h = -1 - abs(by) - max(0, r.mean(axis=1).max())
    for reading in ("fixed", "per_input_clamped", "shared_clamped"):
        assert values(r + h, POINTS[reading], beta).mean() < values(r, POINTS[reading], beta).mean() - 1e-9


@given(_worlds, arrays(float, 2, elements=_numbers))
def test_a_shared_mean_lets_a_large_varying_h_through(r: np.ndarray, k: np.ndarray) -> None:
    assume(k[0] != k[1])
    covariance, spread = ((r - r.mean()) * (k - k.mean())[:, None]).mean(), k.var()
    t = 1 + max(0, -2 * covariance / spread)
    shifted = r + t * k[:, None]
    assert np.var(shifted - shifted.mean()) > np.var(r - r.mean())


@given(arrays(float, 6, elements=_numbers), arrays(bool, 6), _betas)
def test_a_large_constant_h_changes_two_sided_values(u: np.ndarray, good: np.ndarray, beta: float) -> None:
    c = 1 + max(0, -2 * u.mean())
    before, after = (expit(beta * np.where(good, x, -x)) for x in (u, u + c))
    assert not np.allclose(np.sort(before), np.sort(after), atol=1e-9, rtol=0)


@given(_worlds, _numbers, _betas)
def test_at_one_input_every_h_changes_the_distribution_for_a_fixed_z0(r: np.ndarray, h: float, beta: float) -> None:
    assume(h != 0)
    before, after = (np.sort(values(each, POINTS["fixed"], beta)[0]) for each in (r, r + h))
    assert np.abs(before - after).max() > 1e-9


def test_the_two_sided_witness_evaluated_again() -> None:
    witness = CLAIMS["fixed_two_sided_constant_h"].witness
    assert witness is not None
    good, bad = (float(x) for x in sympify(witness["r_a"]))
    h = float(sympify(witness["h"]))
    before, after = ([expit(x), expit(-y)] for x, y in ((good, bad), (good + h, bad + h)))
    assert sorted(before) == pytest.approx(sorted(after), abs=1e-15)
    assert before[0] != pytest.approx(after[0])


def test_the_reference_points_of_witnesses_evaluated_again() -> None:
    for name, weights in (
        ("optimal_policy", [1 / (1 + np.e), np.e / (1 + np.e)]),
        ("trained_policy", [1 / 4, 3 / 4]),
        ("reference_policy", [1 / 2, 1 / 2]),
        ("data", [1 / 3, 2 / 3]),
        ("point_mass", [0, 1]),
    ):
        witness = CLAIMS[f"per_input_exists_{name}"].witness
        assert witness is not None
        assert float(sympify(witness["z0 of r_a"])) == pytest.approx(weights[1])
        assert float(sympify(witness["z0 of r_a + h"])) == pytest.approx(weights[1] + 1)


def test_the_terms_of_the_series_are_those_of_mpmath() -> None:
    coefficients = mpmath.taylor(lambda x: 1 / (1 + mpmath.exp(-x)), 0, 13)
    for order in (1, 3, 5, 9, 13):
        ours = float(theorem3._taylor_term(Integer(4), order))
        assert ours == pytest.approx(float(coefficients[order] * 4**order), rel=1e-6)


def test_only_one_member_of_a_class_is_implied_by_a_policy() -> None:
    witness = CLAIMS["two_implied_rewards_in_a_class"].witness
    assert witness is not None
    reference, own = (np.array(sympify(witness[key]), dtype=float) for key in ("pi_ref", "r_a"))
    assert reference @ np.exp(own) == pytest.approx(1, abs=1e-15)
    assert reference @ np.exp(own + float(witness["h"])) == pytest.approx(np.e)


def test_the_boundary_is_where_the_clamp_lets_go() -> None:
    absorption = next(each for each in STATEMENT.boundaries if each.name == "absorption")
    for point in absorption.points:
        mean, h = float(sympify(point["m"])), float(sympify(point["h"]))
        r = np.array([[mean - 1, mean + 1]])
        for by, changed in ((0.0, False), (1e-3, False), (-1e-3, True)):
            moved = (r + h + by - (r + h + by).mean().clip(0)) - (r - r.mean().clip(0))
            assert (np.abs(moved) > 1e-9).any() == changed


def test_trials_pass_and_a_wrong_formula_fails() -> None:
    trials = [trial for claim in STATEMENT.claims for trial in claim.trials]
    assert len(trials) == 5
    assert all(trial.passed for trial in trials)
    assert not rewards.shift_trial(lambda table: table.mean(axis=-1).clip(0), lambda m, h: 0 * h).passed


def test_mutants_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theorem3, "sigmoid", lambda x: 1 / (1 + theorem3.exp(-(x**2))))
    assert {claim.status for claim in theorem3.fixed() if claim.name != "fixed_every_h"} == {Status.UNDECIDED}


def test_a_ladder_that_h_does_not_exchange_refutes_nothing() -> None:
    other = rewards.world(((0, 1), (1, 2)), (1, -2))
    found = rewards.exchanged("x", theorem3.EVERY, other, rewards.fixed_number, "fixed")
    assert found.status is Status.UNDECIDED
    kept = rewards.unchanged("x", theorem3.CONSTANT, rewards.world(((0, 1),), (1,)), rewards.fixed_number, "fixed")
    assert kept.status is Status.UNDECIDED
