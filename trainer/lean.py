"""Blocks that most models share, with less kept for the backward pass: RMSNorm, attention's projections, gated MLP.

What they compute is what the model's own code computes. Autograd keeps every intermediate result; these keep what
cannot be computed again cheaply, write over what is used up, and cast or add once where autograd would several times.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor, nn

from trainer import attention
from trainer.autocast import dtype_of


def make_lean(model: nn.Module) -> Callable[[], None]:
    """Let a model's RMSNorms, attention with rotary positions and SwiGLU MLPs keep less; return what undoes it."""
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


def _lean(module: nn.Module) -> Callable[..., Any] | None:
    name = type(module).__name__
    if name.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
        return _rms_norm
    if name.endswith("Attention") and _linear(module, "qkvo") and _attends_as_llama(type(module)):
        return _attention
    silu = type(getattr(module, "act_fn", None)).__name__ in {"SiLU", "SiLUActivation"}
    if name.endswith("MLP") and silu and _is_gated_as_llamas(type(module)):
        projections = _linear(module, ("gate", "up", "down"))
        return _gated_mlp if projections and all(one.bias is None for one in projections) else None
    return None


def _linear(module: nn.Module, names: Sequence[str]) -> list[nn.Linear]:
    """Return a block's projections, or nothing where one is missing or is more than a linear layer."""
    found = [getattr(module, f"{name}_proj", None) for name in names]
    return [one for one in found if type(one) is nn.Linear] if all(type(one) is nn.Linear for one in found) else []


@cache
def _attends_as_llama(kind: type) -> bool:
    """Whether a class of attention projects, turns and attends as Llama's does, and does nothing else."""
    from transformers.models.llama import modeling_llama as llama

    turns: list[Any] = [
        getattr(module, "apply_rotary_pos_emb", None) for module in (sys.modules[kind.__module__], llama)
    ]
    if not all(map(inspect.isfunction, turns)) or len({_code(turn).co_code for turn in turns}) > 1:
        return False  # where the package `kernels` is installed, they may be modules that stand for a kernel
    names = _names(kind.forward) - {"getattr", "sliding_window"}  # of a window, which no tree outgrows
    return names == _names(llama.LlamaAttention.forward)


@cache
def _is_gated_as_llamas(kind: type) -> bool:
    """Whether a class of MLP does what Llama's does, and nothing else: no dropout, no clamp, no scale."""
    from transformers.models.llama import modeling_llama as llama

    return _names(kind.forward) == _names(llama.LlamaMLP.forward)


def _names(function: Callable[..., Any]) -> set[str]:
    """Return the attributes and globals that a function reads."""
    return set(_code(function).co_names)


def _code(function: Callable[..., Any]) -> Any:
    return inspect.unwrap(function).__code__  # type: ignore[attr-defined]


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


def _attention(module: Any, hidden_states: Tensor, position_embeddings: Any = None, *rest: Any, **options: Any) -> Any:
    """Attention over a forest; anything else is the module's own affair."""
    cos_sin, weight = position_embeddings, module.q_proj.weight
    if options.get("forest") is None or any(one.requires_grad for one in cos_sin) or len(hidden_states) != 1:
        return type(module).forward(module, hidden_states, position_embeddings, *rest, **options)
    projections = (module.q_proj, module.k_proj, module.v_proj)
    weights, biases = [one.weight for one in projections], [one.bias for one in projections]
    dtype = dtype_of(weight)
    with torch.autocast(weight.device.type, enabled=False):
        states = _Projected.apply(hidden_states[0], *(one[0] for one in cos_sin), dtype, *weights, *biases)
    dropout = module.attention_dropout if module.training else 0.0
    query, key, value = (one.transpose(0, 1)[None] for one in states)
    attended, _ = attention.attention(module, query, key, value, dropout=dropout, scaling=module.scaling, **options)
    return module.o_proj(attended.flatten(2)), None


class _Projected(torch.autograd.Function):
    """Queries, keys and values, (row, heads, size), the first two turned by their positions; keeps the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype, *weights: Tensor) -> Any:
        cast = x.to(dtype)
        matrices, biases = [one.to(dtype) for one in weights[:3]], weights[3:]
        q, k, v = (
            F.linear(cast, matrix, None if bias is None else bias.to(dtype)).unflatten(1, (-1, cos.shape[1]))
            for matrix, bias in zip(matrices, biases, strict=True)
        )
        ctx.save_for_backward(cast, cos, sin, *matrices)
        ctx.dtypes = x.dtype, [None if one is None else one.dtype for one in weights]
        return _turned(q, cos, sin), _turned(k, cos, sin), v

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        cast, cos, sin, *matrices = ctx.saved_tensors
        needed, (dtype, dtypes) = ctx.needs_input_grad, ctx.dtypes
        back = -torch.cat(sin.chunk(2, dim=1)[::-1], dim=1)
        turned = (_turned(grads[0], cos, back), _turned(grads[1], cos, back), grads[2])
        slopes = [one.flatten(1).to(cast.dtype) for one in turned]
        found = [slope.T @ cast if wanted else None for slope, wanted in zip(slopes, needed[4:7], strict=True)]
        found += [slope.sum(dim=0) if wanted else None for slope, wanted in zip(slopes, needed[7:], strict=True)]
        grad_x = _sum_of_products(slopes, matrices).to(dtype) if needed[0] else None
        return grad_x, None, None, None, *(_to(one, kind) for one, kind in zip(found, dtypes, strict=True))


def _turned(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return states cos + rotated states sin, where (a, b) rotated is (-b, a).

    Args:
        states: (row, heads, size).
        cos: (row, size), as transformers' rotary embeddings have it; sin alike.
    """
    cos, sin = cos[:, None], sin[:, None]
    turned = states.new_empty(states.shape, dtype=torch.promote_types(states.dtype, cos.dtype))
    torch.mul(states, cos, out=turned)
    (a, b), (sin_a, sin_b), (first, second) = (one.chunk(2, dim=-1) for one in (states, sin, turned))
    first.addcmul_(b, sin_a, value=-1)
    second.addcmul_(a, sin_b)
    return turned


def _sum_of_products(lefts: Sequence[Tensor], rights: Sequence[Tensor]) -> Tensor:
    total = lefts[0] @ rights[0]
    for left, right in zip(lefts[1:], rights[1:], strict=True):
        torch.addmm(total, left, right, out=total)
    return total


def _to(found: Tensor | None, dtype: torch.dtype | None) -> Tensor | None:
    return None if found is None else found.to(dtype)


def _gated_mlp(module: Any, x: Tensor) -> Tensor:
    weights = module.gate_proj.weight, module.up_proj.weight, module.down_proj.weight
    dtype = dtype_of(weights[0])
    with torch.autocast(x.device.type, enabled=False):
        if torch.is_grad_enabled():
            return _GatedMLP.apply(x.flatten(0, -2), dtype, *weights).view(x.shape)  # type: ignore[union-attr]
        # these casts are let go of, where autocast would keep them beside those of the first pass
        cast, (gate, up, down) = x.to(dtype), (one.to(dtype) for one in weights)
        return F.linear(F.silu(F.linear(cast, gate)).mul_(F.linear(cast, up)), down)


class _GatedMLP(torch.autograd.Function):
    """silu(gate x) * up x, projected down; keeps x and both factors, and uses their memory up in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, *weights: Tensor) -> Tensor:
        cast, matrices = x.to(dtype), [one.to(dtype) for one in weights]
        gate, up = cast @ matrices[0].T, cast @ matrices[1].T
        ctx.save_for_backward(cast, gate, up, *matrices)
        ctx.dtypes = x.dtype, [one.dtype for one in weights]
        return F.silu(gate).mul_(up) @ matrices[2].T

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (grad,) = grads
        cast, gate, up, *matrices = ctx.saved_tensors
        needed, (dtype, dtypes) = ctx.needs_input_grad, ctx.dtypes
        silu, through = F.silu(gate), grad @ matrices[2]
        before_silu = through * up
        found = [None, None, grad.T @ up.mul_(silu) if needed[4] else None]
        slopes = [torch.ops.aten.silu_backward.grad_input(before_silu, gate, grad_input=gate), silu.mul_(through)]
        del through, before_silu
        found[:2] = [slope.T @ cast if wanted else None for slope, wanted in zip(slopes, needed[2:4], strict=True)]
        grad_x = _sum_of_products(slopes, matrices[:2]).to(dtype) if needed[0] else None
        return grad_x, None, *(_to(one, kind) for one, kind in zip(found, dtypes, strict=True))
