"""The loss of one example, whatever else is in its batch, or else by what is."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Literal

import numpy as np
from sympy import Expr, Rational, Symbol

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.tracing.evaluate import evaluate
from halotheory.tracing.operations import expanded
from halotheory.tracing.running import Batch, Run, run
from halotheory.tracing.symbols import argument_symbol, kl_symbol

Reduction = Literal["none", "mean", "sum"]
LABELS = ("desirable", "undesirable")

_Given = tuple[Symbol, Sequence[Symbol], Callable[[Sequence[float]], float]]

_SIZES = (2, 3, 4)
_POINTS, _SCALES, _ROUNDING = 4, (0.5, 5.0, 60.0, 3e3), 1e-15
_PATTERNS = ("TF", "FT", "TT", "FF", "FFT", "TTF", "T", "F", "TFFTTFTF")
_PLAIN_SIZES = (2, 3, 1, 8)
_LARGE = ("TTFFF", "FTFTF")
_CROWDS = ((5, 0.5), (16, 0.0), (16, 1.0), (33, 0.5), (128, 0.5))  # size, share of desirable ones in the others
_DISTINCT = 2  # of the others, for each label: further ones in a crowd have the arguments of the last of these
_KL_PATTERNS = ("TF", "FTF")
_LARGEST_DENOMINATOR = 10**4
_FEW = 4  # completions of a batch whose arguments differ from all others'

COMPLETIONS = (
    *((mask,) for mask in ("T", "TT", "TF", "FT", "TTF", "TFT", "TTT")),
    ("T", "T"),
    ("TT", "TF"),
    ("TTF", "TTT"),
    ("TF", "TT", "FT", "TT", "TT"),
    ("TT", "TF", "TT") * 11,
)
"""The masks of the batches that a token-level loss is run on, each completion alone first."""

_LONG = (7, 8, 9, 17, 40, 130)  # tokens


@dataclass(frozen=True, kw_only=True)
class BatchTerm:
    """The loss of one example in a batch whose other examples matter to it.

    Attributes:
        labels: whether each example is desirable, the example's own label first, then the other examples'
            (desirable ones first); None where the loss has no labels.
        size: the number of examples.
        term: the own arguments are those of example 0, the others' carry _1, _2, ... as `argument_symbol` names them.
        counts: how many examples have the arguments of example 0, 1, ..., where some have the same.
    """

    labels: tuple[bool, ...] | None
    size: int
    term: Expr
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TokenTerm:
    """The loss of one completion of a token-level loss.

    Attributes:
        mask: which of its tokens count.
        term: of `policy_token_logps_t0`, ..., as `token_symbol` names them; with numbers for most of a long one's.
        others: the masks of the other completions in the batch.
    """

    mask: tuple[bool, ...]
    term: Expr
    others: tuple[tuple[bool, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Terms:
    """An example's loss by label, or by what its batch or its tokens are; whether it sees but a common `kl`."""

    by_label: Mapping[str, Expr]
    reduction: Reduction
    batches: Mapping[str, Sequence[BatchTerm]]
    crowds: Mapping[str, Sequence[BatchTerm]] = field(default_factory=dict)
    tokens: Sequence[TokenTerm] = ()
    shared_kl: bool = False


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
    terms = _independent(loss, runs)
    if terms is None:
        _refuse_memory(loss, runs[0], run_on(patterns[0]))  # before the batch is blamed for what is random
        terms = _dependent(loss, run_on, hyperparameters)
    if loss.needs_kl:
        terms = replace(terms, shared_kl=_shares_kl(loss, hyperparameters, terms))
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


def _dependent(loss: Loss, run_on: Callable[[str], Run], hyperparameters: Mapping[str, Expr]) -> Terms:
    """Return an example's loss by the labels of the others, in all batches of 2, 3 and 4 and in some large ones."""
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
    crowds: dict[str, list[BatchTerm]] = {}
    for label, found in _crowded(loss, hyperparameters, reduction):
        crowds.setdefault(label, []).append(found)
    return Terms(by_label=by_label, reduction=reduction, batches=batches, crowds=crowds)


def _crowded(loss: Loss, hyperparameters: Mapping[str, Expr], reduction: Reduction) -> Iterator[tuple[str, BatchTerm]]:
    """Yield an example's loss, by label, in batches of up to 128, most of whose examples repeat a few others.

    Raises:
        HaloTheoryError: the example's place in the batch matters.
    """
    for own, (size, share) in product((True, False) if loss.needs_labels else (True,), _CROWDS):
        desirable = round(share * (size - 1))
        others = [(True, 1 + min(at, _DISTINCT - 1)) for at in range(desirable)]
        before = 1 + min(desirable, _DISTINCT)
        others += [(False, before + min(at, _DISTINCT - 1)) for at in range(size - 1 - desirable)]
        counts = Counter(at for _, at in others)
        found = []
        for examples in ([(own, 0), *others], [*others, (own, 0)]):
            labels, alike = zip(*examples, strict=True)
            batch = Batch(size=size, labels=labels if loss.needs_labels else None, alike=alike)
            one = run(loss, batch, hyperparameters)
            found += [one.shares[alike.index(0)] * (size if reduction == "mean" else 1)] if not one.undefined else []
        if any(not _same(found[0], term, loss) for term in found[1:]):
            raise _place_matters(loss)
        for term in found[:1]:
            label = "example" if not loss.needs_labels else LABELS[0] if own else LABELS[1]
            told = (own, *(other for other, _ in others)) if loss.needs_labels else None
            yield (
                label,
                BatchTerm(labels=told, size=size, term=term, counts=(1, *(counts[at] for at in sorted(counts)))),
            )


def _shares_kl(loss: Loss, hyperparameters: Mapping[str, Expr], terms: Terms) -> bool:
    """Return whether a `kl` given for each example is reduced to one for all: their mean, largest or smallest.

    Where the code takes only one for all, there is nothing to reduce.

    Raises:
        HaloTheoryError: it is used otherwise, as a sum is, which changes with the number of examples.
    """
    uses: list[set[str]] = []
    for pattern in _KL_PATTERNS:
        labels = tuple(label == "T" for label in pattern) if loss.needs_labels else None
        try:
            one = run(loss, Batch(size=len(pattern), labels=labels, kl_of_each=True), hyperparameters)
        except HaloTheoryError:
            return False
        for at, case in enumerate(_cases(loss, one, terms.reduction)):
            expected = _expected(terms, case)
            if expected is not None:
                uses.append(_uses_of_kl(case.term, expected, at, case.size))
    common = set.intersection(*uses) if uses else {"own"}
    if not common:
        raise loss.error(
            "treats a kl for each example otherwise than one kl for all of them; kl may be a scalar or (batch,): "
            "use the example's own, or their mean"
        )
    return "own" not in common


def _expected(terms: Terms, case: _Case) -> Expr | None:
    """Return the term that was found for such an example with one `kl` for all; None where the code yields NaN."""
    label = "example" if case.own is None else LABELS[0] if case.own else LABELS[1]
    if not terms.batches:
        return terms.by_label[label]
    labels = None if case.own is None or case.others is None else (case.own, *case.others)
    return next((part.term for part in terms.batches[label] if (part.labels, part.size) == (labels, case.size)), None)


def _uses_of_kl(term: Expr, expected: Expr, at: int, size: int) -> set[str]:
    """Return what a `kl` for each example may be reduced to in a term, as its values at random points tell."""
    common, each = argument_symbol("kl", 0), [kl_symbol(example) for example in range(size)]
    reduced: Mapping[str, Callable[[Sequence[float]], float]] = {
        "own": lambda values: values[at],
        "mean": lambda values: math.fsum(values) / size,
        "largest": max,
        "smallest": min,
    }
    return {name for name, reduce in reduced.items() if _equal_at_points(term, expected, given=(common, each, reduce))}


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
        raise _place_matters(loss)


def _place_matters(loss: Loss) -> HaloTheoryError:
    return loss.error(
        "the loss of one example depends on the others of its batch and on its place among them; "
        "such a loss cannot be checked"
    )


def _equal_at_points(one: Expr, other: Expr, given: _Given | None = None) -> bool:
    """Whether two terms agree at random points of several scales; orders of a sum differ in form only.

    Args:
        one: a term.
        other: another.
        given: a symbol of the other term, the symbols of the first that tell its value, and how.
    """
    symbols = sorted(one.free_symbols | other.free_symbols | set(given[1] if given else ()), key=str)
    generator = np.random.default_rng(0)
    for scale in _SCALES:
        for _ in range(_POINTS):
            sizes = scale * generator.random(len(symbols))
            point = {s: -float(x) if s.is_nonpositive else float(x) for s, x in zip(symbols, sizes, strict=True)}
            if given is not None:
                point[given[0]] = given[2]([point[symbol] for symbol in given[1]])
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
        shown = tuple(tuple(letter == "T" for letter in mask) for mask in masks)
        alike = tuple(min(row, _FEW) for row in range(len(masks)))
        return run(loss, Batch(size=len(masks), masks=shown, alike=alike), hyperparameters, bool_mask=bool_mask)

    def run_long(size: int) -> Run:
        places = (0, 1, size // 2, size - 1)
        batch = Batch(size=1, masks=((True,) * size,), tokens=places)
        return run(loss, batch, hyperparameters, bool_mask=bool_mask)

    runs = {masks: run_on(*masks) for masks in COMPLETIONS}
    short, twice = runs["TT",], run_on("TT", "TT")
    if short.undefined:
        raise loss.error("is NaN for every value of its arguments")
    reduction: Reduction = "none"
    if short.scalar:
        reduction = "sum" if _same_up_to_a_constant(short.shares[0], twice.shares[0], loss) else "mean"
    tokens: list[TokenTerm] = []
    for one in (*runs.values(), *map(run_long, _LONG)):
        for found in _of_completions(loss, one, reduction):
            _refuse_neighbours(loss, found, tokens)
            tokens.append(found)
    _refuse_memory(loss, runs[COMPLETIONS[0]], run_on(*COMPLETIONS[0]))
    return Terms(by_label={"example": short.shares[0]}, reduction=reduction, batches={}, tokens=tokens)


def _of_completions(loss: Loss, one: Run, reduction: Reduction) -> Iterator[TokenTerm]:
    """Yield the loss of each completion of a run, its symbols renamed to the first example's."""
    masks = one.batch.masks
    assert masks is not None
    first, *_ = every = one.batch.symbols(loss)
    for at, (share, symbols) in enumerate(zip(one.shares, every, strict=False)):
        names = {symbol: first[name] for name, symbol in symbols.items()}
        term = (share * one.batch.size if reduction == "mean" else share).xreplace(names)
        yield TokenTerm(mask=masks[at], term=term, others=(*masks[:at], *masks[at + 1 :]))


def _refuse_neighbours(loss: Loss, found: TokenTerm, known: Sequence[TokenTerm]) -> None:
    """See that other completions of the batch change a completion's loss by no more than a positive factor.

    Raises:
        HaloTheoryError: they do.
    """
    alike = [one.term for one in known if one.mask == found.mask]
    if not found.others or not alike or found.term in alike:
        return
    weight = _weight(found.term, alike[0])
    if weight is None or not _same(weight * alike[0], found.term, loss):
        raise loss.error("the loss of one completion depends on the others of its batch; not analysed yet")


def _weight(one: Expr, other: Expr) -> Expr | None:
    """Return the positive fraction that the changes of two terms are in at random places; None where there is none."""
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    generator = np.random.default_rng(0)
    for _ in range(_POINTS):
        points = [
            {s: -float(x) if s.is_nonpositive else float(x) for s, x in zip(symbols, row, strict=True)}
            for row in generator.random((2, len(symbols)))
        ]
        step, by = (evaluate(term, points[0]).value - evaluate(term, points[1]).value for term in (one, other))
        if step != 0 or by != 0:
            found = step * by > 0 and math.isfinite(step / by)
            return Rational(Fraction(step / by).limit_denominator(_LARGEST_DENOMINATOR)) if found else None
    return None
