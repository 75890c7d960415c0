import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halotheory.errors import HaloTheoryError
from halotheory.worlds import (
    Pairs,
    Thumbs,
    bradley_terry,
    contradicting,
    one_output_per_prompt,
    pairs,
    random_worlds,
    thumbs,
    thumbs_of_pairs,
    two_output_worlds,
    with_desirable_fraction,
)


@given(st.integers(0, 50))
def test_shares_sum_to_one_and_keep_the_prompts_apart(seed):
    world = random_worlds(3, num_prompts=3, num_outputs=4, seed=seed)
    people = bradley_terry(world)
    for data in (pairs(world, people), thumbs(world, people), thumbs_of_pairs(pairs(world, people))):
        torch.testing.assert_close(data.weights.sum((2, 3)), world.prompt_probabilities, rtol=0, atol=1e-12)


def test_pairs_of_two_outputs_are_the_annotators_own_shares():
    world = two_output_worlds(torch.tensor([0.9]).double())
    data = pairs(world, contradicting(world, 0.6))
    assert data.weights[0, 0].flatten().tolist() == pytest.approx([0.0, 0.6, 0.4, 0.0])
    assert thumbs_of_pairs(data).weights[0, 0].flatten().tolist() == pytest.approx([0.2, 0.3, 0.3, 0.2])


def test_cells_are_the_examples_that_occur(small):
    weights = pairs(small, bradley_terry(small)).weights.clone()
    weights[:, 0, 1] = 0
    weights /= weights.sum((1, 2, 3), keepdim=True)
    cells = Pairs(weights=weights).cells()
    assert cells.weights.shape[1] == 2 * 6 - 2
    for column, (prompt, chosen, rejected) in enumerate(zip(cells.prompts, *cells.outputs, strict=True)):
        x, w, loser = int(prompt), int(chosen) - 3 * int(prompt), int(rejected) - 3 * int(prompt)
        assert torch.equal(cells.weights[:, column], weights[:, x, w, loser])


def test_samples_have_the_shares_of_the_population(small):
    size, generator = 40_000, torch.Generator().manual_seed(0)
    people = bradley_terry(small)
    for data in (pairs(small, people), thumbs(small, people)):
        drawn = data.data_set(size, generator=generator).weights
        spread = (data.weights * (1 - data.weights) / size).sqrt()
        assert bool(((drawn - data.weights).abs() <= 5 * spread).all())
        assert torch.equal(drawn != 0, (drawn != 0) & (data.weights != 0))


def test_what_has_no_weight_is_never_drawn():
    weights = torch.zeros(1, 1, 4, 2).double()
    weights[0, 0, 2, 1] = 1
    cells = Thumbs(weights=weights).sampled(100, generator=torch.Generator().manual_seed(0))
    assert set(cells.outputs[0].flatten().tolist()) == {2}
    assert cells.desirable is not None
    assert bool(cells.desirable.all())


def test_a_desirable_fraction_keeps_the_odds_within_each_label(small):
    data = thumbs(small, bradley_terry(small))
    few = with_desirable_fraction(data, 0.01)
    torch.testing.assert_close(few.desirable_fraction, torch.full((5,), 0.01).double())
    before, after = (each.weights[..., 1] / each.desirable_fraction[:, None, None] for each in (data, few))
    torch.testing.assert_close(before, after)
    assert with_desirable_fraction(data, torch.tensor([0.0, 1.0, 0.5, 0.2, 0.3])).desirable_fraction.tolist() == (
        pytest.approx([0.0, 1.0, 0.5, 0.2, 0.3])
    )


def test_one_output_per_prompt_keeps_one_and_the_prompts_shares(small):
    data = thumbs(small, bradley_terry(small))
    single = one_output_per_prompt(data, generator=torch.Generator().manual_seed(0))
    assert bool(((single.weights.sum(-1) > 0).sum(-1) == 1).all())
    torch.testing.assert_close(single.weights.sum((2, 3)), small.prompt_probabilities)
    kept = single.weights.sum(-1) > 0
    torch.testing.assert_close(
        (single.weights[..., 1] / single.weights.sum(-1))[kept], (data.weights[..., 1] / data.weights.sum(-1))[kept]
    )


WORLD = random_worlds(1, num_prompts=2, num_outputs=3)
PEOPLE = bradley_terry(WORLD)
ALWAYS = torch.tensor([1.0, 0.0, 0.0]).double().expand(1, 2, 3)
UP = Thumbs(weights=torch.tensor([[[[0.0, 0.5], [0.0, 0.5]]]]).double())
BAD = [
    (lambda: pairs(WORLD, PEOPLE, behaviour=ALWAYS), "a pair needs two"),
    (lambda: thumbs(WORLD, PEOPLE, behaviour=2 * ALWAYS), "sums to 2"),
    (lambda: Pairs(weights=torch.full((1, 1, 2, 2), 0.25)), "paired with itself"),
    (lambda: Pairs(weights=torch.full((1, 1, 2, 3), 1 / 6)), "give (worlds, prompts, Y, Y)"),
    (lambda: Thumbs(weights=torch.full((1, 1, 2, 3), 1 / 6)), "give (worlds, prompts, outputs, 2)"),
    (lambda: with_desirable_fraction(UP, 0.5), "one label only"),
    (lambda: with_desirable_fraction(UP, 1.5), "in [0, 1]"),
    (lambda: UP.sampled(0, generator=torch.Generator()), "at least one example"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_arguments_are_named(call, message):
    with pytest.raises(HaloTheoryError) as caught:
        call()
    assert message in str(caught.value)
