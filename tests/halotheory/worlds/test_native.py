import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halotheory import losses
from halotheory.contract import load_loss, loss_of
from halotheory.worlds import GradientDescent, bradley_terry, pairs, random_worlds, thumbs, train
from halotheory.worlds.batching import population_loss
from halotheory.worlds.derivative import slopes_code
from halotheory.worlds.terms import Terms, code_of

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
BY_EXAMPLE = [name for name in losses.__all__ if population_loss(load_loss(name)).way == "together"]


@needs_compiler
@pytest.mark.parametrize("name", BY_EXAMPLE)
def test_native_steps_are_the_eager_ones(name, feedback_for):
    world = random_worlds(11, num_prompts=3, num_outputs=4, longest=5, seed=6)  # no multiple of eight
    loss = load_loss(name)
    if name == "sppo":
        loss = loss.with_settings({"beta": 0.5})
    optimizer, feedback = GradientDescent(learning_rate=0.3), feedback_for(loss, world)
    eager, native = (
        train(world, loss, feedback, steps=25, optimizer=optimizer, engine=engine, record=(10,))
        for engine in ("eager", "native")
    )
    assert (eager.engine, native.engine) == ("eager", "native")
    tolerance = 1e-2 if name == "dpop" else 1e-11  # dpop's kink is where training starts: rounding takes its sides
    torch.testing.assert_close(native.logits, eager.logits, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(native.losses, eager.losses, rtol=tolerance, atol=tolerance)


@needs_compiler
@pytest.mark.parametrize("point", ["kl", "shared_kl", "mismatched", 0.25])
def test_native_reference_points_are_the_eager_ones(point, small):
    feedback, optimizer = thumbs(small, bradley_terry(small)), GradientDescent(learning_rate=2.0)
    eager, native = (
        train(small, "kto", feedback, steps=50, optimizer=optimizer, engine=engine, reference_point=point).final
        for engine in ("eager", "native")
    )
    torch.testing.assert_close(native, eager, rtol=1e-11, atol=1e-11)


@needs_compiler
def test_native_hyperparameters_of_each_world(small):
    feedback, optimizer = pairs(small, bradley_terry(small)), GradientDescent(learning_rate=2.0)
    beta = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]).double()
    eager, native = (
        train(small, "dpo", feedback, steps=50, optimizer=optimizer, engine=engine, settings={"beta": beta}).final
        for engine in ("eager", "native")
    )
    torch.testing.assert_close(native, eager, rtol=1e-11, atol=1e-11)


@needs_compiler
def test_native_training_of_a_users_own_operations(small):
    def odd(policy_logps, reference_logps, desirable, lengths, *, beta=0.5):
        z = beta * (policy_logps - reference_logps) / lengths.sqrt()
        sign = 2 * desirable.to(z.dtype) - 1
        bounded = torch.clamp(z * sign, -3.0, 3.0)
        return torch.atan(-bounded) + torch.tanh(z).square() + torch.log1p(torch.exp(-bounded)) + bounded.abs().pow(1.5)

    loss, feedback = loss_of(odd), thumbs(small, bradley_terry(small))
    start = small.reference_logits + torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    eager, native = (
        train(small, loss, feedback, steps=20, optimizer=GradientDescent(learning_rate=0.5), engine=engine, start=start)
        for engine in ("eager", "native")
    )
    torch.testing.assert_close(native.final, eager.final, rtol=1e-10, atol=1e-10)


@needs_compiler
def test_what_native_code_does_not_know_is_trained_eagerly(small):
    def sorted_twice(policy_logps):
        return -policy_logps * torch.special.i0(policy_logps)

    loss, feedback = loss_of(sorted_twice), thumbs(small, bradley_terry(small))
    run = train(small, loss, feedback, steps=60_000, optimizer=GradientDescent(learning_rate=0.0), tolerance=1e9)
    assert run.engine == "eager"


def test_both_orders_of_a_pair_share_what_they_can():
    code = slopes_code(load_loss("dpo"), ["beta"], weights_may_vanish=False)
    assert code.count("falling_exp(") == 1
    assert code.count("/") == 1


def test_both_labels_of_an_output_share_what_they_can():
    code = slopes_code(load_loss("kto"), ["beta"], weights_may_vanish=False)
    assert code.count("falling_exp(") == 1


def test_a_difference_and_its_opposite_are_one_term():
    terms = Terms()
    a, b = terms.input("a"), terms.input("b")
    first = terms.make("abs", terms.make("mul", 2.0, terms.make("sub", a, b)))
    second = terms.make("abs", terms.make("mul", terms.make("sub", b, a), -2.0))
    assert first is second
    assert terms.make("neg", terms.make("neg", a)) is a
    assert terms.make("add", a, terms.make("neg", b)) is terms.make("sub", a, b)
    assert terms.make("lt", terms.make("neg", a), 3.0) is terms.make("gt", a, -3.0)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_the_rules_for_signs_keep_every_bit(a, b):
    terms = Terms()
    x, y = terms.input("x"), terms.input("y")
    product = terms.make("mul", terms.make("sub", y, x), terms.make("neg", x))
    lines, (result,) = code_of([terms.make("sub", terms.make("neg", product), terms.make("div", y, -3.0))])
    names: dict[str, float] = {"x": a, "y": b}
    functions = {"all": float}
    for line in lines:
        name, expression = line.removeprefix("const Vector ").rstrip(";").split(" = ")
        names[name] = eval(expression, functions, names)
    assert eval(result, functions, names) == -((b - a) * -a) - b / -3.0
