import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from halotheory import losses
from halotheory.contract import Loss, load_loss
from halotheory.errors import HaloTheoryError
from halotheory.worlds import (
    Adam,
    GradientDescent,
    Pairs,
    ReferencePoint,
    RMSprop,
    Thumbs,
    World,
    bradley_terry,
    contradicting,
    pairs,
    random_worlds,
    rlhf_optimum,
    thumbs,
    thumbs_of_pairs,
    train,
    train_by_sampling,
    two_output_dpo_optimum,
    two_output_worlds,
)
from halotheory.worlds.batching import population_loss
from halotheory.worlds.objective import Objective
from halotheory.worlds.reference_point import NAMES, apart, kl_of_prompts, mismatched_of_batch

DESCENT = GradientDescent(learning_rate=0.5)
POINTS = (*NAMES, 0.3)


def objective_of(world: World, loss: Loss, reference_point: ReferencePoint) -> Objective:
    return Objective(world=world, loss=population_loss(loss), settings={}, reference_point=reference_point)


def moved(world: World, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return world.reference_logits + 0.5 * torch.randn(world.reference_logits.shape, generator=generator).double()


HOLDING = {"bco", "beta_dpo", "kto_without_reference", "wpo"}  # a part of their value fixed: no gradient of the value


@pytest.mark.parametrize("name", [name for name in losses.__all__ if name not in HOLDING])
def test_the_exact_gradient_is_the_difference_quotient(name, small, feedback_for):
    loss = load_loss(name)
    objective, cells = objective_of(small, loss, 0.3), feedback_for(loss, small).cells()
    logits, step = moved(small), 1e-6
    _, gradient = objective.value_and_gradient(logits, cells)
    for x in range(small.num_prompts):
        for y in range(small.num_outputs):
            nudge = torch.zeros_like(logits)
            nudge[:, x, y] = step
            quotient = (objective.value(logits + nudge, cells) - objective.value(logits - nudge, cells)) / (2 * step)
            torch.testing.assert_close(gradient[:, x, y], quotient, rtol=1e-5, atol=1e-8)


def test_a_moving_reference_point_has_its_share_of_the_gradient(small):
    loss, cells = load_loss("kto"), thumbs(small, bradley_terry(small)).cells()
    logits, step = moved(small), 1e-6
    moving = objective_of(small, loss, "moving_kl").value_and_gradient(logits, cells)[1]
    fixed = objective_of(small, loss, "kl").value_and_gradient(logits, cells)[1]
    objective = objective_of(small, loss, "kl")
    nudge = torch.zeros_like(logits)
    nudge[:, 1, 2] = step
    quotient = (objective.value(logits + nudge, cells) - objective.value(logits - nudge, cells)) / (2 * step)
    torch.testing.assert_close(moving[:, 1, 2], quotient, rtol=1e-6, atol=1e-9)
    assert float((moving - fixed).abs().max()) > 1e-5


@pytest.mark.parametrize("name", losses.__all__)
@pytest.mark.parametrize("optimizer", [DESCENT, Adam(learning_rate=0.1), RMSprop(learning_rate=0.1)], ids=repr)
def test_every_built_in_trains_to_finite_numbers_and_lowers_its_loss(name, optimizer, small, feedback_for):
    loss = load_loss(name)
    if name == "sppo":
        loss = loss.with_settings({"beta": 0.5})  # at 0.001 it aims at log-ratios of 500 nats
    run = train(small, loss, feedback_for(loss, small), steps=30, optimizer=optimizer, reference_point=0.1)
    for numbers in (run.logits, run.losses, run.expected_rewards, run.kls, run.best_probabilities):
        assert bool(torch.isfinite(numbers).all())
    torch.testing.assert_close(run.policies.sum(-1), torch.ones(5, 2).double())
    too_steep, at_rest = {"dpop", "ipo", "exo"}, {"sft", "csft"}  # for these steps; the data is the reference's own
    if name not in HOLDING | too_steep | at_rest:
        assert bool((run.losses[-1] <= run.losses[0] + 1e-12).all())


@pytest.mark.parametrize("name", losses.__all__)
def test_worlds_together_are_the_worlds_one_by_one(name, small, feedback_for):
    loss = load_loss(name)
    if name == "sppo":
        loss = loss.with_settings({"beta": 0.5})
    feedback = feedback_for(loss, small)
    together = train(small, loss, feedback, steps=20, optimizer=DESCENT, engine="eager").final
    for world in range(small.num_worlds):
        one = slice(world, world + 1)
        alone = train(small.chosen(one), loss, feedback.chosen(one), steps=20, optimizer=DESCENT, engine="eager").final
        torch.testing.assert_close(together[one], alone, rtol=1e-12, atol=1e-12)


def test_a_value_of_a_hyperparameter_for_each_world(small):
    data, beta = pairs(small, bradley_terry(small)), torch.tensor([0.1, 0.2, 0.3, 0.1, 0.5]).double()
    together = train(small, "dpo", data, steps=20, optimizer=DESCENT, settings={"beta": beta})
    for world in range(5):
        one = slice(world, world + 1)
        loss = load_loss("dpo", {"beta": float(beta[world])})
        alone = train(small.chosen(one), loss, data.chosen(one), steps=20, optimizer=DESCENT)
        torch.testing.assert_close(together.final[one], alone.final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "ppo_clip", "bco"])
@settings(max_examples=10)
@given(seed=st.integers(0, 100))
def test_names_of_outputs_and_prompts_do_not_matter(name, seed):
    world = random_worlds(2, num_prompts=3, num_outputs=4, longest=3, seed=seed)
    loss = load_loss(name)
    people = bradley_terry(world)
    data = pairs(world, people) if loss.kind == "paired" else thumbs(world, people)
    prompts, outputs = torch.tensor([2, 0, 1]), torch.tensor([3, 0, 2, 1])
    renamed = type(world)(
        prompt_probabilities=world.prompt_probabilities[:, prompts],
        reference_logits=world.reference_logits[:, prompts][..., outputs],
        rewards=world.rewards[:, :, prompts][..., outputs],
        lengths=world.lengths[:, prompts][..., outputs],
    )
    weights = data.weights[:, prompts][:, :, outputs]
    other = Pairs(weights=weights[..., outputs]) if isinstance(data, Pairs) else Thumbs(weights=weights)
    run = train(world, loss, data, steps=5, optimizer=DESCENT)
    again = train(renamed, loss, other, steps=5, optimizer=DESCENT)
    torch.testing.assert_close(run.policies[:, prompts][..., outputs], again.policies, rtol=1e-11, atol=1e-12)


@settings(max_examples=10)
@given(seed=st.integers(0, 100))
def test_rewards_of_one_class_train_the_same_policy(seed):
    world = random_worlds(2, num_prompts=3, num_outputs=3, seed=seed)
    shift = torch.randn(2, 1, 3, 1, generator=torch.Generator().manual_seed(seed)).double()
    shifted = type(world)(
        prompt_probabilities=world.prompt_probabilities,
        reference_logits=world.reference_logits,
        rewards=world.rewards + shift,
    )
    data = [pairs(each, bradley_terry(each)) for each in (world, shifted)]
    runs = [train(world, "dpo", each, steps=10, optimizer=DESCENT) for each in data]
    torch.testing.assert_close(runs[0].final, runs[1].final, rtol=0, atol=1e-12)
    torch.testing.assert_close(rlhf_optimum(world, beta=0.3), rlhf_optimum(shifted, beta=0.3), rtol=0, atol=1e-12)


def test_dpo_reaches_the_optimum_of_rlhf_under_bradley_terry():
    world = random_worlds(20, num_prompts=2, num_outputs=3, reward_scale=0.5, reference_scale=0.5, seed=2)
    data = pairs(world, bradley_terry(world), behaviour=torch.full_like(world.reference, 1 / 3))
    world = world.chosen(world.prompt_probabilities.amin(1) > 0.2)
    data = pairs(world, bradley_terry(world), behaviour=torch.full_like(world.reference, 1 / 3))
    run = train(
        world, "dpo", data, steps=20_000, optimizer=GradientDescent(learning_rate=20.0), settings={"beta": 0.5},
        tolerance=1e-13, engine="eager",
    )  # fmt: skip
    torch.testing.assert_close(run.policies, rlhf_optimum(world, beta=0.5).exp(), rtol=0, atol=1e-8)


def test_dpo_reaches_theorem_4s_optimum():
    p, q, beta = (
        each.flatten()
        for each in torch.meshgrid(
            torch.tensor([0.55, 0.7, 0.9]).double(),
            torch.tensor([0.1, 0.5, 0.8]).double(),
            torch.tensor([0.3, 1.0]).double(),
            indexing="ij",
        )
    )
    world = two_output_worlds(q)
    rate = 1 / beta**2
    run = train(
        world, "dpo", pairs(world, contradicting(world, p)), steps=5000, optimizer=GradientDescent(learning_rate=rate),
        settings={"beta": beta}, tolerance=1e-14,
    )  # fmt: skip
    wanted = two_output_dpo_optimum(p, q, beta)
    torch.testing.assert_close(run.policies[:, 0, 0], wanted, rtol=0, atol=1e-8)
    by_powers = p ** (1 / beta) * q / (p ** (1 / beta) * q + (1 - p) ** (1 / beta) * (1 - q))
    torch.testing.assert_close(wanted, by_powers)


def test_kto_follows_the_majority_where_dpo_does_not():
    world = two_output_worlds(torch.tensor([0.1]).double())
    data = pairs(world, contradicting(world, 0.6))
    slow, fast = GradientDescent(learning_rate=5.0), GradientDescent(learning_rate=50.0)
    kto = train(world, "kto", thumbs_of_pairs(data), steps=4000, optimizer=fast, settings={"beta": 0.5})
    dpo = train(world, "dpo", data, steps=1000, optimizer=slow, settings={"beta": 0.5})
    assert float(kto.best_probabilities[-1]) > 0.95
    assert float(dpo.best_probabilities[-1]) == pytest.approx(0.2, abs=1e-6)  # odds (0.6 / 0.4)^2 / 9 = 1 / 4


def test_what_is_recorded_is_what_was_there(small):
    data = thumbs(small, bradley_terry(small))
    run = train(small, "kto", data, steps=20, optimizer=DESCENT, record=(7, 12))
    assert run.steps.tolist() == [0, 7, 12, 20]
    early = train(small, "kto", data, steps=7, optimizer=DESCENT)
    assert torch.equal(run.logits[1], early.final)
    assert torch.equal(run.losses[1], early.losses[-1])
    assert run.kls[0].tolist() == [0.0] * 5
    assert run.losses[0].tolist() == pytest.approx([0.5] * 5)
    further = train(small, "kto", data, steps=13, optimizer=DESCENT, start=early.final)
    assert torch.equal(further.final, run.final)


def test_training_ends_at_rest():
    world = two_output_worlds(torch.tensor([0.5]).double())
    data = pairs(world, contradicting(world, 0.5))
    run = train(world, "dpo", data, steps=10**9, optimizer=DESCENT, tolerance=1e-12, engine="eager", record=(500,))
    assert run.steps.tolist() == [0, 500, 10**9]
    assert float(run.largest_slopes) <= 1e-12


def test_optimisers_are_those_of_pytorch(small):
    theirs = {
        Adam(learning_rate=0.1): lambda p: torch.optim.Adam(p, lr=0.1),
        RMSprop(learning_rate=0.1): lambda p: torch.optim.RMSprop(p, lr=0.1),
        GradientDescent(learning_rate=0.1): lambda p: torch.optim.SGD(p, lr=0.1),
    }
    gradients = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0)).double()
    for optimizer, build in theirs.items():
        mine, leaf = torch.zeros(4, 3).double(), torch.zeros(4, 3).double().requires_grad_()
        state, other = optimizer.start(mine), build([leaf])
        for gradient in gradients:
            mine, state = optimizer.step(mine, gradient, state)
            leaf.grad = gradient.clone()
            other.step()
        torch.testing.assert_close(mine, leaf.detach(), rtol=1e-12, atol=1e-14)


# Minibatches


@pytest.mark.parametrize("name", ["dpo", "kto", "sft", "ppo_clip", "simpo"])
def test_the_mean_of_sampled_courses_is_the_exact_one(name, feedback_for):
    seeds, loss = 4000, load_loss(name)
    world = random_worlds(1, num_prompts=2, num_outputs=3, seed=3)
    copies = world.repeated(seeds)
    data = feedback_for(loss, world)
    optimizer = GradientDescent(learning_rate=0.02)  # small steps: the mean course is the exact one to first order
    exact = train(world, loss, data, steps=10, optimizer=optimizer, reference_point=0.2)
    sampled = train_by_sampling(
        copies, loss, data.repeated(seeds), steps=10, batch_size=8, seed=1, optimizer=optimizer, reference_point=0.2
    )
    mean, error = sampled.final.mean(0), sampled.final.std(0) / math.sqrt(seeds)
    assert bool(((mean - exact.final[0]).abs() <= 5 * error + 1e-4).all())


def test_seeds_of_minibatches(small):
    data = thumbs(small, bradley_terry(small))
    one, again, other = (
        train_by_sampling(small, "kto", data, steps=5, batch_size=4, seed=seed, optimizer=DESCENT).final
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", losses.__all__)
def test_every_built_in_trains_on_minibatches(name, small, feedback_for):
    loss = load_loss(name)
    if name == "sppo":
        loss = loss.with_settings({"beta": 0.5})
    optimizer = GradientDescent(learning_rate=0.05)
    run = train_by_sampling(small, loss, feedback_for(loss, small), steps=10, batch_size=6, optimizer=optimizer)
    assert bool(torch.isfinite(run.logits).all())
    assert bool(torch.isfinite(run.losses).all())


def test_neighbours_answer_different_prompts_where_they_can():
    prompts = torch.tensor([[0, 0, 1, 2], [0, 1, 0, 1], [0, 0, 0, 1], [2, 2, 2, 2]])
    order = apart(prompts)
    assert order.sort(1).values.tolist() == [[0, 1, 2, 3]] * 4
    put = prompts.gather(1, order)
    clashes = (put == put.roll(-1, dims=1)).sum(1)
    assert clashes.tolist() == [0, 0, 2, 4]
    assert order[1].tolist() == [0, 1, 2, 3]


def test_the_mismatched_estimate_by_hand():
    log_ratios = torch.tensor([[[1.0, 2.0], [3.0, 5.0]], [[-1.0, -2.0], [-3.0, -5.0]]])
    prompts, outputs = torch.tensor([[0, 1], [0, 1]]), torch.tensor([[0, 1], [0, 1]])
    # prompt 0 with output 1, prompt 1 with output 0: (2 + 3) / 2; negative ones are clamped
    assert mismatched_of_batch(log_ratios, prompts, outputs).tolist() == [2.5, 0.0]


def test_the_limit_of_the_mismatched_estimate_is_that_of_large_batches():
    world = random_worlds(1, num_prompts=3, num_outputs=3, seed=4)
    shown = torch.tensor([0.8, 0.1, 0.1], dtype=torch.float64).expand(1, 3, 3)
    data = thumbs(world, bradley_terry(world), behaviour=shown)
    logits = world.reference_logits + torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64)
    objective = objective_of(world, load_loss("kto"), "mismatched")
    limit = objective._kl(torch.log_softmax(logits, -1), data.cells())[0, 0]
    cells = data.sampled(60_000, generator=torch.Generator().manual_seed(0))
    shuffled = objective._kl(torch.log_softmax(logits, -1), cells)[0, 0]
    assert float(limit) > 0
    assert float(shuffled) == pytest.approx(float(limit), abs=0.02)


def test_the_exact_kl_by_hand():
    policy, reference = torch.tensor([0.8, 0.2]).double(), torch.tensor([0.5, 0.5]).double()
    wanted = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    assert float(kl_of_prompts(policy.log(), reference.log())) == pytest.approx(wanted)


WORLD = random_worlds(2, num_prompts=2, num_outputs=3)
PAIRS, THUMBS = pairs(WORLD, bradley_terry(WORLD)), thumbs(WORLD, bradley_terry(WORLD))
BAD = [
    (lambda: train(WORLD, "dpo", THUMBS, steps=1, optimizer=DESCENT), "give it feedback of pairs()"),
    (lambda: train(WORLD, "kto", PAIRS, steps=1, optimizer=DESCENT), "thumbs() or thumbs_of_pairs()"),
    (lambda: train(WORLD, "kto", THUMBS, steps=-1, optimizer=DESCENT), "steps=-1"),
    (lambda: train(WORLD, "kto", THUMBS, steps=1, optimizer=DESCENT, record=(2,)), "record=[2]"),
    (lambda: train(WORLD, "kto", THUMBS, steps=1, optimizer=DESCENT, reference_point="kll"), "'kll'; there are kl"),  # type: ignore[arg-type]
    (lambda: train(WORLD, "kto", THUMBS, steps=1, optimizer=DESCENT, reference_point=-1.0), "a KL is a number >= 0"),
    (lambda: train(WORLD, "kto", THUMBS.chosen(slice(1)), steps=1, optimizer=DESCENT), "feedback.weights has shape"),
    (lambda: train(WORLD, "kto", THUMBS, steps=1, optimizer=DESCENT, start=torch.zeros(1)), "start has shape (1,)"),
    (lambda: train(WORLD, "ktoo", THUMBS, steps=1, optimizer=DESCENT), "did you mean 'kto'"),
    (lambda: train(WORLD.to(dtype=torch.float32), "kto", THUMBS, steps=1, optimizer=DESCENT), "the world is not"),
    (
        lambda: train(WORLD, "bco", THUMBS, steps=1, optimizer=DESCENT, engine="native"),
        "its examples see each other; train it with engine='eager'",
    ),
    (
        lambda: train(WORLD, "kto", THUMBS, steps=1, optimizer=Adam(learning_rate=0.1), engine="native"),
        "native code knows gradient descent",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_arguments_are_named(call, message):
    with pytest.raises(HaloTheoryError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("point", POINTS)
def test_every_reference_point_trains(point, small):
    run = train(small, "kto", thumbs(small, bradley_terry(small)), steps=20, optimizer=DESCENT, reference_point=point)
    assert bool((run.expected_rewards[-1] > run.expected_rewards[0]).all())
