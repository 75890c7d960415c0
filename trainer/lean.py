"""Two blocks that most models share, with less kept for the backward pass: RMSNorm and the gated MLP.

What they compute is what the model's own code computes. Autograd keeps every intermediate result; these keep what
cannot be computed again cheaply.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor, nn


def make_lean(model: nn.Module) -> Callable[[], None]:
    """Let a model's RMSNorms and SwiGLU MLPs keep less; return a function that undoes it."""
    changed = []
    for module in model.modules():
        lean = _lean(module)
        if lean is not None and "forward" not in vars(module):
            vars(module)["forward"] = MethodType(lean, module)
            changed.append(module)

    def undo() -> None:
        for module in changed:
            vars(module).pop("forward", None)

    return undo


def _lean(module: nn.Module) -> Callable[..., Tensor] | None:
    name = type(module).__name__
    if name.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
        return _rms_norm
    linear = [type(getattr(module, f"{name}_proj", None)) is nn.Linear for name in ("gate", "up", "down")]
    silu = type(getattr(module, "act_fn", None)).__name__ in {"SiLU", "SiLUActivation"}
    return _gated_mlp if name.endswith("MLP") and all(linear) and silu else None


def _rms_norm(module: Any, hidden_states: Tensor) -> Tensor:
    if hidden_states.dtype != torch.float32 or module.weight.dtype != torch.float32:
        return type(module).forward(module, hidden_states)
    return _RMSNorm.apply(hidden_states, module.weight, module.variance_epsilon)  # type: ignore[return-value]


class _RMSNorm(torch.autograd.Function):
    """Keeps its input and one number per token."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (grad,) = grads
        x, weight, scale = ctx.saved_tensors
        along = grad * x
        grad_weight = (along * scale).flatten(0, -2).sum(dim=0) if ctx.needs_input_grad[1] else None
        dot = along.mul_(weight).sum(dim=-1, keepdim=True)
        grad_x = (grad * weight).mul_(scale).addcmul_(x, scale.pow(3).mul_(dot).div_(-x.shape[-1]))
        return grad_x, grad_weight, None


def _gated_mlp(module: Any, x: Tensor) -> Tensor:
    gate, up, down = module.gate_proj(x), module.up_proj(x), module.down_proj
    if not torch.is_grad_enabled():
        return down(F.silu(gate).mul_(up))
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else gate.dtype
    with torch.autocast(device, enabled=False):
        return _GatedDown.apply(gate, up, down.weight, down.bias, dtype)  # type: ignore[return-value]


class _GatedDown(torch.autograd.Function):
    """silu(gate) * up, projected down; keeps gate and up."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(gate, up, weight)
        ctx.dtype = dtype
        return F.linear(F.silu(gate).mul_(up), weight.to(dtype), None if bias is None else bias.to(dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (grad,) = grads
        gate, up, weight = ctx.saved_tensors
        wants_weight, wants_bias = ctx.needs_input_grad[2:4]
        through = grad @ weight.to(ctx.dtype)
        silu = F.silu(gate)
        grad_weight = None
        if wants_weight:
            grad_weight = (grad.flatten(0, -2).T @ (silu * up).flatten(0, -2)).to(weight.dtype)
        grad_up = silu.mul_(through)
        grad_gate = torch.ops.aten.silu_backward(through.mul_(up), gate)
        grad_bias = grad.flatten(0, -2).sum(dim=0).to(weight.dtype) if wants_bias else None
        return grad_gate, grad_up, grad_weight, grad_bias, None
