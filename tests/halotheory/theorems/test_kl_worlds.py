"""Bias and variance of the KL estimates on tabular worlds, against every microbatch in turn, or very many."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halotheory.theorems import kl_worlds
from halotheory.theorems.kl_worlds import Moments, World

_seeds = st.integers(0, 2**32 - 1)


def random_world(seed: int, prompts: int = 2, outputs: int = 3) -> World:
    generator = np.random.default_rng(seed)
    data, policy, reference = generator.dirichlet(np.full(outputs, 2), (3, prompts))
    return World(
        prompt_probabilities=generator.dirichlet(np.full(prompts, 2)), data=data, policy=policy, reference=reference
    )


def every_microbatch(world: World, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mismatched log-ratios of each possible microbatch, (microbatches, m), and its probability."""
    cells = list(product(*(range(count) for count in world.policy.shape)))
    batches = np.array(list(product(cells, repeat=size)))
    x, y = batches[..., 0], batches[..., 1]
    chances = (world.prompt_probabilities[x] * world.data[x, y]).prod(axis=1)
    return world.log_ratios[x, np.roll(y, -1, axis=1)], chances


def sampled_microbatches(world: World, size: int, count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    x = generator.choice(len(world.prompt_probabilities), p=world.prompt_probabilities, size=(count, size))
    y = (generator.random((count, size, 1)) > world.data.cumsum(axis=1)[x][..., :-1]).sum(axis=-1)
    return world.log_ratios[x, np.roll(y, -1, axis=1)]


def estimates(ratios: np.ndarray) -> dict[str, np.ndarray]:
    size = ratios.shape[1]
    full, printed = ratios.mean(axis=1), ratios[:, :-1].sum(axis=1) / size
    return {
        "mismatched": full,
        "clamped": np.maximum(full, 0),
        "printed_unclamped": printed,
        "printed": np.maximum(printed, 0),
    }


NAMES = ("mismatched", "clamped", "printed_unclamped", "printed")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [2, 3, 4])
@given(seed=_seeds)
@settings(max_examples=5)
def test_moments_are_those_of_every_microbatch(name: str, size: int, seed: int) -> None:
    world = random_world(seed)
    ratios, chances = every_microbatch(world, size)
    values = estimates(ratios)[name]
    found: Moments = getattr(kl_worlds, name)(world, size)
    mean = values @ chances
    assert found.mean == pytest.approx(mean, abs=found.tolerance + 1e-12)
    assert found.variance == pytest.approx(values**2 @ chances - mean**2, abs=found.tolerance + 1e-12)
    assert found.tolerance < 1e-4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, 32, 128])
def test_moments_are_within_the_intervals_of_sampled_microbatches(name: str, size: int) -> None:
    world, count = random_world(5, prompts=4, outputs=5), 20_000
    values = estimates(sampled_microbatches(world, size, count))[name]
    found: Moments = getattr(kl_worlds, name)(world, size)
    assert abs(values.mean() - found.mean) < 5 * np.sqrt(found.variance / count) + found.tolerance + 1e-12
    spread = (values - values.mean()) ** 2
    assert abs(spread.mean() - found.variance) < 5 * spread.std() / np.sqrt(count) + found.tolerance + 1e-12


@pytest.mark.parametrize("size", [2, 16])
def test_a_finer_lattice_stays_within_the_tolerance(size: int) -> None:
    world = random_world(1, prompts=3, outputs=4)
    coarse, fine = (kl_worlds.clamped(world, size, points=points) for points in (2**8, 2**16))
    assert fine.tolerance < coarse.tolerance / 100
    assert abs(coarse.mean - fine.mean) <= coarse.tolerance + fine.tolerance
    assert abs(coarse.variance - fine.variance) <= coarse.tolerance + fine.tolerance


@given(_seeds)
def test_the_matched_estimate_is_unbiased(seed: int) -> None:
    world = random_world(seed, prompts=3)
    assert kl_worlds.matched(world, 4).bias(world.kl) == 0
    means = [one.mean for one in kl_worlds.matched_by_prompt(world, 4)]
    np.testing.assert_allclose(means, world.kl_by_prompt)
    assert world.prompt_probabilities @ means == pytest.approx(world.kl)


def test_variances_of_matched_estimates_fall_with_m() -> None:
    world = random_world(2)
    one, four = kl_worlds.matched(world, 1), kl_worlds.matched(world, 4)
    x, y = np.indices(world.policy.shape).reshape(2, -1)
    chances = world.prompt_probabilities[x] * world.policy[x, y]
    ratios = world.log_ratios[x, y]
    assert one.variance == pytest.approx(chances @ ratios**2 - (chances @ ratios) ** 2)
    assert four.variance == pytest.approx(one.variance / 4)


@given(_seeds, st.sampled_from([2, 3, 8]))
def test_the_clamp_raises_the_mean_and_lowers_the_variance(seed: int, size: int) -> None:
    world = random_world(seed)
    before, after = kl_worlds.mismatched(world, size), kl_worlds.clamped(world, size, points=2**12)
    assert after.mean >= max(0, before.mean) - 1e-12
    assert after.variance <= before.variance + after.tolerance + 1e-12


@given(_seeds)
def test_sharing_costs_the_variance_of_kl_over_prompts(seed: int) -> None:
    world = random_world(seed, prompts=4)
    shared = kl_worlds.matched(world, 8)
    spread = world.prompt_probabilities @ (world.kl_by_prompt - world.kl) ** 2
    assert kl_worlds.shared_squared_error(world, shared) == pytest.approx(shared.squared_error(world.kl) + spread)


@given(_seeds)
def test_renaming_prompts_and_outputs_changes_nothing(seed: int) -> None:
    world = random_world(seed, prompts=3, outputs=3)
    generator = np.random.default_rng(seed)
    x, y = generator.permutation(3), generator.permutation(3)
    renamed = World(
        prompt_probabilities=world.prompt_probabilities[x],
        data=world.data[x][:, y],
        policy=world.policy[x][:, y],
        reference=world.reference[x][:, y],
    )
    for size in (2, 5):
        one, other = kl_worlds.clamped(world, size, points=2**10), kl_worlds.clamped(renamed, size, points=2**10)
        assert one.mean == pytest.approx(other.mean)
        assert one.variance == pytest.approx(other.variance)


def test_a_large_microbatch_is_near_the_limit() -> None:
    for seed in range(4):
        world = random_world(seed)
        assert kl_worlds.clamped(world, 4096).mean == pytest.approx(kl_worlds.limit(world), abs=0.02)


def test_an_unmoved_policy_has_no_bias() -> None:
    world = random_world(0)
    still = World(
        prompt_probabilities=world.prompt_probabilities, data=world.data, policy=world.policy, reference=world.policy
    )
    assert kl_worlds.clamped(still, 8) == Moments(mean=0, variance=0)


HALVES = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.full((2, 3), 1 / 3)}, "data has shape"),
        ({"prompt_probabilities": np.array([0.5, 0.6])}, "prompt_probabilities must be probabilities"),
        ({"data": np.array([[1.5, -0.5], [0.5, 0.5]])}, "data must be probabilities"),
        ({"policy": np.array([[1.0, 0.0], [0.5, 0.5]])}, "policy must give every output"),
        ({"policy": np.array([0.5, 0.5])}, "policy has shape"),
    ],
)
def test_bad_worlds(changes: dict[str, np.ndarray], message: str) -> None:
    parts = {"prompt_probabilities": np.full(2, 0.5), "data": HALVES, "policy": HALVES, "reference": HALVES}
    with pytest.raises(ValueError, match=message):
        World(**{**parts, **changes})


@pytest.mark.parametrize("name", NAMES)
def test_one_example_has_no_mismatched_pair(name: str) -> None:
    with pytest.raises(ValueError, match="a microbatch of 1 has no mismatched pairs"):
        getattr(kl_worlds, name)(random_world(0), 1)
