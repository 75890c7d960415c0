"""Log-probabilities of target tokens from hidden states, with one copy of the logits, or none."""

from typing import Any

import torch
from torch import Tensor

KEPT = 2**28
"""Logits that are kept for the backward pass; more are computed anew in it."""

_CHUNK = 2**24
"""Logits that are in float32 at a time."""


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
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        return _TargetLogps.apply(hidden, weight, bias, targets, dtype)  # type: ignore[return-value]


class _TargetLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, dtype: torch.dtype
    ) -> Tensor:
        keeps = any(ctx.needs_input_grad) and len(targets) * len(weight) <= KEPT
        hidden_cast, weight_cast = hidden.to(dtype), weight.to(dtype)
        kept, logps = [], []
        for rows in _chunks(len(targets), len(weight)):
            log_softmax = _log_softmax(hidden_cast[rows], weight_cast, bias)
            logps.append(log_softmax.gather(1, targets[rows, None])[:, 0])
            if keeps:
                kept.append(log_softmax.exp_().to(dtype))
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
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        grad_bias = torch.zeros_like(bias) if wants_bias else None
        for rows in _chunks(len(targets), len(weight)):
            kept = ctx.kept.pop(0) if ctx.kept is not None else None  # used up: its memory is the gradient's
            probabilities = _log_softmax(hidden_cast[rows], weight_cast, bias).exp_() if kept is None else kept
            here = grad[rows, None].to(probabilities.dtype)
            grad_logits = probabilities.mul_(-here).scatter_add_(1, targets[rows, None], here).to(ctx.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = grad_logits @ weight_cast
            if grad_weight is not None:
                grad_weight += grad_logits.T @ hidden_cast[rows]
            if grad_bias is not None:
                grad_bias += grad_logits.sum(dim=0)
        return grad_hidden, grad_weight, grad_bias, None, None


def _log_softmax(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = hidden @ weight.T if bias is None else torch.addmm(bias.to(hidden.dtype), hidden, weight.T)
    return torch.log_softmax(logits, dim=1, dtype=torch.float32)


def _chunks(rows: int, vocabulary: int) -> list[slice]:
    size = max(1, _CHUNK // vocabulary)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
