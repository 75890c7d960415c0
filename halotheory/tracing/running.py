"""One run of a loss on symbols: the expressions of a batch, taken apart into one for each example."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
import torch
from sympy import Dummy, Expr, Symbol
from torch import Tensor

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.tracing.operations import Array, as_array, detach, expanded
from halotheory.tracing.places import NO_PLACE, Places, Summands
from halotheory.tracing.symbolic import StopTracing, SymbolicTensor, Tracing, symbolic_argument, symbolic_number
from halotheory.tracing.symbols import argument_symbol, kl_symbol, token_symbol

_PLAIN = {"policy_token_logps": sympy.Integer(-1), "reference_token_logps": sympy.Integer(-2)}
_ADVANTAGE = sympy.Integer(1)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a loss is run on.

    Attributes:
        size: the number of examples.
        labels: whether each is desirable; None where the loss does not ask.
        masks: for each example which of its tokens count; None where the loss is not token-level.
        alike: for each example whose arguments it has, where a large batch repeats a few; its own if None.
        tokens: which places of a completion have symbols, where the others have numbers; all if None.
        kl_of_each: whether `kl` is one for each example, and not one for all.
    """

    size: int
    labels: tuple[bool, ...] | None = None
    masks: tuple[tuple[bool, ...], ...] | None = None
    alike: tuple[int, ...] | None = None
    tokens: tuple[int, ...] | None = None
    kl_of_each: bool = False

    def symbols(self, loss: Loss) -> list[dict[str, Symbol]]:
        """Return each example's symbols, by the name that the first example's has."""
        names = [name for name in loss.arguments if name not in {"desirable", "kl", "mask"}]
        examples = self.alike or range(self.size)
        if self.masks is None:
            return [{name: argument_symbol(name, example) for name in names} for example in examples]
        tokens = self.tokens or range(len(self.masks[0]))
        return [
            {token_symbol(name, t).name: token_symbol(name, t, example) for name in names for t in tokens}
            for example in examples
        ]

    def owned(self, loss: Loss) -> list[set[Symbol]]:
        """Return the symbols that belong to each example; what several share is the first one's."""
        found: list[set[Symbol]] = []
        for symbols in self.symbols(loss):
            found.append(set(symbols.values()).difference(*found))
        return found


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a loss computes for a batch.

    Attributes:
        batch: what it was run on.
        shares: each example's loss, or its summand where the loss returned one number for the batch.
        scalar: whether it did.
        weight: what the examples of a sum over the batch were multiplied by, where that is known.
        undefined: whether the result is NaN for every value of the arguments.
    """

    batch: Batch
    shares: tuple[Expr, ...]
    scalar: bool
    weight: Expr | None = None
    undefined: bool = False


def run(loss: Loss, batch: Batch, hyperparameters: Mapping[str, Expr], *, bool_mask: bool = True) -> Run:
    """Return what `loss` computes for each example of a batch of symbols.

    Args:
        loss: whose code is run.
        batch: the labels or masks of its examples.
        hyperparameters: their symbols or exact values.
        bool_mask: whether a mask is given as truth values, or as ones and zeros.

    Raises:
        HaloTheoryError: what the code does on symbols cannot be followed, or no example's loss be told apart.
        NeedsValueError: the code needs the number behind a hyperparameter.
    """
    settings: dict[str, Any] = {
        name: loss.hyperparameters[name] if value.is_number else symbolic_number(value)
        for name, value in hyperparameters.items()
    }
    tracing = Tracing(loss, frozenset[Symbol]().union(*batch.owned(loss)))
    inputs = _inputs(loss, batch, bool_mask)
    plain = {name: tensor.clone() for name, tensor in inputs.items() if not isinstance(tensor, SymbolicTensor)}
    before = torch.get_rng_state()
    try:
        with warnings.catch_warnings(), tracing.active():
            warnings.simplefilter("ignore")
            output = loss.function(**inputs, **settings)
    except StopTracing as stop:
        raise stop.error from None
    except (HaloTheoryError, TimeoutError):
        raise
    except (Exception, SystemExit) as error:
        raise loss.raised(error) from error
    if not torch.equal(before, torch.get_rng_state()):
        raise loss.error("draws random numbers; such a loss cannot be checked")
    for name, tensor in plain.items():
        if not torch.equal(tensor, inputs[name]):
            raise loss.error(f"writes in place into '{name}'; write into a clone")
    return _taken_apart(loss, batch, output)


def _inputs(loss: Loss, batch: Batch, bool_mask: bool) -> dict[str, Tensor]:
    owned = batch.symbols(loss)
    rows = np.arange(batch.size)
    inputs: dict[str, Tensor] = {}
    for name in loss.arguments:
        if name == "desirable":
            inputs[name] = torch.tensor(batch.labels)
        elif name == "mask":
            inputs[name] = torch.tensor(batch.masks) if bool_mask else _mask_of_numbers(batch)
        elif name == "kl" and batch.kl_of_each:
            inputs[name] = symbolic_argument([kl_symbol(example) for example in range(batch.size)], rows)
        elif name == "kl":
            inputs[name] = symbolic_argument(argument_symbol(name, 0), NO_PLACE)
        elif batch.masks is None:
            inputs[name] = symbolic_argument([symbols[name] for symbols in owned], rows)
        else:
            tokens = range(len(batch.masks[0]))
            plain = _PLAIN.get(name, _ADVANTAGE)
            values = [[symbols.get(token_symbol(name, t).name, plain) for t in tokens] for symbols in owned]
            inputs[name] = symbolic_argument(values, np.broadcast_to(rows[:, None], (batch.size, len(tokens))))
    return inputs


def _mask_of_numbers(batch: Batch) -> SymbolicTensor:
    assert batch.masks is not None
    return symbolic_argument(as_array([[int(counts) for counts in mask] for mask in batch.masks]), NO_PLACE)


def _taken_apart(loss: Loss, batch: Batch, output: object) -> Run:
    if not isinstance(output, Tensor):
        raise loss.error(f"returned {type(output).__name__}; return a tensor of losses, one per example")
    if not isinstance(output, SymbolicTensor):
        output = SymbolicTensor(as_array(output.tolist()))
    entries: Array = output.entries
    scalar = entries.shape == ()
    if not scalar and entries.shape != (batch.size,):
        shown = tuple(entries.shape)
        raise loss.error(f"returned shape {shown} for a batch of {batch.size}; return ({batch.size},) or a scalar")
    _refuse_the_unset(loss, entries)
    if any(value.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo) for value in entries.ravel()):
        return Run(batch=batch, shares=(), scalar=scalar, undefined=True)
    symbols = batch.owned(loss)
    if scalar:
        shares = _shares(output.summands, entries[()], symbols)
        if shares is None:
            raise loss.error(
                "returned one number in which the losses of the examples cannot be told apart; return one loss per "
                f"example, ({batch.size},), or their mean"
            )
    else:
        order = _order(entries, output.places, symbols)
        shares = [entries[at] for at in order]
    weight = output.summands.weight if scalar and output.summands is not None else None
    return Run(batch=batch, shares=tuple(reattached(share) for share in shares), scalar=scalar, weight=weight)


def _refuse_the_unset(loss: Loss, entries: Array) -> None:
    for value in entries.ravel():
        for symbol in value.free_symbols:
            if isinstance(symbol, Dummy):
                raise loss.error(f"depends on {symbol.name.replace('_', ' ')}; such a loss cannot be checked")


def _order(entries: Array, places: Places, symbols: Sequence[set[Symbol]]) -> list[int]:
    """Return where each example's loss stands; code that treats the labels apart may return them reordered."""
    found: list[int | None] = [None] * len(symbols)
    example_of = {symbol: example for example, own in enumerate(symbols) for symbol in own}
    for at, (value, place) in enumerate(zip(entries, places.tolist(), strict=True)):
        owners = {example_of[symbol] for symbol in value.free_symbols & example_of.keys()} if place < 0 else {place}
        owner = owners.pop() if len(owners) == 1 else None
        if owner is not None and found[owner] is None:
            found[owner] = at
    rest = [at for at in range(len(symbols)) if at not in found]
    for example, at in enumerate(found):
        if at is None:
            chosen = example if example in rest else rest[0]
            rest.remove(chosen)
            found[example] = chosen
    return [at for at in found if at is not None]


def _shares(summands: Summands | None, total: Expr, symbols: Sequence[set[Symbol]]) -> Sequence[Expr] | None:
    """Return each example's share of a sum over the batch; what belongs to no example is shared evenly."""
    size = len(symbols)
    if summands is not None:
        common = summands.by_example.get(NO_PLACE, sympy.S.Zero) / size
        return [summands.by_example.get(example, sympy.S.Zero) + common for example in range(size)]
    shares = [sympy.S.Zero] * size
    for part in sympy.Add.make_args(expanded(total)):
        owners = [example for example, own in enumerate(symbols) if part.free_symbols & own]
        if len(owners) > 1:
            return None
        for example in owners or range(size):
            shares[example] += part if owners else part / size
    return shares


def reattached(term: Expr) -> Expr:
    """Return the term without a detach around what does not depend on theta anyway (kl comes detached)."""

    def bare(value: Expr) -> Expr:
        free = not any(symbol.name.startswith("policy_") for symbol in value.free_symbols)
        return value if free else detach(value)

    return term.replace(detach, bare) if term.has(detach) else term
