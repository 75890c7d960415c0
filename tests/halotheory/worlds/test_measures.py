import pytest
import torch

from halotheory.worlds import (
    World,
    best_probability,
    bradley_terry,
    contradicting,
    expected_reward,
    expected_rewards_of_groups,
    human_value,
    intransitive,
    kl_from_reference,
    majority_agreement,
    minority_reward,
    random_worlds,
    win_rate,
)

WORLD = World(
    prompt_probabilities=torch.tensor([[0.25, 0.75]], dtype=torch.float64),
    reference_logits=torch.zeros(1, 2, 2, dtype=torch.float64),
    rewards=torch.tensor([[[[4.0, 0.0], [0.0, 8.0]], [[0.0, 2.0], [1.0, 0.0]]]], dtype=torch.float64),
    group_weights=torch.tensor([[0.75, 0.25]], dtype=torch.float64),
)
LOGITS = torch.tensor([[[0.9, 0.1], [0.2, 0.8]]], dtype=torch.float64).log()


def test_rewards_by_hand():
    groups = [0.25 * 3.6 + 0.75 * 6.4, 0.25 * 0.2 + 0.75 * 0.2]
    assert expected_rewards_of_groups(WORLD, LOGITS)[0].tolist() == pytest.approx(groups)
    assert expected_reward(WORLD, LOGITS).item() == pytest.approx(0.75 * groups[0] + 0.25 * groups[1])
    assert minority_reward(WORLD, LOGITS).item() == pytest.approx(groups[1])


def test_best_and_majority_by_hand():
    assert best_probability(WORLD, LOGITS).item() == pytest.approx(0.25 * 0.9 + 0.75 * 0.8)
    assert majority_agreement(WORLD, contradicting(WORLD, 0.6), LOGITS).item() == pytest.approx(0.825)
    assert majority_agreement(WORLD, contradicting(WORLD, 0.4), LOGITS).item() == pytest.approx(0.175)


def test_human_value_by_hand():
    v = lambda z: abs(z) ** 0.5 * (1 if z >= 0 else -3)  # noqa: E731
    first = 0.25 * (0.9 * v(2) + 0.1 * v(-2)) + 0.75 * (0.2 * v(-4) + 0.8 * v(4))
    second = 0.25 * (0.9 * v(-1) + 0.1 * v(1)) + 0.75 * (0.2 * v(0.5) + 0.8 * v(-0.5))
    found = human_value(WORLD, LOGITS, alpha=0.5, loss_aversion=3.0)
    assert found.item() == pytest.approx(0.75 * first + 0.25 * second)


def test_the_reference_against_itself():
    world = random_worlds(4, seed=2)
    assert kl_from_reference(world, world.reference_logits).abs().max().item() <= 1e-15
    assert win_rate(world, bradley_terry(world), world.reference_logits).tolist() == pytest.approx([0.5] * 4)


def test_a_better_policy_wins_more_often():
    world = random_worlds(4, seed=2)
    better = world.reference_logits + world.mean_rewards
    assert bool((win_rate(world, bradley_terry(world), better) > 0.5).all())
    assert bool((kl_from_reference(world, better) > 0).all())


def test_nobody_is_unbeaten_where_preferences_go_round():
    world = random_worlds(2, num_outputs=5)
    assert majority_agreement(world, intransitive(world), world.reference_logits).tolist() == [0.0, 0.0]
