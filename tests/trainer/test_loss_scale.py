"""The loss scale: halved until gradients are finite, doubled when they long were, and undone in every gradient."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainer.test_loop import assert_same, prepared
from trainer.loss_scale import LARGEST, PATIENCE, LossScale
from trainer.step import gradient


def test_it_falls_where_the_gradient_is_not_finite_and_rises_after_2000_good_steps() -> None:
    scale = LossScale(used=True)
    assert [scale.overflowed(norm) for norm in (float("inf"), float("nan"), 1.0)] == [True, True, False]
    assert scale.value == LARGEST / 4
    for _ in range(PATIENCE - 1):
        assert not scale.overflowed(1.0)
    assert scale.value == LARGEST / 2
    for _ in range(2 * PATIENCE):
        assert not scale.overflowed(1.0)
    assert scale.value == LARGEST


def test_it_gives_up_where_no_scale_helps_and_the_loop_says_so() -> None:
    scale = LossScale(used=True)
    tries = 0
    while scale.overflowed(float("nan")):
        tries += 1
    assert (tries, scale.value) == (16, 1.0)


def test_it_is_one_and_passes_everything_on_where_it_is_not_used() -> None:
    scale = LossScale(used=False)
    assert not scale.overflowed(float("inf"))
    assert scale.value == 1.0


def test_a_checkpoint_brings_it_back() -> None:
    scale, again = LossScale(used=True), LossScale(used=True)
    scale.overflowed(float("inf"))
    scale.overflowed(1.0)
    again.load_state_dict(scale.state_dict())
    assert again.state_dict() == scale.state_dict() == {"value": LARGEST / 2, "good_steps": 1}


def clipped_gradient(training: Any) -> tuple[list[torch.Tensor], float]:
    _, norm = gradient(training, training.order.step(0, 0))
    return [weight.grad.clone() for weight in training.policy.parameters()], norm


@pytest.mark.usefixtures("workplace")
def test_gradients_and_metrics_are_those_without_it_also_after_an_overflow() -> None:
    given: dict[str, Any] = {"loss": "dpo", "data": "pairs.jsonl", "batch_size": 11, "micro_batch_size": 4}
    expected, norm = clipped_gradient(prepared(**given))
    training = replace(prepared(**given), scale=LossScale(used=True))
    overflows = []

    def overflow_once(grad: torch.Tensor) -> torch.Tensor:
        overflows.append(training.scale.value)
        return grad * float("inf") if training.scale.value == LARGEST else grad

    training.policy.model.lm_head.weight.register_hook(overflow_once)
    found, same = clipped_gradient(training)
    assert (overflows[0], overflows[-1], training.scale.value) == (LARGEST, LARGEST / 2, LARGEST / 2)
    assert_same(found, expected)
    assert same == pytest.approx(norm, rel=1e-5)
    (scored, *_), _ = gradient(training, training.order.step(0, 1))
    (plain, *_), _ = gradient(prepared(**given), training.order.step(0, 1))
    torch.testing.assert_close(scored.slopes, plain.slopes, rtol=1e-5, atol=1e-7)
