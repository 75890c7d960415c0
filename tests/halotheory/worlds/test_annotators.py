import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halotheory.errors import HaloTheoryError
from halotheory.worlds import (
    Annotators,
    World,
    bradley_terry,
    contradicting,
    intransitive,
    kahneman_tversky,
    kahneman_tversky_value,
    mixed,
    random_worlds,
    with_label_noise,
    with_length_bias,
    with_position_bias,
    with_thumbs_of_comparisons,
)

MAKERS = {
    "bradley_terry": bradley_terry,
    "kahneman_tversky": kahneman_tversky,
    "contradicting": lambda world: contradicting(world, 0.7),
    "intransitive": intransitive,
    "noisy": lambda world: with_label_noise(bradley_terry(world), 0.2),
    "position": lambda world: with_position_bias(bradley_terry(world), 1.5),
    "length": lambda world: with_length_bias(bradley_terry(world), world, 0.3),
    "mixed": lambda world: mixed([bradley_terry(world), intransitive(world)], torch.tensor([0.25, 0.75]).double()),
    "compared": lambda world: with_thumbs_of_comparisons(bradley_terry(world), world.reference),
}


@pytest.mark.parametrize("name", MAKERS)
@given(seed=st.integers(0, 50))
def test_preferences_and_their_opposites_sum_to_one(name, seed):
    world = random_worlds(2, num_prompts=2, num_outputs=4, num_groups=2, longest=5, seed=seed)
    people = MAKERS[name](world)
    torch.testing.assert_close(people.preference + people.preference.mT, torch.ones_like(people.preference))
    assert bool(((people.thumbs >= 0) & (people.thumbs <= 1)).all())


@pytest.mark.parametrize("name", ["bradley_terry", "kahneman_tversky"])
def test_adding_to_all_rewards_of_a_prompt_changes_no_answer(name, small):
    shift = torch.tensor([[3.0, -2.0]], dtype=torch.float64).T
    shifted = World(
        prompt_probabilities=small.prompt_probabilities,
        reference_logits=small.reference_logits,
        rewards=small.rewards + shift,
        group_weights=small.group_weights,
        lengths=small.lengths,
    )
    people, others = MAKERS[name](small), MAKERS[name](shifted)
    torch.testing.assert_close(people.preference, others.preference, rtol=0, atol=1e-12)
    torch.testing.assert_close(people.thumbs, others.thumbs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", set(MAKERS) - {"intransitive", "mixed"})
def test_names_of_outputs_and_prompts_do_not_matter(name, small):
    prompts, outputs = torch.tensor([1, 0]), torch.tensor([2, 0, 1])
    renamed = World(
        prompt_probabilities=small.prompt_probabilities[:, prompts],
        reference_logits=small.reference_logits[:, prompts][..., outputs],
        rewards=small.rewards[:, :, prompts][..., outputs],
        group_weights=small.group_weights,
        lengths=small.lengths[:, prompts][..., outputs],
    )
    people, others = MAKERS[name](small), MAKERS[name](renamed)
    torch.testing.assert_close(people.preference[:, prompts][..., outputs, :][..., outputs], others.preference)
    torch.testing.assert_close(people.thumbs[:, prompts][..., outputs], others.thumbs)


def one_prompt(rewards: list[float], **more: torch.Tensor) -> World:
    return World(
        prompt_probabilities=torch.ones(1, 1).double(),
        reference_logits=torch.zeros(1, 1, len(rewards)).double(),
        rewards=torch.tensor([[rewards]]).double(),
        **more,
    )


def test_bradley_terry_by_hand():
    people = bradley_terry(one_prompt([3.0, 1.0]), temperature=2.0)
    assert people.preference[0, 0, 0, 1].item() == pytest.approx(1 / (1 + math.exp(-1)))
    assert people.thumbs[0, 0].tolist() == pytest.approx([1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))])


def test_kahneman_tversky_by_hand():
    gain, loss = 2.0**0.88, -2.25 * 2.0**0.88
    assert kahneman_tversky_value(torch.tensor([2.0, -2.0, 0.0])).tolist() == pytest.approx([gain, loss, 0.0])
    people = kahneman_tversky(one_prompt([5.0, 1.0]))
    assert people.preference[0, 0, 0, 1].item() == pytest.approx(1 / (1 + math.exp(loss - gain)))
    assert people.thumbs[0, 0].tolist() == pytest.approx([1 / (1 + math.exp(-gain)), 1 / (1 + math.exp(-loss))])


def test_contradicting_people_by_hand():
    people = contradicting(one_prompt([2.0, 1.0, 1.0]), 0.7)
    assert people.preference[0, 0].flatten().tolist() == pytest.approx([0.5, 0.7, 0.7, 0.3, 0.5, 0.5, 0.3, 0.5, 0.5])
    assert people.thumbs[0, 0].tolist() == pytest.approx([0.7, 0.4, 0.4])


def test_intransitive_people_go_round():
    people = intransitive(one_prompt([0.0] * 4), strength=0.9)
    assert people.preference[0, 0, 0].tolist() == pytest.approx([0.5, 0.9, 0.5, 0.1])
    assert people.preference[0, 0, 3].tolist() == pytest.approx([0.9, 0.5, 0.1, 0.5])
    assert people.thumbs.flatten().tolist() == pytest.approx([0.5] * 4)


def test_groups_are_mixed_after_their_own_judgement():
    rewards = torch.tensor([[[[4.0, 0.0]], [[0.0, 4.0]]]]).double()
    world = World(
        prompt_probabilities=torch.ones(1, 1).double(),
        reference_logits=torch.zeros(1, 1, 2).double(),
        rewards=rewards,
        group_weights=torch.tensor([[0.8, 0.2]]).double(),
    )
    high, low = 1 / (1 + math.exp(-4)), 1 / (1 + math.exp(4))
    assert bradley_terry(world).preference[0, 0, 0, 1].item() == pytest.approx(0.8 * high + 0.2 * low)


def test_biases_by_hand():
    world = one_prompt([1.0, 0.0], lengths=torch.tensor([[[1.0, 3.0]]]).double())
    people = bradley_terry(world)
    noisy = with_label_noise(people, 0.1)
    p = people.preference[0, 0, 0, 1].item()
    assert noisy.preference[0, 0, 0, 1].item() == pytest.approx(0.9 * p + 0.1 * (1 - p))
    longer = with_length_bias(people, world, 0.5)
    assert longer.preference[0, 0, 0, 1].item() == pytest.approx(0.5)  # log-odds 1 - 0.5 * 2
    assert longer.thumbs[0, 0].tolist() == pytest.approx([0.5, 0.5])  # +-0.5 -+0.5 * 1
    first = with_position_bias(people, 2.0).preference[0, 0, 0, 1].item()
    assert first == pytest.approx((1 / (1 + math.exp(-3)) + 1 / (1 + math.exp(1))) / 2)


def test_answers_drawn_agree_with_their_probabilities(small):
    people, count, generator = bradley_terry(small), 20_000, torch.Generator().manual_seed(0)
    zeros = torch.zeros(small.num_worlds, count, dtype=torch.int64)
    preferred = people.preferred(zeros, zeros, zeros + 2, generator=generator).double().mean(1)
    wanted = people.preference[:, 0, 0, 2]
    assert bool(((preferred - wanted).abs() < 5 * (wanted * (1 - wanted) / count).sqrt()).all())
    up = people.desirable(zeros + 1, zeros + 1, generator=generator).double().mean(1)
    wanted = people.thumbs[:, 1, 1]
    assert bool(((up - wanted).abs() < 5 * (wanted * (1 - wanted) / count).sqrt()).all())


WORLD = one_prompt([1.0, 0.0])
BAD = [
    (lambda: bradley_terry(WORLD, temperature=0.0), "temperature=0; give a number > 0"),
    (lambda: kahneman_tversky(WORLD, alpha=2.0), "alpha=2; give a number in (0, 1]"),
    (lambda: kahneman_tversky(WORLD, loss_aversion=-1.0), "loss_aversion=-1"),
    (lambda: contradicting(WORLD, 1.2), "share: give numbers in [0, 1]"),
    (lambda: contradicting(WORLD, torch.tensor([0.1, 0.2])), "share has shape (2,); give (1,)"),
    (lambda: intransitive(WORLD, strength=-0.1), "strength=-0.1"),
    (lambda: with_label_noise(bradley_terry(WORLD), 1.1), "flipped=1.1"),
    (lambda: mixed([bradley_terry(WORLD)], torch.tensor([0.5, 0.5])), "2 weights for 1 groups"),
    (lambda: mixed([bradley_terry(WORLD)], torch.tensor([0.5])), "sums to 0.5"),
    (
        lambda: Annotators(preference=torch.full((1, 1, 2, 2), 0.6), thumbs=torch.full((1, 1, 2), 0.5)),
        "must sum to one",
    ),
    (
        lambda: Annotators(preference=torch.full((1, 1, 2, 2), 0.5), thumbs=torch.full((1, 1, 2), 1.5)),
        "outside of [0, 1]",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_arguments_are_named(call, message):
    with pytest.raises(HaloTheoryError) as caught:
        call()
    assert message in str(caught.value)
