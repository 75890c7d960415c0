"""From a loss's real code to exact expressions: every operation is run on symbols instead of numbers."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import FrameType
from typing import Any, Literal, cast

import numpy as np
import sympy
import torch
from sympy import Expr, Symbol
from sympy.core.relational import Relational
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from halotheory.contract import ARGUMENTS, Loss
from halotheory.errors import HaloTheoryError
from halotheory.operations import ARITHMETIC, OPERATIONS, Array, as_array, detach, exact, expanded, number

LABELS = ("desirable", "undesirable")
_TAKEN = {"z", "log_ratio", "chosen_log_ratio", "rejected_log_ratio"}


@dataclass(frozen=True, kw_only=True)
class BatchTerm:
    """The loss of one example in a batch whose other examples matter to it.

    Attributes:
        labels: whether each example is desirable, the example's own label first, then the other examples'
            (desirable ones first); None where the loss has no labels.
        term: the own arguments are those of example 0, the others' carry _1, _2, ... as `argument_symbol` names them.
    """

    labels: tuple[bool, ...] | None
    term: Expr


@dataclass(frozen=True, kw_only=True)
class TokenTerm:
    """The loss of one completion of a token-level loss.

    Attributes:
        mask: which of its tokens count.
        term: of `policy_token_logps_t0`, ..., as `token_symbol` names them.
    """

    mask: tuple[bool, ...]
    term: Expr


@dataclass(frozen=True, kw_only=True)
class Traced:
    """The loss of one example, as exact expressions.

    Attributes:
        loss: what was traced.
        terms: the example's loss by label: `desirable` and `undesirable`, or `example` where labels do not matter.
        symbols: the symbol of each tensor argument, for the example.
        hyperparameters: each hyperparameter's symbol, or its exact value where the code needs a number.
        notes: what the reader should know, such as hyperparameters that could not stay symbolic.
        batches: by label, the loss of one example in batches of 2, 3 and 4; empty where its batch does not matter
            (where it does, `terms` holds those of the largest batch). Batches in which the code yields NaN are absent.
        tokens: the loss of one completion under several masks; empty where the loss is not token-level.
        domains: what is known of the symbolic hyperparameters beyond the assumptions of their symbols.
        reduction: how the code's result comes from the terms: one per example, or their mean or sum.
    """

    loss: Loss
    terms: Mapping[str, Expr]
    symbols: Mapping[str, Symbol]
    hyperparameters: Mapping[str, Expr]
    notes: Sequence[str]
    batches: Mapping[str, Sequence[BatchTerm]] = field(default_factory=dict)
    tokens: Sequence[TokenTerm] = ()
    domains: Sequence[Relational] = ()
    reduction: Literal["none", "mean", "sum"] = "none"


def trace(loss: Loss) -> Traced:
    """Return what `loss` computes for one example.

    Raises:
        HaloTheoryError: an operation that is not understood, a branch on the data, randomness, an example whose
            loss depends on its batch; each with its line.
    """
    for name in loss.hyperparameters:
        if name in _TAKEN:
            raise loss.error(f"has a hyperparameter '{name}', a name that the construction uses; rename it")
    numeric: set[str] = set()
    while True:
        hyperparameters = {
            name: exact(value) if name in numeric or value <= 0 else hyperparameter_symbol(name)
            for name, value in loss.hyperparameters.items()
        }
        try:
            terms = _terms(loss, hyperparameters)
        except _NeedsValueError as need:
            numeric |= need.names
            continue
        notes = [f"the code needs the value of {name}: traced at {loss.hyperparameters[name]:g}" for name in numeric]
        symbols = {name: argument_symbol(name, 0) for name in loss.arguments if name != "desirable"}
        return Traced(loss=loss, terms=terms, symbols=symbols, hyperparameters=hyperparameters, notes=sorted(notes))


def hyperparameter_symbol(name: str) -> Symbol:
    """Return the symbol of a hyperparameter: a positive real number."""
    return Symbol(name, positive=True)


def argument_symbol(name: str, example: int) -> Symbol:
    """Return the symbol of a tensor argument for one example of the batch; `kl` is shared by the batch.

    Log-probabilities are at most 0, lengths and the reference point at least 0.
    """
    if name == "kl":
        return Symbol("kl", nonnegative=True)
    suffix = f"_{example}" if example else ""
    return Symbol(name + suffix, positive=True) if "lengths" in name else Symbol(name + suffix, nonpositive=True)


def token_symbol(name: str, token: int, example: int = 0) -> Symbol:
    """Return the symbol of a token-level argument: log-probabilities are at most 0, advantages real."""
    suffix = f"_t{token}_{example}" if example else f"_t{token}"
    return Symbol(name + suffix, real=True) if name == "advantages" else Symbol(name + suffix, nonpositive=True)


def _terms(loss: Loss, hyperparameters: Mapping[str, Expr]) -> dict[str, Expr]:
    """Return an example's term by label, having seen that neither its batch nor its place matters."""
    if loss.kind == "token":
        raise loss.error("token-level losses cannot be checked yet; paired and unpaired ones can")
    terms = {}
    for label in LABELS if loss.needs_labels else ("example",):
        own = label == "desirable"
        batches = [([own, not own], 0), ([own, own], 0), ([not own, own], 1), ([not own, not own, own], 2)]
        runs = [_run(loss, labels, hyperparameters) for labels, _ in batches]
        if _run(loss, batches[0][0], hyperparameters).tolist() != runs[0].tolist():
            raise loss.error("two runs on the same input differ; a loss that draws or remembers cannot be checked")
        seen = [_term_of(loss, losses, len(labels), at) for losses, (labels, at) in zip(runs, batches, strict=True)]
        for one, other in pairwise(seen):
            if one != other and not _constant(expanded(one - other), loss):
                raise loss.error("the loss of one example depends on the others of its batch; not analysed yet")
        terms[label] = seen[1]  # of a batch of its own label: a mean's constants are then this label's
    return terms


def _constant(difference: Expr, loss: Loss) -> bool:
    """Whether a difference of terms is free of every argument, as the shares of a mean's constants may be."""
    return {symbol.name for symbol in difference.free_symbols} <= set(loss.hyperparameters)


def _term_of(loss: Loss, losses: Array, batch: int, example: int) -> Expr:
    """Return the loss of one example of a batch, its symbols renamed to those of the first example."""
    symbols = [{argument_symbol(name, at) for name in loss.arguments if name != "kl"} for at in range(batch)]
    own, others = symbols[example], set().union(*(symbols[at] for at in range(batch) if at != example))
    if losses.shape == (batch,):  # code that treats the labels apart may return them reordered
        term = next((entry for entry in losses if entry.free_symbols & own), losses[example])
    elif losses.shape == ():
        term = _share(expanded(losses[()] * batch), own, others, batch)
    else:
        raise loss.error(f"returned shape {losses.shape} for a batch of {batch}; return ({batch},) or a scalar")
    if others & term.free_symbols:
        raise loss.error("the loss of one example depends on the others of its batch; not analysed yet")
    names = {argument_symbol(name, example): argument_symbol(name, 0) for name in loss.arguments}
    return _reattached(term.xreplace(names))


def _reattached(term: Expr) -> Expr:
    """Return the term without a detach around what does not depend on theta anyway (kl comes detached)."""

    def bare(value: Expr) -> Expr:
        free = not any(symbol.name.startswith("policy_") for symbol in value.free_symbols)
        return value if free else detach(value)

    return term.replace(detach, bare)


def _share(total: Expr, own: set[Symbol], others: set[Symbol], batch: int) -> Expr:
    """Return an example's share of a sum over the batch; what belongs to no example is shared evenly."""
    parts = sympy.Add.make_args(total)
    mine = [part for part in parts if part.free_symbols & own]
    shared = [part for part in parts if not part.free_symbols & (own | others)]
    return sympy.Add(*mine) + sympy.Add(*shared) / batch


def _run(loss: Loss, labels: Sequence[bool], hyperparameters: Mapping[str, Expr]) -> Array:
    """Return the expressions that the code computes for a batch with these labels."""
    batch = len(labels)
    inputs: dict[str, Tensor] = {}
    for name in loss.arguments:
        if name == "desirable":
            inputs[name] = torch.tensor(labels)
        elif name == "kl":
            inputs[name] = SymbolicTensor(np.asarray(argument_symbol(name, 0), dtype=object), torch.float64, loss)
        else:
            values = [argument_symbol(name, example) for example in range(batch)]
            inputs[name] = SymbolicTensor(np.asarray(values, dtype=object), torch.float64, loss)
    settings: dict[str, Any] = {
        name: SymbolicTensor(np.asarray(value, dtype=object), torch.float64, loss)
        if isinstance(value, Symbol)
        else loss.hyperparameters[name]
        for name, value in hyperparameters.items()
    }
    try:
        before = torch.get_rng_state()
        output = loss.function(**inputs, **settings)
        if not torch.equal(before, torch.get_rng_state()):
            raise loss.error("draws random numbers; such a loss cannot be checked")
    except _StopTracing as stop:
        raise stop.error from None
    except (HaloTheoryError, TimeoutError):
        raise
    except (Exception, SystemExit) as error:
        raise loss.raised(error) from error
    if isinstance(output, SymbolicTensor):
        return output.entries
    if isinstance(output, Tensor):
        return as_array(output.tolist())
    raise loss.error(f"returned {type(output).__name__}; return a tensor of losses, one per example")


class _NeedsValueError(BaseException):
    """The code asked for the number behind these hyperparameters."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


class _StopTracing(BaseException):
    """The code cannot be traced beyond here; not an Exception, so that no `except Exception` of the user's hides it."""

    def __init__(self, error: HaloTheoryError) -> None:
        super().__init__(str(error))
        self.error = error


class SymbolicTensor(torch.Tensor):
    """A tensor whose entries are SymPy expressions; it has a shape and a dtype, and no numbers.

    Each ATen operation on it, with whatever Python code called it, is carried out on the expressions.
    """

    entries: Array
    loss: Loss

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Array, dtype: torch.dtype, loss: Loss) -> "SymbolicTensor":
        """Return a tensor of the array's shape, on the way through `loss`."""
        tensor = cast("SymbolicTensor", torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=dtype))
        tensor.entries = values
        tensor.loss = loss
        return tensor

    def __init__(self, values: Array, dtype: torch.dtype, loss: Loss) -> None:
        super().__init__()

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"SymbolicTensor({self.entries.tolist()})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the operation's result on expressions."""
        leaves, _ = tree_flatten((args, kwargs or {}))
        loss = next(leaf.loss for leaf in leaves if isinstance(leaf, SymbolicTensor))
        name = func.overloadpacket.__name__
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _error_here(loss, f"'{name}' is random; a loss that draws random numbers cannot be checked")
        if name in {"_local_scalar_dense", "item", "is_nonzero"}:
            return _python_value(loss, args[0].entries[()])
        if func._schema.is_mutable:
            raise _error_here(loss, f"'{name}' writes in place; write it out of place, as '{name.rstrip('_')}'")
        return _apply(loss, func, name, args, kwargs or {})


def _apply(loss: Loss, func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    templates = _templates(func, args, kwargs)
    meaning = _cast(templates.dtype) if name in {"_to_copy", "to"} else OPERATIONS.get(name)
    if meaning is None:
        raise _error_here(loss, f"operation '{name}' is not supported by the checker")
    plain_args, plain_kwargs = tree_map(lambda leaf: _expressions(leaf, name), (tuple(args), dict(kwargs)))
    try:
        result = meaning(*plain_args, **plain_kwargs)
    except (TypeError, NotImplementedError) as error:
        raise _error_here(loss, f"this form of '{name}' is not supported by the checker: {error}") from error
    if not torch.is_grad_enabled():
        result = tree_map(OPERATIONS["detach"], result)
    return _wrapped(loss, result, templates)


def _python_value(loss: Loss, value: Expr) -> Any:
    """Return the number or truth value that Python asked for, if the symbols determine it."""
    if value in (True, False, sympy.true, sympy.false):
        return bool(value)
    if value.is_number:
        return float(value)
    names = {symbol.name for symbol in value.free_symbols}
    if names <= set(loss.hyperparameters):
        raise _NeedsValueError(names)
    arguments = sorted({_argument_of(name) for name in names} - set(loss.hyperparameters))
    raise _error_here(
        loss,
        f"Python needs the value of {', '.join(arguments)} here; a loss may not branch on its data "
        "(use torch.where) or turn it into a Python number",
    )


def _error_here(loss: Loss, message: str) -> _StopTracing:
    return _StopTracing(loss.error(message, line=_line_now(loss)))


def _templates(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the operation's result with ones for symbols: PyTorch's own word on shapes and dtypes."""

    def plain(leaf: Any) -> Any:
        return torch.ones(leaf.shape, dtype=leaf.dtype) if isinstance(leaf, SymbolicTensor) else leaf

    return func(*tree_map(plain, tuple(args)), **tree_map(plain, dict(kwargs)))


def _expressions(leaf: Any, operation: str) -> Any:
    if isinstance(leaf, SymbolicTensor):
        array = leaf.entries
    elif isinstance(leaf, Tensor):
        array = as_array(leaf.tolist())
    elif isinstance(leaf, bool | int | float) and operation in ARITHMETIC:
        return leaf if isinstance(leaf, bool) else exact(leaf)
    else:
        return leaf
    if operation in ARITHMETIC and array.size:
        array = np.asarray(np.frompyfunc(number, 1, 1)(array), dtype=object)
    return array


def _cast(dtype: torch.dtype) -> Callable[..., Array]:
    """Return the meaning of a change of dtype: real numbers have none, but truth values become 1 and 0."""

    def cast_array(x: Array, *args: object, **kwargs: object) -> Array:
        if dtype is torch.bool:
            raise NotImplementedError("a number turned into a truth value")
        return np.asarray(np.frompyfunc(number, 1, 1)(x), dtype=object)

    return cast_array


def _wrapped(loss: Loss, result: Any, templates: Any) -> Any:
    arrays, _ = tree_flatten(result, is_leaf=lambda leaf: isinstance(leaf, np.ndarray))
    leaves, structure = tree_flatten(templates)
    wrapped = []
    for array, template in zip(arrays, leaves, strict=True):
        values = np.asarray(array, dtype=object)
        if template.numel():  # (log_sigmoid's second output is an empty buffer)
            assert values.shape == tuple(template.shape), f"{values.shape} instead of {tuple(template.shape)}"
        wrapped.append(SymbolicTensor(values, template.dtype, loss))
    return tree_unflatten(wrapped, structure)


def _argument_of(symbol: str) -> str:
    names = [name for group in ARGUMENTS.values() for name in group]
    return next((name for name in names if symbol == name or symbol.startswith(f"{name}_")), symbol)


def _line_now(loss: Loss) -> int | None:
    """Return the innermost line of the user's file that is being run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == loss.function.__code__.co_filename:
            return frame.f_lineno
        frame = frame.f_back
    return None
