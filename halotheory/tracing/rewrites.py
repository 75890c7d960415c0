"""PyTorch's functions that take a Python number, for a number that is a tensor, as a symbolic hyperparameter is."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor


def _tensor(value: Any) -> Tensor | None:
    return value if value is None or isinstance(value, Tensor) else torch.tensor(float(value))


def _clamp(x: Tensor, min: Any = None, max: Any = None) -> Tensor:  # noqa: A002 - PyTorch's names
    return torch.clamp(x, min=_tensor(min), max=_tensor(max))


def _hardtanh(x: Tensor, min_val: Any = -1.0, max_val: Any = 1.0, inplace: bool = False) -> Tensor:
    return _clamp(x, min_val, max_val)


def _nested(data: Any, **options: Any) -> Tensor:
    """Return what `torch.tensor` makes of numbers, some of which are tensors: a copy that no gradient enters."""
    if isinstance(data, Tensor):
        return data.detach().clone()
    if isinstance(data, list | tuple):
        return torch.stack([_nested(part) for part in data])
    return torch.tensor(float(data))


def _new_tensor(x: Tensor, data: Any, **options: Any) -> Tensor:
    return _nested(data)


def _full(size: Sequence[int] | int, fill_value: Tensor, **options: Any) -> Tensor:
    return fill_value.expand((size,) if isinstance(size, int) else tuple(size)).clone()


def _full_like(x: Tensor, fill_value: Tensor, **options: Any) -> Tensor:
    return fill_value.expand(x.shape).clone()


def _new_full(x: Tensor, size: Sequence[int], fill_value: Tensor, **options: Any) -> Tensor:
    return _full(size, fill_value)


def _softplus(x: Tensor, beta: Any = 1, threshold: Any = 20) -> Tensor:
    return F.softplus(beta * x, 1, threshold) / beta


def _leaky_relu(x: Tensor, negative_slope: Any = 0.01, inplace: bool = False) -> Tensor:
    return torch.where(x > 0, x, negative_slope * x)


def _elu(x: Tensor, alpha: Any = 1.0, inplace: bool = False) -> Tensor:
    return torch.where(x > 0, x, alpha * torch.expm1(x))


def _celu(x: Tensor, alpha: Any = 1.0, inplace: bool = False) -> Tensor:
    return torch.where(x > 0, x, alpha * torch.expm1(x / alpha))


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


def _huber_loss(x: Tensor, y: Tensor, reduction: str = "mean", delta: Any = 1.0) -> Tensor:
    size = (x - y).abs()
    return _reduced(torch.where(size <= delta, 0.5 * (x - y) ** 2, delta * (size - 0.5 * delta)), reduction)


def _smooth_l1_loss(
    x: Tensor, y: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: Any = 1.0
) -> Tensor:
    return _huber_loss(x, y, reduction, beta) / beta


def _margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: Any = 0.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    return _reduced(torch.relu(margin - target * (input1 - input2)), reduction)


REWRITES: dict[str, Callable[..., Tensor]] = {
    "as_tensor": _nested,
    "asarray": _nested,
    "celu": _celu,
    "clamp": _clamp,
    "clip": _clamp,
    "elu": _elu,
    "full": _full,
    "full_like": _full_like,
    "hardtanh": _hardtanh,
    "huber_loss": _huber_loss,
    "leaky_relu": _leaky_relu,
    "margin_ranking_loss": _margin_ranking_loss,
    "new_full": _new_full,
    "new_tensor": _new_tensor,
    "smooth_l1_loss": _smooth_l1_loss,
    "softplus": _softplus,
    "tensor": _nested,
}
"""By name, what to call where a number among the arguments (the first apart) is a tensor."""

FIRST_TOO = frozenset({"as_tensor", "asarray", "tensor"})
"""Those whose first argument is a number, or a list of numbers."""
