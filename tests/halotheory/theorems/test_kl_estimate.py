"""What is true of the KL estimate, claim by claim; its bias and the sign of it, computed in other ways."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Max, symbols, sympify

from halotheory.findings import Status
from halotheory.theorems import kl_estimate, kl_worlds
from halotheory.theorems.cases import at_least_by_cases, equal_by_cases
from halotheory.theorems.kl_boundaries import family
from halotheory.theorems.kl_worlds import World

STATEMENT = kl_estimate.verify()
CLAIMS = {claim.name: claim for claim in STATEMENT.claims}
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
        ("neighbours_of_different_prompts", PROVED),
        ("lower_variance", REFUTED),
        ("lower_variance_without_prompts", PROVED),
        ("unbiased_for_each_prompt", REFUTED),
        ("squared_error_of_sharing", PROVED),
    ],
)
def test_each_claim(name: str, status: Status) -> None:
    assert CLAIMS[name].status is status, CLAIMS[name].method


def test_with_indices_from_zero_the_printed_formula_has_all_pairs() -> None:
    assert [(i, (i + 1) % 4) for i in range(4)] == [(0, 1), (1, 2), (2, 3), (3, 0)]
    assert CLAIMS["printed_pairs"].steps[-1].status is PROVED


def test_a_prompt_among_those_of_the_batch_is_not_excluded() -> None:
    assert CLAIMS["squared_error_of_sharing"].assumptions == ("x is drawn from P, independently of the microbatch",)


def test_no_claim_is_left_out_above() -> None:
    assert len(CLAIMS) == len(STATEMENT.claims) == 17
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


@given(st.integers(0, 2**32 - 1))
def test_the_gap_is_never_negative_with_one_reference_for_all_prompts(seed: int) -> None:
    generator = np.random.default_rng(seed)
    policy = generator.dirichlet(np.ones(3), 3)
    reference = np.tile(generator.dirichlet(np.ones(3)), (3, 1))
    world = World(prompt_probabilities=generator.dirichlet(np.ones(3)), data=policy, policy=policy, reference=reference)
    assert kl_worlds.mismatched(world, 2).mean <= world.kl + 1e-12


def test_neighbours_of_different_prompts_have_a_lower_mean() -> None:
    world = family(Fraction(1)).as_floats()
    apart = float(world.log_ratios[0] @ world.policy[1])
    mean = kl_worlds.mismatched(world, 2).mean
    assert apart == pytest.approx(mean - (world.kl - mean))
    assert apart < mean < world.kl


@pytest.mark.parametrize("size", [2, 5, 8])
def test_microbatches_drawn_at_random_have_the_bias(size: int) -> None:
    world, count = family(Fraction(1)).as_floats(), 200_000
    generator = np.random.default_rng(0)
    x = generator.integers(2, size=(count, size))
    y = (generator.random((count, size)) > world.policy[x, 0]).astype(int)
    values = np.maximum(0, world.log_ratios[x, np.roll(y, -1, axis=1)].mean(axis=1))
    found = kl_worlds.clamped(world, size)
    assert abs(values.mean() - found.mean) < 5 * np.sqrt(found.variance / count) + found.tolerance


def test_mutants_are_not_proved() -> None:
    a, b, m = symbols("a b m", real=True)
    apart, clamped_apart = (a - b) ** 2, (Max(0, a) - Max(0, b)) ** 2
    assert at_least_by_cases("", clamped_apart, apart).status is not PROVED
    assert at_least_by_cases("", apart / 2, clamped_apart).status is not PROVED
    assert at_least_by_cases("", a, Max(0, a)).status is not PROVED
    assert equal_by_cases("", Max(0, a / m), Max(0, a / (m - 1)), [m >= 2]).status is not PROVED
