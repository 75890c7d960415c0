"""What is true of the KL estimate, claim by claim; its bias and the sign of it, computed in other ways."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from sympy import sympify

from halotheory.findings import Status
from halotheory.theorems import kl_estimate, kl_worlds
from halotheory.theorems.kl_worlds import World

STATEMENT = kl_estimate.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
BOUNDARIES = {boundary.name: boundary for boundary in STATEMENT.boundaries}
PROVED, REFUTED = Status.PROVED, Status.REFUTED


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("printed_pairs", REFUTED),
        ("printed_sum", PROVED),
        ("clamping_raises_the_mean", PROVED),
        ("clamping_lowers_the_variance", PROVED),
        ("variance_of_the_mean", PROVED),
        ("limit", PROVED),
        ("unbiased_before_the_clamp", REFUTED),
        ("positive_bias", REFUTED),
        ("positive_bias_without_prompts", PROVED),
        ("positive_bias_as_printed", REFUTED),
        ("below_by_what_prompts_tell", PROVED),
        ("below_on_policy", REFUTED),
        ("lower_variance", REFUTED),
        ("lower_variance_without_prompts", PROVED),
        ("unbiased_for_each_prompt", REFUTED),
        ("squared_error_of_sharing", PROVED),
    ],
)
def test_each_claim(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status, CLAIMS[name].method


def test_no_claim_is_left_out_above() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 16
    assert all(trial.passed for claim in STATEMENT.claims for trial in claim.trials)


def numbers(name: str, part: str) -> np.ndarray:
    return np.array(sympify((CLAIMS[name].witness or {})[part]), dtype=float)


def witness(name: str) -> World:
    """Return the world of a witness; its data is the policy's unless it has its own."""
    parts = {part: numbers(name, part) for part in CLAIMS[name].witness or {} if part in ("P", "D", "pi", "pi_ref")}
    return World(
        prompt_probabilities=parts["P"],
        data=parts.get("D", parts["pi"]),
        policy=parts["pi"],
        reference=parts["pi_ref"],
    )


@pytest.mark.parametrize("size", [2, 3, 8, 32, 128])
def test_the_bias_is_negative_for_a_policy_that_answers_its_prompts(size: int) -> None:
    world = witness("positive_bias")
    found = kl_worlds.clamped(world, size)
    assert found.bias(world.kl) < -found.tolerance


def test_the_bias_is_negative_by_hand() -> None:
    """m = 2: zhat0 > 0 only for twice log(3/2): one prompt and its own output twice, or two and the other's output."""
    expected = (0.75**2 + 0.25**2) / 2 * np.log(1.5)
    assert kl_worlds.clamped(witness("positive_bias"), 2).mean == pytest.approx(expected, abs=1e-6)
    assert expected < witness("positive_bias").kl


def test_mismatched_pairs_are_biased_both_ways() -> None:
    below = witness("unbiased_before_the_clamp")
    assert kl_worlds.mismatched(below, 2).mean < below.kl
    above = World(
        prompt_probabilities=below.prompt_probabilities,
        data=numbers("unbiased_before_the_clamp", "D of the second world"),
        policy=numbers("unbiased_before_the_clamp", "pi of a second world"),
        reference=below.reference,
    )
    assert kl_worlds.mismatched(above, 2).mean > above.kl


def test_a_sharper_reference_turns_the_gap() -> None:
    world = witness("below_on_policy")
    assert kl_worlds.mismatched(world, 2).mean > world.kl


@pytest.mark.parametrize("size", [2, 16, 128])
def test_the_variance_may_be_larger_than_the_standard_one(size: int) -> None:
    world = witness("lower_variance")
    found = kl_worlds.clamped(world, size)
    assert found.variance - found.tolerance > kl_worlds.matched(world, size).variance


def test_the_printed_formula_is_below_kl_even_without_prompts() -> None:
    world = witness("positive_bias_as_printed")
    assert kl_worlds.printed(world, 2).mean == pytest.approx(0.45 * np.log(1.8), abs=1e-6)
    assert 0.45 * np.log(1.8) < world.kl
    assert kl_worlds.clamped(world, 2).mean > world.kl


def test_each_prompt_has_its_own_kl() -> None:
    first, second = witness("unbiased_for_each_prompt").kl_by_prompt
    assert first > 0.1
    assert second == 0


@pytest.mark.parametrize("point", BOUNDARIES["sign_of_the_bias"].points, ids=lambda point: point["m"])
def test_the_sign_of_the_bias_changes_where_it_is_said(point: dict[str, str]) -> None:
    size, (low, high) = int(point["m"]), eval(point["s"])

    def bias(specific: float) -> float:
        return dynamic_bias(specific, size) if size <= 8 else fourier_bias(specific, size)

    assert high - low < 1e-3
    assert low - 1e-9 <= brentq(bias, 0.01, 1, xtol=1e-6) <= high + 1e-9
    grid = [bias(specific) for specific in np.linspace(0, 1, 21)]
    assert (np.diff(np.sign(grid)) != 0).sum() == 1


def fourier_bias(specific: float, size: int) -> float:
    world = kl_estimate.family(Fraction(specific)).as_floats()
    return kl_worlds.clamped(world, size, points=2**13).bias(world.kl)


def dynamic_bias(specific: float, size: int) -> float:
    """Return E zhat0 - KL by walking round the cycle: the probability of each sum of log-ratios, prompt by prompt."""
    policy = np.array([[0.75, 0.25], [0.75 - specific / 2, 0.25 + specific / 2]])
    ratios, total = np.log(2 * policy), 0.0
    for first in range(2):
        sums = {(first, 0.0): 0.5}
        for step in range(size):
            following = {}
            for (x, value), chance in sums.items():
                for other in range(2) if step < size - 1 else [first]:
                    for y in range(2):
                        key = (other, round(value + ratios[x, y], 9))
                        drawn = chance * policy[other, y] * (0.5 if step < size - 1 else 1)
                        following[key] = following.get(key, 0.0) + drawn
            sums = following
        total += sum(chance * max(0.0, value) for (_, value), chance in sums.items())
    return total / size - (policy * ratios).sum() / 2


def test_the_table_by_size() -> None:
    points = BOUNDARIES["by_size"].points
    assert [(point["s"], point["m"]) for point in points] == [(s, str(2**k)) for s in "01" for k in range(1, 8)]
    for point in points:
        size, world = int(point["m"]), kl_estimate.family(Fraction(point["s"])).as_floats()
        clamped, before = kl_worlds.clamped(world, size), kl_worlds.mismatched(world, size)
        printed = kl_worlds.printed(world, size)
        assert float(point["bias"]) == pytest.approx(clamped.bias(world.kl), rel=1e-5, abs=2 * clamped.tolerance)
        assert float(point["variance"]) == pytest.approx(clamped.variance, rel=1e-5, abs=2 * clamped.tolerance)
        assert float(point["bias before the clamp"]) == pytest.approx(before.bias(world.kl), rel=1e-5, abs=1e-12)
        assert float(point["variance before the clamp"]) == pytest.approx(before.variance, rel=1e-5)
        assert float(point["bias as printed"]) == pytest.approx(printed.bias(world.kl), rel=1e-5, abs=1e-5)
        standard = kl_worlds.matched(world, size).variance
        assert float(point["variance of the standard estimate"]) == pytest.approx(standard, rel=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_the_gap_is_never_negative_with_one_reference_for_all_prompts(seed: int) -> None:
    generator = np.random.default_rng(seed)
    policy = generator.dirichlet(np.ones(3), 3)
    reference = np.tile(generator.dirichlet(np.ones(3)), (3, 1))
    world = World(prompt_probabilities=generator.dirichlet(np.ones(3)), data=policy, policy=policy, reference=reference)
    assert kl_worlds.mismatched(world, 2).mean <= world.kl + 1e-12


@pytest.mark.parametrize("size", [2, 5, 8])
def test_microbatches_drawn_at_random_have_the_bias(size: int) -> None:
    world, count = kl_estimate.family(Fraction(1)).as_floats(), 200_000
    generator = np.random.default_rng(0)
    x = generator.integers(2, size=(count, size))
    y = (generator.random((count, size)) > world.policy[x, 0]).astype(int)
    values = np.maximum(0, world.log_ratios[x, np.roll(y, -1, axis=1)].mean(axis=1))
    found = kl_worlds.clamped(world, size)
    assert abs(values.mean() - found.mean) < 5 * np.sqrt(found.variance / count) + found.tolerance
