"""The loss of one example, whatever else is in its batch, or else by what is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from sympy import Expr, Rational, Symbol

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.tracing.evaluate import evaluate
from halotheory.tracing.operations import expanded
from halotheory.tracing.running import Batch, Run, run
from halotheory.tracing.symbols import argument_symbol

Reduction = Literal["none", "mean", "sum"]
LABELS = ("desirable", "undesirable")

_SIZES = (2, 3, 4)
_POINTS, _SCALES, _ROUNDING = 4, (0.5, 5.0, 60.0, 3e3), 1e-15
_PATTERNS = ("TF", "FT", "TT", "FF", "FFT", "TTF", "T", "F", "TFFTTFTF")
_PLAIN_SIZES = (2, 3, 1, 8)
_LARGE = ("TTFFF", "FTFTF")
_MASKS = ("T", "TT", "TTF", "TFT", "TTT")
_NEIGHBOURS = (("T", "T"), ("TT", "TF"), ("TTF", "TTT"))


@dataclass(frozen=True, kw_only=True)
class BatchTerm:
    """The loss of one example in a batch whose other examples matter to it.

    Attributes:
        labels: whether each example is desirable, the example's own label first, then the other examples'
            (desirable ones first); None where the loss has no labels.
        size: the number of examples.
        term: the own arguments are those of example 0, the others' carry _1, _2, ... as `argument_symbol` names them.
    """

    labels: tuple[bool, ...] | None
    size: int
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
class Terms:
    """An example's loss by label, or by what its batch or its tokens are."""

    by_label: Mapping[str, Expr]
    reduction: Reduction
    batches: Mapping[str, Sequence[BatchTerm]]
    tokens: Sequence[TokenTerm] = ()


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One example of one run: its label, those of the others, and its loss, the own symbols being example 0's."""

    own: bool | None
    others: tuple[bool, ...] | None
    size: int
    term: Expr


def batch_terms(loss: Loss, hyperparameters: Mapping[str, Expr]) -> Terms:
    """Return an example's loss by label, in all batches, or in each of several where the others matter.

    Raises:
        HaloTheoryError: the example's place in the batch matters, or the size of the batch alone; two runs differ;
            the loss is NaN.
    """

    def run_on(pattern: str) -> Run:
        labels = tuple(label == "T" for label in pattern) if loss.needs_labels else None
        return run(loss, Batch(size=len(pattern), labels=labels), hyperparameters)

    patterns = _PATTERNS if loss.needs_labels else tuple("T" * size for size in _PLAIN_SIZES)
    runs = [one for one in (_attempt(run_on, pattern) for pattern in patterns) if one is not None]
    terms = _independent(loss, runs) or _dependent(loss, run_on)
    _refuse_memory(loss, runs[0], run_on(patterns[0]))
    return terms


def _refuse_memory(loss: Loss, first: Run, last: Run) -> None:
    """See that the first run can be repeated after all others.

    Raises:
        HaloTheoryError: it cannot.
    """
    if first != last:
        raise loss.error("two runs on the same input differ; a loss that draws or remembers cannot be checked")


def _attempt(run_on: Callable[[str], Run], pattern: str) -> Run | None:
    """Return the run; None where a batch of one, which not every loss allows, is refused."""
    if len(pattern) > 1:
        return run_on(pattern)
    try:
        return run_on(pattern)
    except HaloTheoryError:
        return None


def _independent(loss: Loss, runs: Sequence[Run]) -> Terms | None:
    """Return an example's loss by label where it is the same in all batches, up to a constant."""
    reductions: tuple[Reduction, ...] = ("mean", "sum") if runs[0].scalar else ("none",)
    for reduction in reductions:
        cases = [case for one in runs for case in _cases(loss, one, reduction)]
        if any(case.term.free_symbols & _foreign(loss, case.size) for case in cases):
            return None
        by_label: dict[str, Expr] = {}
        for label in LABELS if loss.needs_labels else ("example",):
            own = [case for case in cases if case.own is None or case.own == (label == "desirable")]
            if not own:
                raise loss.error("is NaN for every value of its arguments")
            alone = [case for case in own if case.others is None or all(other == case.own for other in case.others)]
            first = (alone or own)[0].term  # of a batch of its own label: a mean's constants are then this label's
            if all(_same(first, case.term, loss) for case in own):
                by_label[label] = first
        if len(by_label) == (2 if loss.needs_labels else 1):
            return Terms(by_label=by_label, reduction=reduction, batches={})
    return None


def _dependent(loss: Loss, run_on: Callable[[str], Run]) -> Terms:
    """Return an example's loss in batches of 2, 3 and 4 by the labels of the others."""
    runs = [run_on(pattern) for pattern in _placements(loss)]
    reduction = _reduction(runs)
    cases: dict[tuple[bool | None, tuple[bool, ...] | None, int], list[_Case]] = {}
    for one in runs:
        for case in _cases(loss, one, reduction):
            cases.setdefault((case.own, case.others, case.size), []).append(case)
    for alike in cases.values():
        _refuse_places(loss, alike)
    batches: dict[str, list[BatchTerm]] = {}
    for (own, others, size), alike in cases.items():
        if size <= max(_SIZES):
            label = "example" if own is None else LABELS[0] if own else LABELS[1]
            labels = None if own is None or others is None else (own, *others)
            batches.setdefault(label, []).append(BatchTerm(labels=labels, size=size, term=alike[0].term))
    if len(batches) < (2 if loss.needs_labels else 1):
        raise loss.error("is NaN for every value of its arguments")
    if all(_same_up_to_a_constant(terms[0].term, term.term, loss) for terms in batches.values() for term in terms):
        raise loss.error("the loss of one example changes with the size of its batch; such a loss cannot be checked")
    by_label = {label: terms[-1].term for label, terms in batches.items()}
    return Terms(by_label=by_label, reduction=reduction, batches=batches)


def _placements(loss: Loss) -> Iterator[str]:
    """Yield batches of 2, 3 and 4 with every number of desirable examples, in several orders, and larger ones."""
    if not loss.needs_labels:
        yield from ("T" * size for size in (*_SIZES, max(_SIZES) + 1))
        return
    for size in _SIZES:
        for desirable in range(size, -1, -1):
            pattern = "T" * desirable + "F" * (size - desirable)
            yield from dict.fromkeys((pattern, pattern[::-1]))
    yield from ("TFT", "FTF", *_LARGE)


def _reduction(runs: Sequence[Run]) -> Reduction:
    """Return how the code's number comes from the losses of a batch: a mean's weights shrink with the batch."""
    weights = {one.batch.size: one.weight for one in runs if not one.undefined and one.weight is not None}
    if not runs[0].scalar:
        return "none"
    return "sum" if len(weights) > 1 and len(set(weights.values())) == 1 else "mean"


def _cases(loss: Loss, one: Run, reduction: Reduction) -> Iterator[_Case]:
    """Yield the loss of each example of a run, its own symbols renamed to the first example's."""
    size, labels = one.batch.size, one.batch.labels
    for example, share in enumerate(one.shares):
        others = [other for other in range(size) if other != example]
        if labels is not None:
            others.sort(key=lambda other: not labels[other])
        names = {
            argument_symbol(name, at): argument_symbol(name, new)
            for name in _own(loss)
            for new, at in enumerate([example, *others])
        }
        yield _Case(
            own=None if labels is None else labels[example],
            others=None if labels is None else tuple(labels[other] for other in others),
            size=size,
            term=(share * size if reduction == "mean" else share).xreplace(names),
        )


def _own(loss: Loss) -> list[str]:
    return [name for name in loss.arguments if name not in {"desirable", "kl"}]


def _foreign(loss: Loss, size: int) -> set[Symbol]:
    return {argument_symbol(name, example) for name in _own(loss) for example in range(1, size)}


def _same(one: Expr, other: Expr, loss: Loss) -> bool:
    """Whether two terms are the same up to a constant, or else in form only different."""
    return _same_up_to_a_constant(one, other, loss) or _equal_at_points(one, other)


def _same_up_to_a_constant(one: Expr, other: Expr, loss: Loss) -> bool:
    """Whether two terms are the same but for what is free of every argument, as a mean's constants may be."""
    if one == other:
        return True
    difference = expanded(one - other)
    return {symbol.name for symbol in difference.free_symbols} <= set(loss.hyperparameters)


def _refuse_places(loss: Loss, alike: Sequence[_Case]) -> None:
    """See that the example's place and the order of the others do not matter.

    Raises:
        HaloTheoryError: they do.
    """
    first = alike[0]
    others = first.others or (True,) * (first.size - 1)
    swaps = [
        {
            argument_symbol(name, at): argument_symbol(name, to)
            for name in _own(loss)
            for at, to in ((i, i + 1), (i + 1, i))
        }
        for i, (one, other) in enumerate(pairwise(others), 1)
        if one == other
    ]
    variants = [case.term for case in alike[1:]] + [first.term.xreplace(swap) for swap in swaps]
    if not all(_same(first.term, term, loss) for term in variants):
        raise loss.error(
            "the loss of one example depends on the others of its batch and on its place among them; "
            "such a loss cannot be checked"
        )


def _equal_at_points(one: Expr, other: Expr) -> bool:
    """Whether two terms agree at random points of several scales; orders of a sum differ in form only."""
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    generator = np.random.default_rng(0)
    for scale in _SCALES:
        for _ in range(_POINTS):
            sizes = scale * generator.random(len(symbols))
            point = {s: -float(x) if s.is_nonpositive else float(x) for s, x in zip(symbols, sizes, strict=True)}
            found, expected = evaluate(one, point).value, evaluate(other, point).value
            if abs(found - expected) > _ROUNDING * max(1.0, abs(expected)):
                return False
    return True


def token_terms(loss: Loss, hyperparameters: Mapping[str, Expr]) -> Terms:
    """Return a completion's loss under several masks: truth values, or ones and zeros where the code takes no others.

    Raises:
        HaloTheoryError: the other completions of the batch matter; two runs differ; the loss is NaN.
    """
    try:
        return _token_terms(loss, hyperparameters, bool_mask=True)
    except HaloTheoryError as error:
        try:
            return _token_terms(loss, hyperparameters, bool_mask=False)
        except HaloTheoryError:
            raise error from None


def _token_terms(loss: Loss, hyperparameters: Mapping[str, Expr], *, bool_mask: bool) -> Terms:
    def run_on(*masks: str) -> Run:
        shown = tuple(tuple(token == "T" for token in mask) for mask in masks)  # noqa: S105 - no password
        return run(loss, Batch(size=len(masks), masks=shown), hyperparameters, bool_mask=bool_mask)

    runs = {mask: run_on(mask) for mask in _MASKS}
    for mask, other in _NEIGHBOURS:
        _refuse_neighbours(loss, runs[mask], run_on(mask, other))
    _refuse_memory(loss, runs[_MASKS[0]], run_on(_MASKS[0]))
    tokens = [
        TokenTerm(mask=one.batch.masks[0], term=one.shares[0])
        for one in runs.values()
        if one.batch.masks and one.shares
    ]
    if runs["TT"].undefined:
        raise loss.error("is NaN for every value of its arguments")
    by_label = {"example": runs["TT"].shares[0]}
    return Terms(by_label=by_label, reduction="mean" if runs["TT"].scalar else "none", batches={}, tokens=tokens)


def _refuse_neighbours(loss: Loss, alone: Run, both: Run) -> None:
    """See that a completion's loss does not change with a second one beside it; in a mean over tokens, its weight may.

    Raises:
        HaloTheoryError: it does change.
    """
    if alone.undefined or both.undefined:
        return
    term, beside = alone.shares[0], both.shares[0]
    assert both.batch.masks is not None
    counts = [sum(mask) for mask in both.batch.masks]
    weights = [Rational(1), Rational(1, 2), Rational(counts[0], sum(counts))] if both.scalar else [Rational(1)]
    if not any(_same_up_to_a_constant(weight * term, beside, loss) for weight in weights):
        raise loss.error("the loss of one completion depends on the others of its batch; not analysed yet")
