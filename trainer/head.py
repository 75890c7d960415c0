"""Log-probabilities of target tokens from hidden states, with one copy of the logits, or none."""

from typing import Any

import torch
from torch import Tensor

from trainer.autocast import dtype_of

KEPT = 2**28
"""Logits that are kept for the backward pass; more are computed anew in it."""

_BLOCK = {"cpu": 30 * 2**18, "others": 2**25}
"""Logits that are computed at a time. On a CPU 30 MB: above 32 the C library asks the system for fresh pages."""

_PIECE = {"cpu": 2**18, "others": 2**24}
"""Logits that go through the softmax at a time. On a CPU 1 MB, which its cache holds from the maximum to the sum."""


def target_logps(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Return log softmax(hidden W' + b)[target] for each row.

    Under autocast the products are in its dtype; the softmax is in float32.

    Args:
        hidden: (rows, width).
        weight: W, (vocabulary, width).
        bias: b, (vocabulary,), or None.
        targets: (rows,), int64.

    Returns:
        nats, float32, (rows,), <= 0. Their graph serves one backward pass.
    """
    dtype = dtype_of(hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        # in the function itself no gradient is enabled, whoever calls it
        return _TargetLogps.apply(hidden, weight, bias, targets, dtype, torch.is_grad_enabled())  # type: ignore[return-value]


class _TargetLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, dtype: torch.dtype, graph: bool
    ) -> Tensor:
        keeps = graph and any(ctx.needs_input_grad) and len(targets) * len(weight) <= KEPT
        hidden_cast, weight_cast = hidden.to(dtype), weight.to(dtype)
        kept, logps = [], []
        for rows in _blocks(targets, weight):
            logits = _logits(hidden_cast[rows], weight_cast, bias)
            chosen = logits.gather(1, targets[rows, None])[:, 0].float()
            largest, total = _exponentiate(logits)
            logps.append(chosen - largest - total.log())
            if keeps:
                kept.append((logits, total))
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.kept, ctx.dtype = kept if keeps else None, dtype
        return torch.cat(logps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (grad,) = grads
        hidden, weight, bias, targets = ctx.saved_tensors
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        hidden_cast, weight_cast = hidden.to(ctx.dtype), weight.to(ctx.dtype)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight, grad_bias = None, torch.zeros_like(bias) if wants_bias else None
        for rows in _blocks(targets, weight):
            if ctx.kept is not None:
                exponentials, total = ctx.kept.pop(0)  # used up: its memory is the gradient's
            else:
                exponentials = _logits(hidden_cast[rows], weight_cast, bias)
                _, total = _exponentiate(exponentials)
            # d/d logits of grad * log softmax[target] is grad * (one-hot of the target - softmax), at the target in
            # float32: in bfloat16 1 - 0.99 would be a third off
            chosen = exponentials.gather(1, targets[rows, None]).float()
            slope, total = grad[rows, None], total[:, None]
            grad_logits = exponentials.mul_(-slope / total)
            grad_logits.scatter_(1, targets[rows, None], (slope * (1 - chosen / total)).to(ctx.dtype))
            if grad_hidden is not None:
                grad_hidden[rows] = grad_logits @ weight_cast
            if wants_weight:
                grad_weight = _plus_product(grad_weight, grad_logits.T, hidden_cast[rows], weight.dtype)
            if grad_bias is not None:
                grad_bias += grad_logits.sum(dim=0)
        return grad_hidden, grad_weight, grad_bias, None, None, None


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return hidden @ weight.T if bias is None else torch.addmm(bias.to(hidden.dtype), hidden, weight.T)


def _exponentiate(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Put exp(l - max l) in the place of every row's logits l; return max l and the row's sum, float32, (rows,)."""
    largest, total = [], []
    for piece in logits.split(_rows_of(_PIECE, logits.device, logits.shape[1])):
        top = piece.amax(dim=1, keepdim=True)
        exponentials = piece.float().sub_(top).exp_()
        largest.append(top[:, 0].float())
        total.append(exponentials.sum(dim=1))
        piece.copy_(exponentials)  # itself in float32
    return torch.cat(largest), torch.cat(total)


def _plus_product(total: Tensor | None, left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Return total + left @ right, in place where there is a total, in dtype."""
    if total is None:
        return (left @ right).to(dtype)
    return torch.addmm(total, left, right, out=total) if left.dtype == dtype else total.add_(left @ right)


def _blocks(targets: Tensor, weight: Tensor) -> list[slice]:
    rows, size = len(targets), _rows_of(_BLOCK, weight.device, len(weight))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _rows_of(sizes: dict[str, int], device: torch.device, vocabulary: int) -> int:
    return max(1, sizes["cpu" if device.type == "cpu" else "others"] // vocabulary)
