"""Which examples each built-in loss ignores: what its pull on log pi(y|x) tends to as the reward leaves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sympy
from sympy import Dummy, Expr, Rational, Symbol, exp, log

import halotheory.losses
from halotheory.contract import load_loss
from halotheory.deadline import time_limit
from halotheory.findings import Status
from halotheory.proving.germs import OpenError, gathered, leading, limit, on_the_tail
from halotheory.proving.shape import Z
from halotheory.reading.forms import Example, examples, reference_free
from halotheory.reading.outputs import Output, by_value
from halotheory.reading.token_level import sequence_examples
from halotheory.tracing.operations import detach, exact
from halotheory.tracing.trace import Traced, trace

_PATIENCE = 5.0  # seconds for one limit
_LONGEST = 40  # characters of a limit in a table
_HELD = Rational(-1)  # nats, the log-ratio of outputs that are held where their values matter
_LOG_POLICY = Symbol("logp", negative=True)
_ADVANTAGE = Symbol("advantage", positive=True)


@dataclass(frozen=True, kw_only=True)
class Tail:
    """What the pull tends to on one side.

    Attributes:
        status: proved that it tends to 0, refuted (it tends to something else), or undecided.
        limit: what it tends to, a SymPy-readable expression, `oo` or `-oo`; None if open.
        where: what was taken for other outputs and hyperparameters.
    """

    status: Status
    limit: str | None
    where: str

    def __str__(self) -> str:
        """Return the limit, or in a word where it is long."""
        if self.limit is None:
            return "open"
        if len(self.limit) <= _LONGEST:
            return self.limit
        return "not 0, by the other outputs" if "log_ratio" in self.limit else "not 0"


@dataclass(frozen=True, kw_only=True)
class Pull:
    """How strongly a loss pulls on log pi(y|x) of one kind of output: minus the derivative of the example's loss.

    Attributes:
        loss: its name.
        output: chosen, rejected, desirable, undesirable, "every", or by the sign of the advantage.
        gains: as r -> +oo; for a loss without pi_ref, as pi(y|x) -> 1.
        losses: as r -> -oo.
        reference_free: whether the loss has no pi_ref.
    """

    loss: str
    output: str
    gains: Tail
    losses: Tail
    reference_free: bool

    @property
    def ignores(self) -> str:
        """At which ends the output is ignored."""
        ends = [words for words, tail in (("+oo", self.gains), ("-oo", self.losses)) if tail.status is Status.PROVED]
        return "both" if len(ends) == 2 else ends[0] if ends else "neither"

    @property
    def where(self) -> str:
        """What was taken for other outputs and hyperparameters, at both ends."""
        if self.gains.where == self.losses.where:
            return self.gains.where
        return f"r rises: {self.gains.where}; r falls: {self.losses.where}"


def ignored_examples(names: Sequence[str] | None = None) -> list[Pull]:
    """Return the pulls of built-in losses, the paper's Proposition 2 asked of each.

    The derivative is taken with all that is detached, z0 among it, held; then what is detached moves with r.

    Args:
        names: some of them; by default all.
    """
    return [pull for name in (halotheory.losses.__all__ if names is None else names) for pull in _pulls(name)]


def _pulls(name: str) -> Iterator[Pull]:
    traced = trace(load_loss(name))
    terms = sequence_examples(traced) if traced.loss.kind == "token" else examples(traced)
    first = {example.label: example for example in reversed(terms)}  # in the smallest batch
    for label in dict.fromkeys(example.label for example in terms):
        example = first[label]
        for output in (each for each in example.among if each.own):
            for words, context in _contexts(traced, output.role or (label if label != "example" else "every")):
                pull = _pull(example, output).xreplace(dict(context))
                gains, losses = (_tail(pull, turns, traced, example, output) for turns in _ends(pull, traced, output))
                free = reference_free(traced)
                yield Pull(loss=name, output=words, gains=gains, losses=losses, reference_free=free)


def _contexts(traced: Traced, output: str) -> list[tuple[str, Mapping[Symbol, Expr]]]:
    """Return the cases that the sign of the advantage makes, where there is one."""
    advantage = traced.symbols.get("advantages_t0")
    if advantage is None:
        return [(output, {})]
    return [("advantage > 0", {advantage: _ADVANTAGE}), ("advantage < 0", {advantage: -_ADVANTAGE})]


def _pull(example: Example, output: Output) -> Expr:
    """Return minus the derivative of the example's loss by the log-ratio of an output."""
    held: dict[Expr, Symbol] = {}
    term = example.term.replace(detach, lambda value: held.setdefault(value, Dummy("held", real=True)))
    slope = -sympy.diff(term, output.log_ratio)
    return by_value(slope.xreplace({symbol: value for value, symbol in held.items()}))


Turn = Mapping[Symbol, Expr]
"""What stands for symbols so that an end is reached as `Z` grows."""


def _ends(pull: Expr, traced: Traced, output: Output) -> tuple[list[Turn], list[Turn]]:
    """Return the ways to let r leave upwards and downwards; those after the first make other terms simple."""
    down: list[Turn] = [{output.log_ratio: -Z}]
    if any(part.exp.has(exp) for part in pull.atoms(exp)):
        down += [{output.log_ratio: -log(Z)}, {output.log_ratio: -2 * log(Z)}]
    if reference_free(traced):
        certain = log(1 - exp(-Z))
        return [{output.log_ratio: output.length * certain}, {output.log_ratio: certain}], down
    if output.reference in pull.free_symbols:  # pi(y|x) stays, pi_ref(y|x) vanishes
        return [{output.log_ratio: Z, output.reference: _LOG_POLICY - Z}], down
    return [{output.log_ratio: Z}], down


def _tail(pull: Expr, turns: Sequence[Turn], traced: Traced, example: Example, output: Output) -> Tail:
    """Return the limit, with as little as possible held at numbers."""
    for where, numbers in _held(traced, example, output):
        for turn in turns:
            turned = pull.xreplace(dict(turn)).subs(dict(numbers))
            try:
                with time_limit(_PATIENCE):
                    found = _limit(turned)
            except (OpenError, sympy.PolynomialError, TimeoutError):
                continue
            return Tail(status=Status.PROVED if found == 0 else Status.REFUTED, limit=str(found), where=where)
    return Tail(status=Status.UNDECIDED, limit=None, where="tried the leading term")


def _limit(turned: Expr) -> Expr:
    tail = on_the_tail(turned, Z)
    try:
        return sympy.cancel(limit(leading(tail, Z), Z))
    except OpenError:
        return sympy.cancel(limit(leading(gathered(tail), Z), Z))


def _held(traced: Traced, example: Example, output: Output) -> list[tuple[str, Mapping[Symbol, Expr]]]:
    """Return what may be put in: nothing, the hyperparameters as set, and the other outputs at one place."""
    settings = {
        symbol: exact(traced.loss.hyperparameters[name])
        for name, symbol in traced.hyperparameters.items()
        if isinstance(symbol, Symbol)
    }
    others = [each for each in example.among if each != output]
    free = reference_free(traced)
    places: dict[Symbol, Expr] = {each.log_ratio: -each.length * log(2) if free else _HELD for each in others}
    lengths = {each.length: sympy.S.One for each in example.among}
    short = {symbol: place.xreplace(lengths) for symbol, place in places.items()}
    words = "other outputs at 1/2 per token" if free else f"other outputs at log-ratio {_HELD}"
    return [
        ("every hyperparameter > 0", {}),
        ("hyperparameters as set", settings),
        (f"every hyperparameter > 0, {words}", places),
        (f"hyperparameters as set, {words}", {**settings, **places}),
        (f"hyperparameters as set, {words}, of one token", {**settings, **short, **lengths}),
    ]
