"""Where float32 breaks: the mildest input, the operation that is to blame, and nothing where nothing is wrong."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from halotheory import losses
from halotheory.contract import loss_of
from halotheory.tracing.numerics import numeric_warnings
from halotheory.tracing.trace import trace


def naive_softplus(policy_logps, reference_logps):
    return torch.log1p(torch.exp(policy_logps - reference_logps))


def stable_softplus(policy_logps, reference_logps):
    return F.softplus(policy_logps - reference_logps)


def saturated_log(policy_logps, reference_logps, desirable):
    value = torch.sigmoid(policy_logps - reference_logps)
    return -torch.where(desirable, torch.log(value), torch.log(1 - value)).mean()


def power_with_a_kink(policy_logps, reference_logps, kl):
    z = policy_logps - reference_logps - kl
    return -torch.sign(z) * z.abs() ** 0.88


def honest_infinity(policy_logps, reference_logps):
    return torch.exp(policy_logps - reference_logps)


def tokens(policy_token_logps, reference_token_logps, mask):
    return (torch.log(1 + torch.exp(policy_token_logps - reference_token_logps)) * mask).sum(-1)


def only(function) -> str:
    found = numeric_warnings(trace(loss_of(function)))
    assert len(found) == 1
    return found[0]


def test_an_overflow_is_told_with_its_input_operation_and_line() -> None:
    line = naive_softplus.__code__.co_firstlineno + 1
    assert only(naive_softplus).startswith(
        f"'exp' in line {line} is not finite: the loss is inf at a log-ratio of 100 nats in float32, "
        "where it should be 100 (softplus"
    )


def test_a_saturated_logarithm_is_told() -> None:
    gradient, value = numeric_warnings(trace(loss_of(saturated_log)))
    assert "'log' in line" in gradient
    assert "the loss is inf at a log-ratio of 30 nats in float32, where it should be 30" in value


def test_a_gradient_at_a_kink_is_told() -> None:
    assert "the gradient is nan at a log-ratio of 0 nats in float32, though the loss is finite" in only(
        power_with_a_kink
    )


def test_tokens_are_tried_too() -> None:
    assert "the loss is inf at a log-ratio of 100 nats" in only(tokens)


@pytest.mark.parametrize("function", [stable_softplus, honest_infinity, losses.kto, losses.dpo, losses.bco])
def test_nothing_is_said_where_float32_is_right(function) -> None:
    assert numeric_warnings(trace(loss_of(function))) == []
