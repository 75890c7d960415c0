"""Log-probabilities of target tokens from hidden states, with one copy of the logits, or none."""

from typing import Any

import torch
from torch import Tensor

from trainer.autocast import dtype_of

KEPT = 2**28
"""Logits that are kept for the backward pass; more are computed anew in it."""

_BLOCK = {"cpu": 30 * 2**18, "others": 2**27}
"""Logits that are computed at a time. On a CPU 30 MB: above 32 the C library asks the system for fresh pages. On a GPU
a thousand rows of a large vocabulary: every block reads all of the head's weights and adds to all of their gradient."""

_PIECE = {"cpu": 2**18, "others": 2**24}
"""Logits that go through the softmax at a time. On a CPU 1 MB, which its cache holds from the maximum to the sum."""

_SLICE = {"cpu": 2**20, "others": 2**26}
"""Numbers of the gradient of the weights that a product of another dtype is added to at a time."""


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
            largest, log_total = _reduced(logits, softmax=keeps)
            logps.append(chosen - largest - log_total)
            if keeps:
                kept.append(logits)
        result = torch.cat(logps)
        ctx.save_for_backward(hidden, weight, bias, targets, result)
        ctx.kept, ctx.dtype = kept if keeps else None, dtype
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        hidden, weight, bias, targets, logps = ctx.saved_tensors
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        weight_cast = weight.to(ctx.dtype)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight, grad_bias = None, torch.zeros_like(bias) if wants_bias else None
        blocks = _blocks(targets, weight)
        wide = torch.promote_types(weight.dtype, torch.float32) if len(blocks) > 1 else weight.dtype  # of a sum
        for rows in blocks:
            if ctx.kept is not None:
                softmax = ctx.kept.pop(0)  # used up: its memory is the gradient's
            else:
                softmax = _logits(hidden[rows].to(ctx.dtype), weight_cast, bias)
                _reduced(softmax, softmax=True)
            # d/d logits of -log softmax[target] is softmax - one-hot of the target; there from float32: in bfloat16
            # 0.99 - 1 would be a third off. What it is multiplied by goes to the narrow sides of the products
            difference, each = softmax, torch.arange(len(softmax), device=softmax.device)
            difference[each, targets[rows]] = logps[rows].expm1().to(ctx.dtype)  # scatter_ would copy bfloat16 whole
            slope = -grads[0][rows, None]
            if grad_hidden is not None:
                grad_hidden[rows] = slope * (difference @ weight_cast)
            if wants_weight:
                narrow = (slope * hidden[rows]).to(ctx.dtype)
                grad_weight = _plus_product(grad_weight, difference.T, narrow, wide)
            if grad_bias is not None:
                grad_bias += difference.T @ slope[:, 0].to(ctx.dtype)
        grad_weight = None if grad_weight is None else grad_weight.to(weight.dtype)
        return grad_hidden, grad_weight, grad_bias, None, None, None


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return hidden @ weight.T if bias is None else torch.addmm(bias.to(hidden.dtype), hidden, weight.T)


def _reduced(logits: Tensor, *, softmax: bool) -> tuple[Tensor, Tensor]:
    """Return max l and log sum exp(l - max l) of every row's logits l, float32, (rows,); use the logits up.

    Args:
        logits: (rows, vocabulary).
        softmax: whether to leave the softmax in their place.
    """
    largest, log_total = [], []
    for piece in logits.split(_rows_of(_PIECE, logits.device, logits.shape[1])):
        top = piece.amax(dim=1, keepdim=True)
        exponentials = piece.float().sub_(top).exp_()
        total = exponentials.sum(dim=1, keepdim=True)
        largest.append(top[:, 0].float())
        log_total.append(total[:, 0].log())
        if softmax:
            torch.mul(exponentials, 1 / total, out=piece)
    return torch.cat(largest), torch.cat(log_total)


def _plus_product(total: Tensor | None, left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Return total + left @ right, in place where there is a total, in dtype."""
    if left.dtype == dtype:
        return left @ right if total is None else torch.addmm(total, left, right, out=total)
    if total is None:
        total = right.new_zeros((len(left), right.shape[1]), dtype=dtype)
    # the whole product would be one more copy of the weights, and on a CPU its cast another
    size = _rows_of(_SLICE, right.device, right.shape[1])
    for part, rows in zip(total.split(size), left.split(size), strict=True):
        part += rows @ right
    return total


def _blocks(targets: Tensor, weight: Tensor) -> list[slice]:
    rows, size = len(targets), _rows_of(_BLOCK, weight.device, len(weight))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _rows_of(sizes: dict[str, int], device: torch.device, width: int) -> int:
    return max(1, sizes["cpu" if device.type == "cpu" else "others"] // width)
