"""Proposition 2 against floats: the weight, the parameters, the ends, the batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax
from sympy import Rational, sympify

from halotheory.findings import Status
from halotheory.theorems import proposition2
from halotheory.theorems.claims import Boundary

STATEMENT = proposition2.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
PROVED, REFUTED, UNDECIDED = Status.PROVED, Status.REFUTED, Status.UNDECIDED

_rewards = st.floats(-30, 30)
_betas = st.floats(0.05, 2)


def bell(u: float) -> float:
    return float(expit(u) * expit(-u))


def boundary(name: str) -> Boundary:
    return next(each for each in STATEMENT.boundaries if each.name == name)


def interval(text: str) -> tuple[float, float]:
    low, high = (float(end) for end in text.strip("[]").split(","))
    return low, high


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("equation_8", PROVED),
        ("weight_vanishes", PROVED),
        ("softmax_logits", PROVED),
        ("probabilities_beta_above_1", PROVED),
        ("probabilities_beta_1", REFUTED),
        ("probabilities_beta_below_1", REFUTED),
        ("probabilities_on_the_simplex", PROVED),
        ("infinite_gain_is_reached", REFUTED),
        ("smallest_weight_of_gains", PROVED),
        ("certain_output_loses_weight", REFUTED),
        ("largest_gain", PROVED),
        ("losses_fade", PROVED),
        ("batch_moves_together", REFUTED),
        ("batch_of_one", REFUTED),
        ("batch_outlier_fades", PROVED),
        ("batch_outlier_leaves_others", REFUTED),
        ("clamped_batch_rises_together", REFUTED),
        ("clamped_batch_falls_together", PROVED),
        ("clamped_outlier_below_leaves_others", PROVED),
        ("built_in_losses_ignore_alike", REFUTED),
    ],
)
def test_what_is_decided(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status
    assert len(CLAIMS) == len(STATEMENT.claims) == 20


@given(_rewards, st.floats(-3, 3), _betas)
def test_the_update_in_probabilities_lies_between_its_bounds(r: float, z0: float, beta: float) -> None:
    q = 0.5
    found = beta * bell(beta * (r - z0)) * np.exp(-r) / q
    above = beta / q * np.exp((beta - 1) * r - beta * z0)
    assert found <= above * (1 + 1e-9)
    if r <= z0:
        assert found >= above / 4 * (1 - 1e-9)


@pytest.mark.parametrize("name", ["1", "below_1"])
def test_the_witness_in_probabilities_evaluated_again(name: str) -> None:
    witness = CLAIMS[f"probabilities_beta_{name}"].witness
    assert witness is not None
    beta, q = float(Rational(witness["beta"])), float(Rational(witness["pi_ref(y|x)"]))
    floors = []
    for r in (-10, -100):
        floors.append(float(sympify(witness[f"update at r = {r}"].removeprefix("more than "))))
        assert beta * bell(beta * r) * np.exp(-r) / q > floors[-1]
    assert floors[1] >= floors[0] > 0


@given(arrays(float, 6, elements=st.floats(-8, 8)))
def test_the_gradient_in_logits_is_bounded(logits: np.ndarray) -> None:
    policy = softmax(logits)
    assert np.linalg.norm(np.eye(6)[0] - policy) <= np.sqrt(2) * (1 - policy[0]) + 1e-12


@given(st.integers(2, 50), st.integers(0, 1))
def test_the_projection_keeps_the_size(n: int, place: int) -> None:
    projected = np.eye(n)[place] - 1 / n
    assert projected @ projected == pytest.approx(1 - 1 / n)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=5), st.floats(1e-6, 1e-3))
def test_a_certain_output_has_nearly_the_full_weight(masses: list[float], rest: float) -> None:
    reference = np.array(masses) / sum(masses)
    policy = np.array([1 - rest, *np.full(len(masses) - 1, rest / (len(masses) - 1))])
    divergence = float(policy @ np.log(policy / reference))
    z = float(np.log(policy[0] / reference[0]) - divergence)
    assert abs(z) <= np.sqrt(rest) + rest * (2 + 2 * abs(np.log(reference)).max())
    assert bell(0.1 * z) > 0.24


def test_the_witness_of_a_certain_output_evaluated_again() -> None:
    witness = CLAIMS["certain_output_loses_weight"].witness
    assert witness is not None
    policy, reference = (np.array(sympify(witness[key]), dtype=float) for key in ("pi", "pi_ref"))
    z = np.log(policy[0] / reference[0]) - policy @ np.log(policy / reference)
    assert float(sympify(witness["z"])) == pytest.approx(z, abs=1e-12)
    assert bell(float(Rational(witness["beta"])) * z) > 0.999 / 4


def test_the_largest_gains_are_those_of_an_optimiser() -> None:
    for point in boundary("largest_gains").points:
        q = float(Rational(point["q"]))

        def minus_z(t: float, q: float = q) -> float:
            return -(1 - t) * (logit(t) - logit(q))

        best = minimize_scalar(minus_z, bounds=(1e-6, 1 - 1e-9), method="bounded", options={"xatol": 1e-12})
        for name, value, tolerance in (
            ("t", best.x, 1e-5),
            ("largest_z", -best.fun, 1e-5),
            ("share_at_beta_1/10", 4 * bell(-0.1 * best.fun), 1e-6),
        ):
            low, high = interval(point[name])
            assert low - tolerance <= value <= high + tolerance
            assert high - low < 1e-3


def test_thousands_of_policies_never_gain_more_than_the_largest() -> None:
    generator = np.random.default_rng(5)
    q, t = generator.uniform(0.001, 0.999, size=(2, 5000))
    z = (1 - t) * (logit(t) - logit(q))
    for mass, found in zip(q[:300], z[:300], strict=True):
        low, high = 1e-9, 1 - 1e-12
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if 1 / middle > logit(middle) - logit(mass) else (low, middle)
        assert found <= (1 - low) / low + 1e-9


def test_the_smallest_weights_are_those_at_certainty() -> None:
    for point in boundary("smallest_weights").points:
        beta, q = float(Rational(point["beta"])), 10.0 ** int(point["log10_q"])
        low, high = interval(point["share"])
        assert low <= 4 * bell(-beta * np.log(q)) * (1 + 1e-12)
        assert 4 * bell(-beta * np.log(q)) <= high * (1 + 1e-12)


def test_the_updates_of_the_boundary() -> None:
    for point in boundary("probabilities").points:
        beta = float(Rational(point["beta"]))
        for r in (-10, -100):
            low, high = interval(point[f"update at r = {r}"])
            found = beta * bell(beta * r) * np.exp(-r) / 0.5
            assert low * (1 - 1e-9) <= found <= high * (1 + 1e-9)


@given(arrays(float, 4, elements=st.floats(-5, 5)), st.floats(-100, 100), _betas)
def test_a_batch_that_moves_together_is_not_silenced(r: np.ndarray, s: float, beta: float) -> None:
    before, after = (expit(beta * (x - x.mean())) for x in (r, r + s))
    assert after == pytest.approx(before, abs=1e-9)


def test_an_outlier_silences_the_batch() -> None:
    witness = CLAIMS["batch_outlier_leaves_others"].witness
    assert witness is not None
    r = np.array(sympify(witness["r"]), dtype=float)
    z = r - max(0.0, r.mean())
    assert tuple(z) == tuple(float(each) for each in sympify(witness["z"]))
    assert bell(0.1 * z[1]) < 1 / 120 < bell(0) / 20


def test_trials_pass() -> None:
    trials = [trial for claim in STATEMENT.claims for trial in claim.trials]
    assert len(trials) == 2
    assert all(trial.passed for trial in trials)


def test_every_built_in_loss_has_its_rows() -> None:
    rows = boundary("ignored_examples").points
    kto = {"loss": "kto", "output": "desirable", "r_rises": "0", "r_falls": "0", "ignored_at": "both"}
    assert {**kto, "shown for": "every hyperparameter > 0"} in rows
    assert len({row["loss"] for row in rows}) == 36
    assert "both ends, for all kinds of outputs: apo_down, apo_zero, exo, kto, " in STATEMENT.notes[0]


def test_mutants_are_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposition2, "bell", lambda u: proposition2.sigmoid(u))
    assert {claim.status for claim in proposition2.weight()} == {UNDECIDED}
    assert proposition2._certain_output().status is UNDECIDED


def test_beta_above_one_gives_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proposition2._probabilities_stay("above_1", Rational(2), []).status is UNDECIDED
    monkeypatch.setattr(proposition2, "bell", lambda u: 0 * u)
    assert proposition2._probabilities_below_one().status is UNDECIDED


@given(st.floats(0.02, 0.98), st.floats(-2, 2))
def test_for_any_beta_below_one_the_update_grows_without_bound(beta: float, z0: float) -> None:
    assert CLAIMS["probabilities_beta_below_1"].assumptions == ("beta < 1, any",)
    r = z0 - np.array([10.0, 20, 40]) / (1 - beta)
    log_updates = np.log(beta) - np.logaddexp(0, -beta * (r - z0)) - np.logaddexp(0, beta * (r - z0)) - r
    assert (np.diff(log_updates) > 9).all()
