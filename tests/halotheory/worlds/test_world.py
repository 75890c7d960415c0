import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halotheory.errors import HaloTheoryError
from halotheory.worlds import World, random_worlds, two_output_worlds

HALF = torch.full((1, 2), 0.5, dtype=torch.float64)
ZEROS = torch.zeros(1, 2, 3, dtype=torch.float64)
GOOD = {"prompt_probabilities": HALF, "reference_logits": ZEROS, "rewards": ZEROS}


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 5), st.integers(1, 3), st.integers(0, 99))
def test_random_worlds_have_probabilities_that_sum_to_one(num_worlds, num_prompts, num_outputs, num_groups, seed):
    world = random_worlds(
        num_worlds, num_prompts=num_prompts, num_outputs=num_outputs, num_groups=num_groups, seed=seed
    )
    assert world.reference.shape == (num_worlds, num_prompts, num_outputs)
    assert world.rewards.shape == (num_worlds, num_groups, num_prompts, num_outputs)
    for distribution in (world.prompt_probabilities, world.group_weights, world.reference):
        torch.testing.assert_close(distribution.sum(-1), torch.ones(distribution.shape[:-1], dtype=torch.float64))


def test_a_seed_gives_the_same_worlds_again_and_another_seed_others():
    first, again, other = (random_worlds(2, seed=seed).rewards for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rewards_without_groups_are_those_of_one_group():
    world = World(**GOOD)
    assert world.rewards.shape == (1, 1, 2, 3)
    assert world.group_weights.tolist() == [[1.0]]
    assert world.lengths.tolist() == [[[1.0] * 3] * 2]


def test_mean_rewards_weigh_the_groups():
    rewards = torch.stack([ZEROS[0], ZEROS[0] + 4])[None]
    world = World(**{**GOOD, "rewards": rewards}, group_weights=torch.tensor([[0.75, 0.25]], dtype=torch.float64))
    assert world.mean_rewards.tolist() == [[[1.0] * 3] * 2]


def test_copies_and_selections_keep_each_world_together():
    world = random_worlds(3, seed=5)
    twice = world.repeated(2)
    assert torch.equal(twice.chosen(slice(3, 6)).rewards, world.rewards)
    assert torch.equal(twice.chosen(torch.tensor([4])).lengths, world.lengths[1:2])


def test_two_output_worlds_have_the_reference_asked_for():
    world = two_output_worlds(torch.tensor([0.25, 0.9], dtype=torch.float64))
    torch.testing.assert_close(world.reference[:, 0, 0], torch.tensor([0.25, 0.9], dtype=torch.float64))
    assert world.mean_rewards[:, 0].tolist() == [[1.0, 0.0]] * 2


BAD = [
    ({"reference_logits": ZEROS[0]}, "give (worlds, prompts, outputs)"),
    ({"reference_logits": ZEROS[..., :1], "rewards": ZEROS[..., :1]}, "two outputs"),
    ({"prompt_probabilities": HALF[:, :1]}, "prompt_probabilities has shape (1, 1); give (1, 2)"),
    ({"prompt_probabilities": 0.9 * HALF}, "sums to 0.9"),
    ({"prompt_probabilities": HALF + torch.tensor([[-1.0, 1.0]])}, "a probability is >= 0"),
    ({"reference_logits": ZEROS - torch.inf}, "full support"),
    ({"lengths": ZEROS}, "at least one token"),
    ({"group_weights": HALF}, "rewards has shape"),
    ({"prompt_probabilities": HALF.float()}, "give all of them alike"),
]


@pytest.mark.parametrize(("changed", "message"), BAD, ids=[message for _, message in BAD])
def test_a_world_that_cannot_be_is_refused(changed, message):
    with pytest.raises(HaloTheoryError) as caught:
        World(**{**GOOD, **changed})
    assert message in str(caught.value)


def test_a_reference_probability_of_one_is_refused():
    with pytest.raises(HaloTheoryError, match=r"in \(0, 1\)"):
        two_output_worlds(torch.tensor([1.0]))
