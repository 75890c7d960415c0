"""From a loss's real code to exact expressions: every operation is run on symbols instead of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sympy import Expr, Pow, Symbol
from sympy.core.relational import Relational

from halotheory.contract import Loss
from halotheory.domains import domain_symbol
from halotheory.errors import HaloTheoryError
from halotheory.tracing.batches import LABELS, BatchTerm, Reduction, Terms, TokenTerm, batch_terms, token_terms
from halotheory.tracing.operations import detach, exact
from halotheory.tracing.symbolic import NeedsValueError
from halotheory.tracing.symbols import argument_symbol, hyperparameter_symbol, token_symbol

__all__ = [
    "LABELS",
    "BatchTerm",
    "TokenTerm",
    "Traced",
    "argument_symbol",
    "hyperparameter_symbol",
    "token_symbol",
    "trace",
]

_TAKEN = {"z", "log_ratio", "chosen_log_ratio", "rejected_log_ratio"}


@dataclass(frozen=True, kw_only=True)
class Traced:
    """The loss of one example, as exact expressions.

    Attributes:
        loss: what was traced.
        terms: the example's loss by label: `desirable` and `undesirable`, or `example` where labels do not matter.
        symbols: the symbol of each tensor argument, for the example; at token level, of each token's (by its own name).
        hyperparameters: each hyperparameter's symbol, or its exact value where the code needs a number.
        notes: what the reader should know, such as hyperparameters that could not stay symbolic.
        batches: by label, the loss of one example in batches of 2, 3 and 4; empty where its batch does not matter
            (where it does, `terms` holds those of a largest batch). Batches in which the code yields NaN are absent.
        crowds: the same in some batches of up to 128, in which most examples have the same arguments.
        tokens: the loss of one completion under several masks; empty where the loss is not token-level.
        domains: what is known of the symbolic hyperparameters beyond the assumptions of their symbols.
        reduction: how the code's result comes from the terms: one per example, or their mean or sum.
        shared_kl: whether the loss makes one `kl` for all of those that it is given for each example.
    """

    loss: Loss
    terms: Mapping[str, Expr]
    symbols: Mapping[str, Symbol]
    hyperparameters: Mapping[str, Expr]
    notes: Sequence[str]
    batches: Mapping[str, Sequence[BatchTerm]] = field(default_factory=dict)
    crowds: Mapping[str, Sequence[BatchTerm]] = field(default_factory=dict)
    tokens: Sequence[TokenTerm] = ()
    domains: Sequence[Relational] = ()
    reduction: Reduction = "none"
    shared_kl: bool = False

    @property
    def detaches(self) -> bool:
        """Whether the loss holds something constant that moves with theta, as weights often are."""
        terms = [*self.terms.values(), *(token.term for token in self.tokens)]
        parts = (part for term in terms for part in term.atoms(detach))
        return any(symbol.name.startswith("policy_") for part in parts for symbol in part.free_symbols)


def trace(loss: Loss) -> Traced:
    """Return what `loss` computes for one example.

    Raises:
        HaloTheoryError: an operation that is not understood, a branch on the data, randomness, an example whose
            loss depends on its place in the batch; each with its line.
    """
    for name in loss.hyperparameters:
        if name in _TAKEN:
            raise loss.error(f"has a hyperparameter '{name}', a name that the construction uses; rename it")
    numeric = {name for name, value in loss.hyperparameters.items() if value <= 0 and name not in loss.domains}
    noted: set[str] = set()
    while True:
        hyperparameters, domains = _hyperparameters(loss, numeric)
        try:
            terms = _terms(loss, hyperparameters)
            _need_whole_exponents(terms, loss)
        except NeedsValueError as need:
            numeric |= need.names
            noted |= need.names
            continue
        except HaloTheoryError:
            left = set(loss.hyperparameters) - numeric
            if not left or not _works_with_numbers(loss):
                raise
            numeric |= left
            noted |= left
            continue
        break
    notes = [f"the code needs the value of {name}: traced at {loss.hyperparameters[name]:g}" for name in noted]
    return Traced(
        loss=loss,
        terms=terms.by_label,
        symbols=_symbols(loss),
        hyperparameters=hyperparameters,
        notes=sorted(notes),
        batches=terms.batches,
        crowds=terms.crowds,
        tokens=terms.tokens,
        domains=domains,
        reduction=terms.reduction,
        shared_kl=terms.shared_kl,
    )


def _hyperparameters(loss: Loss, numeric: set[str]) -> tuple[dict[str, Expr], list[Relational]]:
    hyperparameters: dict[str, Expr] = {}
    domains: list[Relational] = []
    for name, value in loss.hyperparameters.items():
        if name in numeric:
            hyperparameters[name] = exact(value)
        else:
            hyperparameters[name], known = domain_symbol(name, loss.domains.get(name))
            domains += known
    return hyperparameters, domains


def _terms(loss: Loss, hyperparameters: Mapping[str, Expr]) -> Terms:
    return (token_terms if loss.kind == "token" else batch_terms)(loss, hyperparameters)


def _need_whole_exponents(terms: Terms, loss: Loss) -> None:
    """Ask for the value of a whole exponent over what may be negative: (-2)**n is real for whole n alone."""
    everything = [*terms.by_label.values(), *(token.term for token in terms.tokens)]
    whole = {name for name, value in loss.hyperparameters.items() if float(value).is_integer()}
    for power in {power for term in everything for power in term.atoms(Pow) if power.exp.is_Symbol}:
        if str(power.exp) in whole and not power.base.is_nonnegative and power.base.free_symbols - {power.exp}:
            raise NeedsValueError({str(power.exp)})


def _works_with_numbers(loss: Loss) -> bool:
    """Whether the code can be followed with every hyperparameter at its value: it may want Python numbers."""
    try:
        _terms(loss, {name: exact(value) for name, value in loss.hyperparameters.items()})
    except HaloTheoryError:
        return False
    return True


def _symbols(loss: Loss) -> dict[str, Symbol]:
    names = [name for name in loss.arguments if name not in {"desirable", "mask"}]
    if loss.kind != "token":
        return {name: argument_symbol(name, 0) for name in names}
    return {token_symbol(name, t).name: token_symbol(name, t) for name in names for t in range(3)}
