"""The head's log-probabilities and gradients, against log_softmax, kept and computed anew."""

from unittest.mock import patch

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from trainer import head
from trainer.head import target_logps
from trainer.planning.ledger import Ledger


@pytest.mark.parametrize("kept", [0, 2**28])
@pytest.mark.parametrize("chunk", [1, 50, 2**24])
@pytest.mark.parametrize("biased", [False, True])
def test_values_and_gradients_are_those_of_log_softmax(
    kept: int, chunk: int, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "KEPT", kept)
    monkeypatch.setattr(head, "_BLOCK", {"cpu": chunk})
    torch.manual_seed(0)
    hidden, weight = torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    bias = torch.randn(11, requires_grad=True) if biased else None
    inputs = [hidden, weight, *([bias] if bias is not None else [])]
    targets, upstream = torch.randint(11, (7,)), torch.randn(7)
    logits = hidden @ weight.T + (bias if bias is not None else 0)
    expected = logits.log_softmax(1).gather(1, targets[:, None])[:, 0]
    found = target_logps(hidden, weight, bias, targets)
    torch.testing.assert_close(found, expected)
    ours = torch.autograd.grad(found @ upstream, inputs)
    theirs = torch.autograd.grad(expected @ upstream, inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight = torch.randn(3, 5, requires_grad=True), torch.randn(11, 5)
    target_logps(hidden, weight, None, torch.tensor([0, 1, 2])).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


@pytest.mark.parametrize("gradient", [True, False])
def test_logits_are_kept_for_a_gradient_alone(gradient: bool) -> None:
    rows, words = 512, 1024
    with FakeTensorMode(), Ledger() as ledger, torch.set_grad_enabled(gradient):
        hidden, weight = torch.empty(rows, 8, requires_grad=True), torch.empty(words, 8, requires_grad=True)
        ledger.begin()
        with patch.dict(head._BLOCK, cpu=8 * words), patch.dict(head._PIECE, cpu=8 * words):
            logps = target_logps(hidden, weight, None, torch.zeros(rows, dtype=torch.int64))
        assert logps.shape == (rows,)
        assert (ledger.moments[-1]["activations"] > 4 * rows * words) == gradient


def test_under_autocast_the_softmax_stays_float32() -> None:
    hidden, weight, targets = torch.randn(64, 32), torch.randn(99, 32), torch.randint(99, (64,))
    high = target_logps(hidden, weight, None, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = target_logps(hidden, weight, None, targets)
    assert low.dtype == torch.float32
    assert 0 < float((low - high).abs().max()) < 0.2


def test_in_bfloat16_the_gradient_of_a_likely_token_is_not_lost_to_rounding() -> None:
    hidden, weight = torch.eye(4, requires_grad=True), (6.0 * torch.eye(4)).requires_grad_()
    targets = torch.arange(4)  # each with a probability of 0.993
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = torch.autograd.grad(target_logps(hidden, weight, None, targets).sum(), weight)[0]
    high = torch.autograd.grad(target_logps(hidden, weight, None, targets).sum(), weight)[0]
    torch.testing.assert_close(low, high, rtol=0.01, atol=0)


def test_in_bfloat16_the_gradient_of_weights_is_summed_in_float32_slice_by_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(60, 8), torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(50, (60,))
    whole = torch.autograd.grad(target_logps(hidden, weight, None, targets).sum(), weight)[0]
    monkeypatch.setattr(head, "_BLOCK", {"cpu": 7 * 50})
    monkeypatch.setattr(head, "_SLICE", {"cpu": 3 * 8})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sliced = torch.autograd.grad(target_logps(hidden, weight, None, targets).sum(), weight)[0]
    assert sliced.dtype == torch.float32
    torch.testing.assert_close(sliced, whole, rtol=0.02, atol=0.1)


def test_in_bfloat16_no_whole_product_stands_beside_the_gradient_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, words, width = 16, 4096, 64
    monkeypatch.setattr(head, "_SLICE", {"cpu": words * width // 16})
    with FakeTensorMode(), Ledger() as ledger:
        hidden, weight = torch.empty(rows, width), torch.empty(words, width, requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logps = target_logps(hidden, weight, None, torch.zeros(rows, dtype=torch.int64))
        before = sum(ledger.live.values())
        ledger.begin()
        logps.sum().backward()
        cast, gradient = 2 * words * width, 4 * words * width
        assert sum(ledger.moments[-1].values()) - before < 1.15 * (cast + gradient)
