"""Where a loss breaks in float32 although its mathematics does not: overflows, and gradients that are not numbers."""

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.tracing.agreement import examples_of, run_in
from halotheory.tracing.evaluate import evaluate
from halotheory.tracing.modes import Mode
from halotheory.tracing.running import Batch
from halotheory.tracing.symbolic import line_now
from halotheory.tracing.trace import Traced

_LOG_RATIOS = (1.0, -1.0, 0.0, 30.0, -30.0, 100.0, -100.0, 1000.0, -1000.0)  # nats, the mildest first
_LARGEST = float(torch.finfo(torch.float32).max)
_LENGTH = 10.0  # tokens
_STABLE = "(softplus, logsigmoid, logaddexp and expm1 stay finite)"
_LEFT_OUT = (
    "(torch.where does not stop the gradient of the branch that it leaves out; keep that one's argument in bounds)"
)


def numeric_warnings(traced: Traced) -> list[str]:
    """Return what goes wrong for log-ratios of up to 1000 nats: no loss at all, or none in float32.

    One sentence for where it has no value, one for the loss in float32 and one for its gradient at most, each with the
    mildest log-ratio at which it happens and the operation that is to blame, if it can be told. They are warnings:
    the verdict is about real numbers.
    """
    found: dict[str, str] = {}
    for log_ratio in _LOG_RATIOS:
        for batch, tensors in _inputs(traced, log_ratio):
            for what, sentence in _complaints(traced, batch, tensors, log_ratio):
                found.setdefault(what, sentence)
    return list(found.values())


def _inputs(traced: Traced, log_ratio: float) -> Iterator[tuple[Batch, dict[str, Tensor]]]:
    """Yield batches in which the first example has a log-ratio, and the others (of a pair: the other output) have 0."""
    loss = traced.loss
    if loss.kind == "token":
        yield _filled(loss, Batch(size=1, masks=((True, True),)), "policy_token_logps", log_ratio)
    elif loss.kind == "paired":
        size = 2 if traced.batches else 1
        for name in ("policy_chosen_logps", "policy_rejected_logps"):
            if name in loss.arguments:
                yield _filled(loss, Batch(size=size), name, log_ratio)
    else:
        for own in (True, False) if loss.needs_labels else (True,):
            labels = (own, not own) if traced.batches else (own,)
            batch = Batch(size=len(labels), labels=labels if loss.needs_labels else None)
            yield _filled(loss, batch, "policy_logps", log_ratio)


def _filled(loss: Loss, batch: Batch, moved: str, log_ratio: float) -> tuple[Batch, dict[str, Tensor]]:
    shape = (batch.size,) if batch.masks is None else (batch.size, len(batch.masks[0]))
    base = -1.0 - max(log_ratio, 0.0)
    tensors: dict[str, Tensor] = {}
    for name in loss.arguments:
        if name == "desirable":
            tensors[name] = torch.tensor(batch.labels)
        elif name == "mask":
            tensors[name] = torch.tensor(batch.masks)
        elif name == "kl":
            tensors[name] = torch.tensor(0.0)
        else:
            value = 1.0 if name == "advantages" else _LENGTH if "lengths" in name else base
            tensors[name] = torch.full(shape, value)
    tensors[moved][0] += log_ratio
    return batch, tensors


def _complaints(
    traced: Traced, batch: Batch, tensors: Mapping[str, Tensor], log_ratio: float
) -> Iterator[tuple[str, str]]:
    """Yield what is not finite when run, and why that is wrong."""
    try:
        exact = [evaluate(one.term, one.point, list(one.owners)) for one in examples_of(traced, batch, tensors)]
    except LookupError:  # a batch that the trace leaves out
        return
    if any(math.isnan(one.value) for one in exact) and any(
        map(math.isnan, run_in(torch.float64, traced.loss, tensors).losses)
    ):
        shown = f"where an example's log-ratio is {log_ratio:g} nats and all else is equal"
        yield "domain", f"the loss is NaN {shown}: a root or logarithm of a negative number?"
    if not all(abs(one.value) < _LARGEST for one in exact):  # (NaN included)
        return
    try:
        run = _run(traced.loss, tensors)
    except HaloTheoryError as error:
        yield "loss", f"the code does not run in float32: {error}"
        return
    at = f"at a log-ratio of {log_ratio:g} nats in float32"
    expected = sum(one.value for one in exact) / (len(exact) if traced.reduction == "mean" else 1)
    bad = [value for value in run.losses if not math.isfinite(value)]
    if bad:
        yield "loss", f"{run.culprit}the loss is {bad[0]:g} {at}, where it should be {expected:.6g} {_STABLE}"
        return
    slopes = [slope for one in exact for slope in one.gradient.values()]
    worst = [slope for slope in run.gradients if not math.isfinite(slope)]
    if worst and (all(abs(slope) < _LARGEST for slope in slopes) or math.isnan(worst[0])):
        remedy = _STABLE if run.culprit else _LEFT_OUT
        yield "gradient", f"{run.culprit}the gradient is {worst[0]:g} {at}, though the loss is finite {remedy}"


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What came out in float32, and the operation that first made something that is not finite."""

    losses: Sequence[float]
    gradients: Sequence[float]
    culprit: str


def _run(loss: Loss, tensors: Mapping[str, Tensor]) -> _Run:
    policy = {name: value.clone().requires_grad_() for name, value in tensors.items() if name.startswith("policy_")}
    watch = _Watch(loss)
    with warnings.catch_warnings(), watch:
        warnings.simplefilter("ignore")
        losses = _called(loss, {**tensors, **policy})
        slopes: Sequence[Tensor | None] = ()
        if losses.requires_grad:
            slopes = torch.autograd.grad(losses.sum(), list(policy.values()), allow_unused=True)
    gradients = [value for slope in slopes if slope is not None for value in slope.ravel().tolist()]
    return _Run(losses=losses.detach().ravel().tolist(), gradients=gradients, culprit=watch.culprit)


def _called(loss: Loss, inputs: Mapping[str, Tensor]) -> Tensor:
    with contextlib.suppress(HaloTheoryError):
        return loss(**inputs)
    return loss(**{**inputs, "mask": inputs["mask"].float()}) if "mask" in inputs else loss(**inputs)


class _Watch(Mode):
    """Remembers the first operation of the user's that makes something that is not finite of what is."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self._loss = loss
        self.culprit = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        line = None if self.culprit else line_now(self._loss)
        if line is not None and _finite((args, kwargs)) and not _finite(result):
            name = func.overloadpacket.__name__.strip("_")
            self.culprit = f"'{name}' in line {line} is not finite: "
        return result


def _finite(leaves: Any) -> bool:
    return all(
        bool(torch.isfinite(leaf).all())
        for leaf in tree_flatten(leaves)[0]
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    )
