"""Which example of the batch each entry of a tensor belongs to, and each summand of a sum over the batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sympy import Expr, Rational, Symbol
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from halotheory.tracing.operations import ELEMENTWISE, OPERATIONS, STRUCTURAL, Array, as_array, axes_of, exact

Places = np.ndarray[Any, np.dtype[np.int64]]
"""For each entry of a tensor the example that it belongs to; -1 where it is common to all, -2 where some are mixed."""

NO_PLACE = -1
_ZERO, _ONE = Rational(0), Rational(1)
_MIXED = -2
_REDUCTIONS = frozenset(
    {"all", "amax", "amin", "any", "logsumexp", "max", "mean", "min", "nansum", "prod", "std", "sum", "var"}
)
_SAME_NUMBER = frozenset({"_to_copy", "alias", "clone", "positive", "squeeze", "view"})


def places_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], results: Sequence[Array]) -> list[Places]:
    """Return the places of an operation's results.

    Entries that are only moved take their place along; where entries at the same place of several tensors meet, the
    result belongs to the one example that any of them belongs to. What is summed up is common to the batch.
    """
    placed = [leaf for leaf in tree_flatten((args, kwargs))[0] if hasattr(leaf, "places")]
    if not any((leaf.places >= 0).any() for leaf in placed):
        return [np.full(np.shape(result), NO_PLACE) for result in results]
    if name in STRUCTURAL:
        values = args if name in {"cat", "copy", "stack"} else args[2:]  # whole numbers among these are no places
        placeless = {id(leaf) for leaf in tree_flatten(values)[0] if isinstance(leaf, Tensor)}
        moved = OPERATIONS[name](*tree_map(lambda leaf: _moved(leaf, placeless), tuple(args)), **kwargs)
        return list(moved) if isinstance(moved, list | tuple) else [moved]
    first, shape = args[0].places if hasattr(args[0], "places") else None, np.shape(results[0])
    if name in ELEMENTWISE:
        found = _met([np.broadcast_to(leaf.places, shape) for leaf in placed])
    elif first is not None and name in _REDUCTIONS and len(results) == 1:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        found = _common(first, dim, shape) if not isinstance(dim, Tensor) else np.full(shape, NO_PLACE)
    elif first is not None and first.shape == shape:
        found = first.copy()
    else:
        found = np.full(shape, NO_PLACE)
    return [found if np.shape(result) == shape else np.full(np.shape(result), NO_PLACE) for result in results]


def _moved(leaf: Any, placeless: set[int]) -> Any:
    """Return what stands for an argument where places are moved instead of entries: an index stays as it is."""
    if hasattr(leaf, "places"):
        return leaf.places
    if not isinstance(leaf, Tensor):
        return leaf
    if leaf.is_floating_point() or (id(leaf) in placeless and leaf.dtype is not torch.bool):
        return np.full(leaf.shape, NO_PLACE)
    return as_array(leaf.tolist())


def _met(places: Sequence[Places]) -> Places:
    met = np.full(places[0].shape, NO_PLACE)
    for other in places:
        differ = (met != other) & (met != NO_PLACE) & (other != NO_PLACE)
        met = np.where(differ, _MIXED, np.where(met == NO_PLACE, other, met))
    return met


def _common(places: Places, dim: Any, shape: Sequence[int]) -> Places:
    """Return the example to which all entries belong that are reduced to one, of several."""
    if np.prod(shape) == 1:  # the batch itself is reduced, or a part of it, even if that is one example
        return np.full(shape, NO_PLACE)
    axes = axes_of(places.ndim, dim)
    highest = places.max(axis=axes, initial=NO_PLACE)
    lowest = np.where(places == NO_PLACE, np.iinfo(np.int64).max, places).min(axis=axes, initial=np.iinfo(np.int64).max)
    return np.where((lowest == highest) & (lowest >= 0), highest, NO_PLACE).reshape(shape)


@dataclass(frozen=True, kw_only=True)
class Summands:
    """A number as a sum over the batch.

    Attributes:
        by_example: each example's summand; what is common to all under -1.
        weight: what the examples were multiplied by when and after they were added: 1 / n in a mean of n.
    """

    by_example: Mapping[int, Expr]
    weight: Expr

    def times(self, factor: Expr) -> "Summands":
        """Return the sum with every summand multiplied."""
        by_example = {place: factor * value for place, value in self.by_example.items()}
        return Summands(by_example=by_example, weight=factor * self.weight)

    def plus(self, other: "Summands") -> "Summands":
        """Return the sum of two sums, example by example."""
        places = [*self.by_example, *other.by_example]
        by_example = {p: self.by_example.get(p, _ZERO) + other.by_example.get(p, _ZERO) for p in places}
        return Summands(
            by_example=by_example, weight=self.weight if set(self.by_example) > {NO_PLACE} else other.weight
        )


def summands_of(name: str, args: Sequence[Any], result: Any, examples: frozenset[Symbol]) -> Summands | None:
    """Return a number as a sum over the batch; None where it is none.

    Args:
        name: of the operation that computed it.
        args: of the operation.
        result: a tensor of one entry.
        examples: the symbols that belong to one example each.
    """
    if result.places[()] >= 0:
        return Summands(by_example={int(result.places[()]): result.entries[()]}, weight=_ONE)
    if name in {"sum", "nansum", "mean"} and args[0].ndim:
        return _of_a_sum(args[0], Rational(1, args[0].numel()) if name == "mean" else _ONE, examples)
    if name in _SAME_NUMBER or name in {"sum", "nansum", "mean"}:
        return args[0].summands if not args[0].ndim else None
    if name == "neg":
        one = _summands(args[0], examples)
        return one and one.times(-_ONE)
    if name in {"add", "sub", "rsub"} and len(args) == 2:
        one, other = (_summands(arg, examples) for arg in args)
        signs = {"add": (_ONE, _ONE), "sub": (_ONE, -_ONE), "rsub": (-_ONE, _ONE)}[name]
        return one and other and one.times(signs[0]).plus(other.times(signs[1]))
    return _of_a_product(name, args, examples) if name in {"mul", "div"} else None


def _value(operand: Any) -> Expr:
    if hasattr(operand, "entries"):
        return operand.entries[()]
    return exact(operand.item() if isinstance(operand, Tensor) else operand)


def _summands(operand: Any, examples: frozenset[Symbol]) -> Summands | None:
    found = getattr(operand, "summands", None)
    if found is not None:
        return found
    value = _value(operand)
    return None if value.free_symbols & examples else Summands(by_example={NO_PLACE: value}, weight=_ONE)


def _of_a_sum(tensor: Any, weight: Expr, examples: frozenset[Symbol]) -> Summands | None:
    found: dict[int, Expr] = {}
    for place, value in zip(tensor.places.ravel().tolist(), tensor.entries.ravel().tolist(), strict=True):
        if place < 0 and value.free_symbols & examples:
            return None
        place = max(place, NO_PLACE)
        found[place] = found.get(place, _ZERO) + weight * value
    return Summands(by_example=found, weight=weight)


def _of_a_product(name: str, args: Sequence[Any], examples: frozenset[Symbol]) -> Summands | None:
    left, right = args[:2]
    one, other = _value(left), _value(right)
    if not other.free_symbols & examples and other != 0:
        found = _summands(left, examples)
        return found and found.times(other if name == "mul" else 1 / other)
    if name == "mul" and not one.free_symbols & examples:
        found = _summands(right, examples)
        return found and found.times(one)
    return None
