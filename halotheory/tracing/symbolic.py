"""Tensors of expressions: each operation that the user's code does on them is done on symbols instead of numbers."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
import sympy
import torch
from sympy import Expr, Symbol
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only, tree_unflatten

from halotheory.contract import ARGUMENTS, Loss
from halotheory.errors import HaloTheoryError
from halotheory.tracing.modes import Mode
from halotheory.tracing.operations import OPERATIONS, Array, as_array, unknown
from halotheory.tracing.places import NO_PLACE, Places, Summands, places_of, summands_of
from halotheory.tracing.rewrites import FIRST_TOO, REWRITES

_ITEMS = {"_local_scalar_dense", "item", "is_nonzero"}
_RANDOM = torch.Tag.nondeterministic_seeded


class NeedsValueError(BaseException):
    """The code asked for the number behind these hyperparameters."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


class StopTracing(BaseException):
    """The code cannot be traced beyond here; not an Exception, so that no `except Exception` of the user's hides it."""

    def __init__(self, error: HaloTheoryError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(eq=False, kw_only=True)
class _Memory:
    """What views of each other share; a detached copy of it is a twin that PyTorch would have write to it."""

    twins: list["_Memory"] = field(default_factory=list)
    outdated: bool = False

    def twin(self) -> "_Memory":
        other = _Memory(twins=[self])
        self.twins.append(other)
        return other


class SymbolicTensor(torch.Tensor):
    """A tensor whose entries are SymPy expressions; it has a shape and a dtype, and no numbers.

    Attributes:
        entries: the expressions; NumPy's views are the tensor's views. Arguments of the loss are not writeable.
        places: which example each entry belongs to.
        summands: for a sum over the batch, each example's summand.
        memory: what it shares with its views.
    """

    entries: Array
    places: Places
    summands: Summands | None
    memory: _Memory

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(
        cls,
        values: Array,
        dtype: torch.dtype = torch.float64,
        places: Places | None = None,
        memory: _Memory | None = None,
    ) -> "SymbolicTensor":
        """Return a tensor of the array's shape."""
        tensor = cast("SymbolicTensor", torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=dtype))
        tensor.entries = values
        tensor.places = np.full(values.shape, NO_PLACE) if places is None else places
        tensor.summands = None
        tensor.memory = memory or _Memory()
        return tensor

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"{type(self).__name__}({self.entries.tolist()})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Refuse: outside of `Tracing` there is nothing that a symbol could mean."""
        raise NotImplementedError(f"'{func}' on a symbol after its function has ended")


class SymbolicNumber(SymbolicTensor):
    """A hyperparameter, or what Python computes from some: a number, which `x *= 2` replaces and does not change."""

    def __iadd__(self, other: Any) -> Any:
        return self + other

    def __isub__(self, other: Any) -> Any:
        return self - other

    def __imul__(self, other: Any) -> Any:
        return self * other

    def __itruediv__(self, other: Any) -> Any:
        return self / other

    def __ipow__(self, other: Any) -> Any:
        return self**other


def symbolic_argument(symbols: object, places: object) -> SymbolicTensor:
    """Return an argument of the loss, which it may not write to."""
    entries = np.asarray(symbols, dtype=object)
    entries.setflags(write=False)
    return SymbolicTensor(entries, torch.float64, np.asarray(places, dtype=np.int64))


def symbolic_number(symbol: Expr) -> SymbolicNumber:
    """Return a hyperparameter."""
    entries = np.asarray(symbol, dtype=object)
    entries.setflags(write=False)
    return cast("SymbolicNumber", SymbolicNumber(entries, torch.float64))


@contextmanager
def real_numbers() -> Iterator[None]:
    """Let floats that the code makes without naming a dtype be of 64 bits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Tracing(Mode):
    """While it is active, every operation of the code of `loss` is done on expressions, what is random refused.

    Attributes:
        loss: whose code is run.
        examples: the symbols that belong to one example of the batch each.
        stopped: why the trace ended, if it did.
    """

    def __init__(self, loss: Loss, examples: frozenset[Symbol]) -> None:
        super().__init__()
        self.loss = loss
        self.examples = examples
        self.stopped: BaseException | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Trace what is run inside; an end that the code's own `except` hides still ends the trace."""
        apply = classmethod(_apply_forward)
        with real_numbers(), mock.patch.object(torch.autograd.Function, "apply", apply), _Numbers(), self:
            yield
        if self.stopped is not None:
            raise self.stopped

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the operation's result on expressions."""
        try:
            return self._result(func, func.overloadpacket.__name__, tuple(args), dict(kwargs or {}))
        except (StopTracing, NeedsValueError) as stop:
            self.stopped = self.stopped or stop
            raise

    def _result(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _RANDOM in func.tags:
            raise self.error(f"'{name}' is random; a loss that draws random numbers cannot be checked")
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        symbolic = [tensor for tensor in tensors if isinstance(tensor, SymbolicTensor)]
        if any(tensor.memory.outdated for tensor in symbolic):
            raise self.error(f"'{name}' reads what was changed in place through its detached twin; detach a clone")
        if func._schema.is_mutable:
            return self._written(func, name, args, kwargs)
        if not symbolic:
            return self._plain(func, name, args, kwargs)
        if name in _ITEMS:
            return self._python_value(symbolic[0])
        return self._applied(func, name, args, kwargs)

    def _plain(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation on numbers; what is real becomes symbolic, so that symbols can be written into it."""
        result = func(*args, **kwargs)
        unset = name.startswith("empty")

        def symbolic(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            entries = unknown(tensor.shape, "what torch.empty left unset") if unset else _decimals(tensor)
            return SymbolicTensor(entries, tensor.dtype)

        return tree_map_only(Tensor, symbolic, result)

    def _applied(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name not in OPERATIONS:
            return self._of_constants(func, name, args, kwargs)
        outputs, structure = tree_flatten(_template(func, args, kwargs))
        result = args[0].entries if name == "detach" else self._meaning(name, args, kwargs)
        arrays = list(result) if isinstance(result, list | tuple) else [result]
        places = places_of(name, args, kwargs, arrays)
        wrapped = [
            self._wrapped(func, name, args, np.asarray(array), template, place)
            for array, template, place in zip(arrays, outputs, places, strict=True)
        ]
        return tree_unflatten(wrapped, structure)

    def _wrapped(
        self, func: Any, name: str, args: tuple[Any, ...], array: Array, template: Tensor, places: Places
    ) -> Tensor:
        """Return one output of an operation; truth values and whole numbers that are known become plain again."""
        if template.numel() and array.shape != tuple(template.shape):  # (log_sigmoid's second output is a buffer)
            raise self.error(f"this form of '{name}' is not supported by the checker")
        is_view = func._schema.returns[0].alias_info is not None
        if not template.is_floating_point() and not is_view:
            known = _known_values(array, template)
            if known is not None:
                return known
        numbers = not array.ndim and all(
            isinstance(leaf, SymbolicNumber) for leaf in tree_flatten(args)[0] if isinstance(leaf, Tensor)
        )
        cut = (name == "detach" or not torch.is_grad_enabled()) and not numbers
        source = args[0].memory if is_view and isinstance(args[0], SymbolicTensor) else _Memory()
        array, memory = _cut(array, source) if cut else (array, source)
        tensor = (SymbolicNumber if numbers else SymbolicTensor)(array, template.dtype, places, memory)
        if not array.ndim:
            tensor.summands = summands_of(name, args, tensor, self.examples)
        return tensor

    def _meaning(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        plain_args, plain_kwargs = tree_map(_expressions, (args, kwargs))
        try:
            return OPERATIONS[name](*plain_args, **plain_kwargs)
        except (TypeError, NotImplementedError) as error:
            raise self.error(f"this form of '{name}' is not supported by the checker: {error}") from error

    def _of_constants(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of an operation without an exact meaning, which needs none where nothing is symbolic."""

        def numeric(leaf: SymbolicTensor) -> Tensor:
            if not all(value.is_number for value in leaf.entries.ravel()):
                raise self.error(_unknown(name))
            return torch.tensor(leaf.entries.astype(float), dtype=leaf.dtype)

        return self._plain(func, name, *tree_map_only(SymbolicTensor, numeric, (args, kwargs)))

    def _written(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do an operation that writes in place, which only what the code made itself allows."""
        target, base = args[0], name.removesuffix("_")
        if "out" in kwargs:
            raise self.error(f"'{name}' with out= is not supported by the checker; use what it returns")
        if not isinstance(target, SymbolicTensor):
            if target.is_floating_point():
                raise self.error(f"'{name}' writes in place into a tensor that outlives the call")
            if any(isinstance(leaf, SymbolicTensor) for leaf in tree_flatten((args, kwargs))[0]):
                raise self.error(f"'{name}' writes symbols into truth values or whole numbers; use torch.where")
            return func(*args, **kwargs)
        if not target.entries.flags.writeable:
            raise self.error(f"'{name}' writes in place into an argument; write it out of place, as '{base}'")
        if base not in OPERATIONS:
            raise self.error(_unknown(name))
        result, cut = self._meaning(base, args, kwargs), OPERATIONS["detach"](target.entries)
        if not torch.is_grad_enabled():
            if not _equal(cut, target.entries):
                raise self.error(f"'{name}' writes in place under no_grad into what a gradient flows through")
            result = OPERATIONS["detach"](result)
        _template(func, args, kwargs)  # PyTorch's own word on shapes
        target.places[...] = places_of(base, args, kwargs, [result])[0]
        target.entries[...] = result
        target.summands = None
        for twin in target.memory.twins:
            twin.outdated = True
        return target

    def _python_value(self, tensor: SymbolicTensor) -> Any:
        """Return the number or truth value that Python asked for, if the symbols determine it."""
        value: Any = tensor.entries[()]
        if value in (sympy.true, sympy.false):
            return bool(value)
        if value.is_number:
            return float(value) if tensor.dtype.is_floating_point else int(value)
        names = {symbol.name for symbol in value.free_symbols}
        if names <= set(self.loss.hyperparameters):
            raise NeedsValueError(names)
        arguments = sorted({_argument_of(name) for name in names} - set(self.loss.hyperparameters))
        raise self.error(
            f"Python needs the value of {', '.join(arguments)} here; a loss may not branch on its data "
            "(use torch.where) or turn it into a Python number"
        )

    def error(self, message: str) -> StopTracing:
        """Return an error that names the line of the user's file that is being run."""
        return StopTracing(self.loss.error(message, line=line_now(self.loss)))


class _Numbers(TorchFunctionMode):
    """Lets a hyperparameter that is a symbol stand where PyTorch wants a Python number."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "detach_" and isinstance(args[0], SymbolicTensor):  # autograd's own: never dispatched
            args[0].entries, args[0].memory = OPERATIONS["detach"](args[0].entries), _Memory()
            return args[0]
        if name in REWRITES:
            numbers = (args if name in FIRST_TOO else args[1:], kwargs)
            if any(isinstance(leaf, SymbolicTensor) and not leaf.ndim for leaf in tree_flatten(numbers)[0]):
                return REWRITES[name](*args, **kwargs)
        return func(*args, **kwargs)


def _unknown(name: str) -> str:
    return (
        f"operation '{name}' is not supported by the checker; write it with +, *, exp, log, clamp, where or their like "
        "(docs/checker.md, 'What is understood', lists them)"
    )


def _apply_forward(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Return what a custom autograd function computes; that its backward is the derivative is checked by running it."""
    context = SimpleNamespace(
        needs_input_grad=tuple(isinstance(arg, Tensor) for arg in args),
        save_for_backward=lambda *tensors: None,
        mark_non_differentiable=lambda *tensors: None,
        set_materialize_grads=lambda value: None,
    )
    if cls.setup_context is torch.autograd.Function.setup_context:
        return cls.forward(context, *args, **kwargs)
    output = cls.forward(*args, **kwargs)
    cls.setup_context(context, args, output)
    return output


def _template(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the operation's result with ones for symbols: PyTorch's own word on shapes and dtypes."""

    def ones(leaf: SymbolicTensor) -> Tensor:
        return torch.ones(leaf.shape, dtype=leaf.dtype)

    with torch._C.DisableTorchFunction():
        plain_args, plain_kwargs = tree_map_only(SymbolicTensor, ones, (tuple(args), dict(kwargs)))
        return func(*plain_args, **plain_kwargs)


def _expressions(leaf: Any) -> Any:
    if isinstance(leaf, SymbolicTensor):
        return leaf.entries
    return _decimals(leaf) if isinstance(leaf, Tensor) else leaf


def _decimals(tensor: Tensor) -> Array:
    """Return numbers as expressions; a float of 32 bits is the decimal that it prints as, too."""
    return as_array((decimal_double(tensor) if tensor.dtype is torch.float32 else tensor).tolist())


def decimal_double(tensor: Tensor) -> Tensor:
    """Return floats of 32 bits as those of 64 that print alike: 0.1 stays 0.1."""
    return torch.from_numpy(tensor.detach().numpy().astype(str).astype(float))


def _known_values(array: Array, template: Tensor) -> Tensor | None:
    values = array.ravel().tolist()
    if not all(value in (sympy.true, sympy.false) or value.is_Integer for value in values):
        return None
    known = [bool(value) if template.dtype is torch.bool else int(value) for value in values]
    return torch.tensor(known, dtype=template.dtype).reshape(array.shape)


def _cut(array: Array, memory: _Memory) -> tuple[Array, _Memory]:
    """Return the detached entries of a new tensor or of a view, and what it shares with what it is a view of."""
    cut = OPERATIONS["detach"](array)
    if _equal(cut, array):
        return array, memory
    cut.setflags(write=array.flags.writeable)
    return cut, memory.twin()


def _equal(one: Array, other: Array) -> bool:
    return all(a == b for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))


def _argument_of(symbol: str) -> str:
    names = [name for group in ARGUMENTS.values() for name in group]
    return next((name for name in names if symbol == name or symbol.startswith(f"{name}_")), symbol)


def line_now(loss: Loss) -> int | None:
    """Return the innermost line of the user's file that is being run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == loss.source:
            return frame.f_lineno
        frame = frame.f_back
    return None
