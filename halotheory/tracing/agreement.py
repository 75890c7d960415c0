"""Whether a traced expression is what the code computes: compared with running it, values and gradients."""

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from sympy import Expr, Symbol
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.tracing.batches import COMPLETIONS
from halotheory.tracing.elementary import SOFTPLUS_THRESHOLD
from halotheory.tracing.evaluate import Evaluated, evaluate, rounding
from halotheory.tracing.modes import Mode
from halotheory.tracing.operations import exact
from halotheory.tracing.running import Batch
from halotheory.tracing.symbolic import decimal_double, real_numbers
from halotheory.tracing.symbols import argument_symbol
from halotheory.tracing.trace import Traced

_SCALES = (0.3, 4.0, 60.0, 1500.0)  # log-ratios of a fraction of a nat, of a few nats, and beyond saturation
_VALUES, _GRADIENTS = 1e-12, 1e-8
_FLOAT32 = 64 * 2.0**-29  # what float64 rounds off, in units of how far float32 is from it
_BOUNDS = 64  # the same in units of what it may round off if it computes the expression as it is written
_MIXED = (True, False, False, True, True, False)
_LARGE = tuple(tuple(at % 3 != 1 for at in range(size)) for size in (5, 8, 33, 100))
_BATCHES = ((True, False), (False, False, True), (True, True, False, True), (False, True, False, False))
_NEVER = 700.0  # for softplus: exp is finite in float64 up to here


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example of a batch as read: its loss, and the number that each symbol of it stands for.

    Attributes:
        term: its loss.
        point: the value of every symbol.
        owners: for each symbol to differentiate by, the argument and where in it the number is.
    """

    term: Expr
    point: Mapping[Symbol, float | Expr]
    owners: Mapping[Symbol, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, kw_only=True)
class _Results:
    """The losses of a batch, or its one loss, and the gradients of their sum."""

    losses: list[float]
    gradients: Mapping[str, Tensor]


def check_agreement(traced: Traced) -> None:
    """Compare the expressions with the code in float64, at several scales, values and gradients.

    The comparison guards the reading of the code (a misread operation, a gradient that a custom
    function hides); it proves nothing about the loss. Where float64 rounds or overflows, as float32
    shows by how far it is off, the code is not held to more digits than it has.

    Raises:
        HaloTheoryError: they differ by more than 1e-12 of the value (for a gradient 1e-8).
    """
    generator = torch.Generator().manual_seed(0)
    compared = 0
    for scale in _SCALES:
        for batch in _batches(traced):
            tensors = _drawn(traced.loss, batch, scale, generator)
            compared += _compare(traced, batch, tensors, scale)
    if not traced.batches and not traced.tokens:
        _see_that_size_is_nothing(traced, generator)
    if not compared:
        raise traced.loss.error("gave no finite number at any input that was tried; it cannot be checked")


def _batches(traced: Traced) -> Iterator[Batch]:
    """Yield batches in which every term occurs."""
    if traced.tokens:
        for rows in COMPLETIONS:
            batch = Batch(size=len(rows), masks=tuple(tuple(letter == "T" for letter in row) for row in rows))
            if all(_term(traced, batch, at) is not None for at in range(batch.size)):
                yield batch
        return
    for labels in _BATCHES if traced.batches else (_MIXED,):
        batch = _labelled(traced.loss, labels)
        if not traced.batches or all(_term(traced, batch, at) is not None for at in range(batch.size)):
            yield batch


def _labelled(loss: Loss, labels: tuple[bool, ...]) -> Batch:
    return Batch(size=len(labels), labels=labels if loss.needs_labels else None)


def _see_that_size_is_nothing(traced: Traced, generator: torch.Generator) -> None:
    """Compare large batches where the size of the batch should not matter.

    Raises:
        HaloTheoryError: an example's loss is another there, in a batch of few or not.
    """
    for labels in _LARGE:
        scale = _SCALES[1]
        batch = _labelled(traced.loss, labels)
        tensors = _drawn(traced.loss, batch, scale, generator)
        try:
            _compare(traced, batch, tensors, scale)
        except HaloTheoryError:
            for at in range(batch.size):
                _compare(traced, *_few(traced.loss, tensors, labels, at), scale)
            raise traced.loss.error(
                f"the loss of one example changes with the size or the composition of its batch, here of {batch.size}; "
                "such a loss cannot be checked"
            ) from None


def _few(
    loss: Loss, tensors: Mapping[str, Tensor], labels: tuple[bool, ...], at: int
) -> tuple[Batch, dict[str, Tensor]]:
    """Return a small batch with this example of a large one."""
    rows = [(at + step) % len(labels) for step in range(len(_BATCHES[-1]))]
    chosen = {name: value[rows] if value.ndim else value for name, value in tensors.items()}
    return _labelled(loss, tuple(labels[row] for row in rows)), chosen


def _drawn(loss: Loss, batch: Batch, scale: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Return random arguments; each is a number that float32 has, too."""
    shape = (batch.size,) if batch.masks is None else (batch.size, len(batch.masks[0]))

    def draw(size: Sequence[int] = shape) -> Tensor:
        return torch.rand(tuple(size), generator=generator).double()

    tensors: dict[str, Tensor] = {}
    for name in loss.arguments:
        if name == "desirable":
            tensors[name] = torch.tensor(batch.labels)
        elif name == "mask":
            tensors[name] = torch.tensor(batch.masks)
        elif name == "kl":
            tensors[name] = (scale * draw(())).float().double()
        elif name == "advantages":
            tensors[name] = (4 * draw() - 2).float().double()
        elif "lengths" in name:
            tensors[name] = torch.ceil(1 + 50 * draw())
        else:
            tensors[name] = (-0.01 - scale * draw()).float().double()
    return tensors


def examples_of(traced: Traced, batch: Batch, tensors: Mapping[str, Tensor]) -> list[Example]:
    """Return what the trace says of each example of a batch of numbers.

    Raises:
        LookupError: it says nothing of such a batch.
    """
    settings = {symbol: exact(traced.loss.hyperparameters[name]) for name, symbol in _symbolic(traced).items()}
    return [_example(traced, batch, at, tensors, settings) for at in range(batch.size)]


def _symbolic(traced: Traced) -> dict[str, Symbol]:
    return {name: value for name, value in traced.hyperparameters.items() if isinstance(value, Symbol)}


def _example(
    traced: Traced, batch: Batch, at: int, tensors: Mapping[str, Tensor], settings: Mapping[Symbol, Expr]
) -> Example:
    point: dict[Symbol, float | Expr] = dict(settings)
    owners: dict[Symbol, tuple[str, tuple[int, ...]]] = {}
    symbols = batch.symbols(traced.loss)
    order = [at, *_others(batch, at)] if traced.batches else [at]
    for new, old in enumerate(order):
        for own, here in symbols[new].items():
            name, place = _place(own, traced.loss, old)
            point[here] = float(tensors[name].detach()[place])
            if name.startswith("policy_"):
                owners[here] = (name, place)
    if "kl" in tensors:
        point[argument_symbol("kl", 0)] = float(tensors["kl"])
    term = _term(traced, batch, at)
    if term is None:
        raise LookupError("a batch in which the code yields NaN")
    return Example(term=term, point=point, owners=owners)


def _place(own: str, loss: Loss, example: int) -> tuple[str, tuple[int, ...]]:
    """Return the argument that a symbol of the first example stands for a number of, and where this is."""
    if own in loss.arguments:
        return own, (example,)
    name, _, token = own.rpartition("_t")
    return name, (example, int(token))


def _others(batch: Batch, at: int) -> list[int]:
    others = [other for other in range(batch.size) if other != at]
    if batch.labels is not None:
        labels = batch.labels
        others.sort(key=lambda other: not labels[other])
    return others


def _term(traced: Traced, batch: Batch, at: int) -> Expr | None:
    """Return the loss of an example of the batch; None where the trace has none of such a batch."""
    if batch.masks is not None:
        own, others = batch.masks[at], (*batch.masks[:at], *batch.masks[at + 1 :])
        return next((one.term for one in traced.tokens if (one.mask, one.others) == (own, others)), None)
    label = "example" if batch.labels is None else "desirable" if batch.labels[at] else "undesirable"
    if not traced.batches:
        return traced.terms[label]
    wanted = None if batch.labels is None else (batch.labels[at], *(batch.labels[i] for i in _others(batch, at)))
    return next(
        (found.term for found in traced.batches[label] if (found.labels, found.size) == (wanted, batch.size)), None
    )


def _compare(traced: Traced, batch: Batch, tensors: Mapping[str, Tensor], scale: float) -> int:
    """Return how many of the code's losses agree with the trace.

    Raises:
        HaloTheoryError: one does not, or one of the derivatives.
    """
    read = _AsRead(traced, batch, tensors)
    expected, found = read.results, run_in(torch.float64, traced.loss, tensors)
    agreed = 0
    for at, of in _paired(found.losses, expected.losses):
        value = found.losses[at]
        if math.isnan(value) and math.isfinite(expected.losses[of]) and _leaves_a_domain(traced.loss, tensors):
            shown = f"{expected.losses[of]:.6g}"
            raise traced.loss.error(f"is NaN where its formula gives {shown}: a root or logarithm of a negative number")
        agreed += _agrees(
            traced.loss,
            "value",
            (value, expected.losses[of], _VALUES),
            lambda at=at, of=of: (
                read.in_float32.losses[at] if read.in_float32 else None,
                math.inf if read.overflows else read.rounding.losses[of],
            ),
            scale,
        )
    for name, gradient in expected.gradients.items():
        for place in product(*map(range, gradient.shape)):
            slope = float(found.gradients[name][place])
            if not math.isnan(slope) and math.isfinite(gradient[place]):  # (NaN is a trap of autograd's, for a warning)
                _agrees(
                    traced.loss,
                    f"gradient in {name}",
                    (slope, float(gradient[place]), _GRADIENTS),
                    lambda name=name, place=place: (
                        float(read.in_float32.gradients[name][place]) if read.in_float32 else None,
                        math.inf if read.overflows else float(read.rounding.gradients[name][place]),
                    ),
                    scale,
                )
    return agreed


def _paired(found: Sequence[float], expected: Sequence[float]) -> list[tuple[int, int]]:
    """Return which of the losses as read each of the code's is; the code may return its examples reordered."""
    places = range(len(found))
    in_order = list(zip(places, places, strict=True))
    by_size = list(zip(sorted(places, key=found.__getitem__), sorted(places, key=expected.__getitem__), strict=True))

    def alike(pairs: Sequence[tuple[int, int]]) -> int:
        return sum(abs(found[at] - expected[of]) <= _VALUES * max(1.0, abs(expected[of])) for at, of in pairs)

    return by_size if alike(by_size) > alike(in_order) else in_order


def _agrees(
    loss: Loss,
    what: str,
    numbers: tuple[float, float, float],
    imprecision: Callable[[], tuple[float | None, float]],
    scale: float,
) -> bool:
    """Return whether a number as run and as read agree to a tolerance; False where floats cannot tell.

    Among log-ratios of a fraction of a nat they can. Beyond, they may overflow, and be off by as much as `imprecision`
    says: the number in float32, and a bound of the error in float64, which is infinite after an overflow.

    Raises:
        HaloTheoryError: they do not agree.
    """
    found, expected, tolerance = numbers
    in_range, out_of_range = scale == _SCALES[0], scale == _SCALES[-1]
    if not math.isfinite(expected):
        excused = not math.isfinite(found) or out_of_range
    elif not math.isfinite(found):
        excused = not in_range
    elif abs(found - expected) <= tolerance * max(1.0, abs(expected)):
        return True
    else:
        excused = not in_range and _is_rounded(found, expected, *imprecision())
    if not excused:
        raise loss.error(
            f"the checker misreads this code: {what} {found:.15g} when run, {expected:.15g} as read "
            "(a custom autograd function, or a step that leaves PyTorch?)"
        )
    return False


def _is_rounded(found: float, expected: float, in_float32: float | None, bound: float) -> bool:
    """Whether rounding explains a difference: float32 is off by far more, or float64 may well be."""
    difference = abs(found - expected)
    off = 0.0 if in_float32 is None else abs(in_float32 - found)
    return not math.isfinite(off) or difference <= max(_FLOAT32 * off, _BOUNDS * bound)


class _AsRead:
    """What the trace says of a batch; how precise floats are there is worked out when it is first asked for."""

    def __init__(self, traced: Traced, batch: Batch, tensors: Mapping[str, Tensor]) -> None:
        self._traced = traced
        self._tensors = tensors
        self._examples = examples_of(traced, batch, tensors)

    @functools.cached_property
    def results(self) -> _Results:
        """The losses and gradients, exactly."""
        return self._gathered([evaluate(one.term, one.point, list(one.owners)) for one in self._examples])

    @functools.cached_property
    def rounding(self) -> _Results:
        """How far off they can be in float64."""
        return self._gathered([rounding(one.term, one.point, list(one.owners)) for one in self._examples])

    @functools.cached_property
    def overflows(self) -> bool:
        """Whether the code makes something that is not finite in between, which may leave nothing of the rest."""
        return _watched(self._traced.loss, self._tensors).over

    @functools.cached_property
    def in_float32(self) -> _Results | None:
        """The same, as the code computes them in float32; None where it cannot."""
        try:
            return run_in(torch.float32, self._traced.loss, self._tensors)
        except HaloTheoryError:
            return None

    def _gathered(self, evaluated: Sequence[Evaluated]) -> _Results:
        losses = [one.value for one in evaluated]
        reduction = self._traced.reduction
        weight = 1 / len(losses) if reduction == "mean" else 1.0
        if reduction != "none":
            losses = [weight * math.fsum(losses) if all(map(math.isfinite, losses)) else math.nan]
        policy = {name: tensor for name, tensor in self._tensors.items() if name.startswith("policy_")}
        gradients = {name: torch.zeros_like(tensor) for name, tensor in policy.items()}
        for example, one in zip(self._examples, evaluated, strict=True):
            for symbol, (name, place) in example.owners.items():
                gradients[name][place] += weight * one.gradient[symbol]
        return _Results(losses=losses, gradients=gradients)


def run_in(dtype: torch.dtype, loss: Loss, tensors: Mapping[str, Tensor]) -> _Results:
    """Return the losses of a batch and the gradients of their sum, computed in 32 or 64 bits.

    In 64 bits nothing is rounded to fewer in between, and softplus is taken without the shortcut from 20 on.

    Raises:
        HaloTheoryError: the loss raised, or autograd did.
    """
    inputs = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    policy = {
        name: value.detach().clone().requires_grad_() for name, value in inputs.items() if name.startswith("policy_")
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if dtype is torch.float64:
            stack.enter_context(real_numbers())
            stack.enter_context(_InDouble())
        losses = _called(loss, {**inputs, **policy})
        gradients: Sequence[Tensor | None] = [None] * len(policy)
        if losses.requires_grad:
            try:
                gradients = torch.autograd.grad(losses.sum(), list(policy.values()), allow_unused=True)
            except RuntimeError as error:
                raise loss.error(f"has no gradient: {str(error).split(';')[0]}") from error
    return _Results(
        losses=losses.detach().double().reshape(-1).tolist(),
        gradients={
            name: torch.zeros_like(value, dtype=torch.float64) if slope is None else slope.double()
            for (name, value), slope in zip(policy.items(), gradients, strict=True)
        },
    )


def _leaves_a_domain(loss: Loss, tensors: Mapping[str, Tensor]) -> bool:
    """Whether some operation makes NaN of finite numbers, as no overflow does."""
    return _watched(loss, tensors).seen


def _watched(loss: Loss, tensors: Mapping[str, Tensor]) -> "_FirstNaN":
    with warnings.catch_warnings(), real_numbers(), _FirstNaN() as first:
        warnings.simplefilter("ignore")
        _called(loss, tensors)
    return first


class _FirstNaN(Mode):
    """Sees whether NaN comes from finite numbers before anything infinite does, and whether either comes at all."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = self.over = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_flatten(result)[0]:
            if isinstance(leaf, Tensor) and leaf.is_floating_point():
                self.seen = self.seen or (not self.over and bool(leaf.isnan().any()))
                self.over = self.over or not bool(leaf.isfinite().all())
        return result


def _called(loss: Loss, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the losses; a mask is given as ones and zeros where the code does not take truth values."""
    try:
        return loss(**inputs)
    except HaloTheoryError:
        if "mask" not in inputs:
            raise
        return loss(**{**inputs, "mask": inputs["mask"].to(torch.get_default_dtype())})


class _InDouble(Mode):
    """While it is active, operations that ask for fewer than 64 bits get 64, and softplus has no threshold.

    PyTorch keeps the constants of elu's and celu's derivatives in 32 bits; here they have 64. Its derivative of the
    binary cross entropy is another function's where a probability is within 1e-12 of 0 or 1; here it is its own.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in _THRESHOLD_AT:
            at = _THRESHOLD_AT[name]
            full = [*args, *(1, 20)[len(args) - at - 1 :]] if len(args) <= at else list(args)
            if full[at] >= int(SOFTPLUS_THRESHOLD):
                args = (*full[:at], _NEVER, *full[at + 1 :])
        if name == "elu_backward" and not args[4]:
            return _elu_backward(*args)
        if name == "binary_cross_entropy_backward":
            return _binary_cross_entropy_backward(*args)
        return func(*tree_map(_double, tuple(args)), **tree_map(_double, dict(kwargs or {})))


def _elu_backward(grad: Any, alpha: float, scale: float, input_scale: float, _: Any, x: Any) -> Tensor:
    if math.isclose(alpha * input_scale, 1.0, rel_tol=1e-6):  # celu
        input_scale = 1 / alpha
    return grad * torch.where(x > 0, scale, alpha * scale * input_scale * torch.exp(input_scale * x))


def _binary_cross_entropy_backward(grad: Any, x: Any, y: Any, weight: Any = None, reduction: Any = 1) -> Tensor:
    """Return the derivative of -y max(log x, -100) - (1 - y) max(log(1 - x), -100)."""
    one = torch.where(x.log() > _LEAST_LOG, y / x, 0.0)
    other = torch.where((1 - x).log() > _LEAST_LOG, (1 - y) / (1 - x), 0.0)
    slope = grad * (other - one) * (1.0 if weight is None else weight)
    return slope / x.numel() if reduction == 1 else slope


_LEAST_LOG = -100.0
_THRESHOLD_AT = {"softplus": 2, "softplus_backward": 3}


def _double(leaf: Any) -> Any:
    if isinstance(leaf, torch.dtype) and leaf.is_floating_point:
        return torch.float64
    if isinstance(leaf, Tensor) and leaf.dtype is torch.float32:
        return decimal_double(leaf)
    return leaf
