"""Whether a traced expression is what the code computes: compared with running it, values and gradients."""

from collections.abc import Mapping

import numpy as np
import sympy
import torch
from sympy import Expr
from torch import Tensor

from halotheory.contract import Loss
from halotheory.operations import detach, exact
from halotheory.trace import Traced

_SCALES = (0.3, 4.0, 60.0)  # log-ratios of a fraction of a nat, of a few nats, and beyond saturation
_EXAMPLES = 4
_CLOSE, _FAR = 1e-12, 3e-9  # PyTorch's softplus drops terms below 2.1e-9 above its threshold


def check_agreement(traced: Traced) -> None:
    """Compare the expressions with the code in float64, at several scales, values and gradients.

    The comparison guards the reading of the code (a misread operation, a gradient that a custom
    function hides); it proves nothing about the loss.

    Raises:
        HaloTheoryError: they differ by more than 1e-12 of the value (for a gradient 1e-8).
    """
    generator = torch.Generator().manual_seed(0)
    for scale in _SCALES:
        for label in traced.terms:
            _compare(traced, label, _batch(traced.loss, label, scale, generator), scale)


def _batch(loss: Loss, label: str, scale: float, generator: torch.Generator) -> dict[str, Tensor]:
    def draw(size: int | None) -> Tensor:
        return torch.rand(() if size is None else (size,), generator=generator, dtype=torch.float64)

    tensors: dict[str, Tensor] = {}
    for name in loss.arguments:
        if name == "desirable":
            tensors[name] = torch.full((_EXAMPLES,), label == "desirable")
        elif name == "kl":
            tensors[name] = scale * draw(None)
        elif "lengths" in name:
            tensors[name] = torch.ceil(1 + 50 * draw(_EXAMPLES))
        else:
            tensors[name] = -0.01 - scale * draw(_EXAMPLES)
    return tensors


def _compare(traced: Traced, label: str, tensors: dict[str, Tensor], scale: float) -> None:
    loss = traced.loss
    policy = [name for name in loss.arguments if name.startswith("policy_")]
    for name in policy:
        tensors[name].requires_grad_()
    losses = loss(**tensors)
    inputs = [tensors[name] for name in policy]
    gradients = (
        torch.autograd.grad(losses.sum(), inputs, allow_unused=True) if losses.requires_grad else [None] * len(inputs)
    )
    mean = losses.ndim == 0
    expected = traced.terms[label]
    exact_values = {symbol: exact(loss.hyperparameters[name]) for name, symbol in traced.hyperparameters.items()}
    term = expected.subs(exact_values)
    derivatives = {name: sympy.diff(term, traced.symbols[name]) for name in policy}
    points = _points(traced, tensors)
    tolerance = _CLOSE if scale < 5 else _FAR
    values = [_number(term, point) for point in points]
    if mean:
        _same(loss, "value", float(losses.detach()), float(np.mean(values)), tolerance)
    else:
        for found, value in zip(losses.detach().tolist(), values, strict=True):
            _same(loss, "value", found, value, tolerance)
    for name, gradient in zip(policy, gradients, strict=True):
        found_all = torch.zeros(_EXAMPLES) if gradient is None else gradient * (_EXAMPLES if mean else 1)
        for found, point in zip(found_all.tolist(), points, strict=True):
            _same(loss, f"gradient in {name}", found, _number(derivatives[name], point), 1e-8)


def _points(traced: Traced, tensors: Mapping[str, Tensor]) -> list[dict[Expr, Expr]]:
    return [
        {
            symbol: exact(float(tensors[name].detach().expand(_EXAMPLES)[example]))
            for name, symbol in traced.symbols.items()
        }
        for example in range(_EXAMPLES)
    ]


def _number(term: Expr, point: Mapping[Expr, Expr]) -> float:
    bare = term.replace(detach, lambda value: value)
    value = sympy.N(bare.subs(point), 30)
    return float(value) if value.is_real else float("nan")


def _same(loss: Loss, what: str, found: float, expected: float, tolerance: float) -> None:
    close = abs(found - expected) <= tolerance * max(1.0, abs(expected))
    if not (close or (np.isnan(found) and np.isnan(expected))):
        raise loss.error(
            f"the checker misreads this code: {what} {found:.15g} when run, {expected:.15g} as read "
            "(a custom autograd function, or a step that leaves PyTorch?)"
        )
