"""Is this loss a HALO? From a loss to a verdict, stage by stage."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy
from sympy import Expr, Symbol
from torch import Tensor

from halotheory.agreement import check_agreement
from halotheory.contract import Loss, load_loss, loss_of
from halotheory.decompose import Decomposition, decompose
from halotheory.findings import Construction, Finding, Status, Verdict, VerdictWord
from halotheory.matching import Match, match
from halotheory.nonnegative import Deadline, time_limit
from halotheory.operations import exact
from halotheory.pieces import tidy
from halotheory.shape import Z, concave_in_gains, non_constant, non_decreasing
from halotheory.trace import Traced, trace

_HALF = sympy.Rational(1, 2)
_RATES = [sympy.Rational(n, 20) for n in (1, 2, 4, 5, 6, 8, 9)]  # of flipped labels

DEFAULT_TIMEOUT = 60.0
"""Seconds that a check may take before what is open stays undecided."""


def check(
    loss: str | Loss | Callable[..., Tensor],
    *,
    settings: Mapping[str, float] | None = None,
    strict: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
) -> Verdict:
    """Return whether a loss is a human-aware loss, with its construction or a counterexample.

    The definition is Ethayarajh et al. 2024, arXiv 2402.01306, definition 3.4, read as the documentation states.

    Args:
        loss: a built-in's name, a file or `file.py:name`, a loaded loss, or a Python function.
        settings: hyperparameters to change.
        strict: count a HALO that needs a relaxation as none.
        timeout: seconds; what is open by then stays undecided.

    Raises:
        HaloTheoryError: the loss cannot be read: the contract broken, an operation not supported.
    """
    began = time.monotonic()
    chosen = _loaded(loss).with_settings(settings or {})
    deadline = Deadline(timeout)
    traced = _read(chosen, timeout)
    values = {
        symbol: exact(chosen.hyperparameters[name])
        for name, symbol in traced.hyperparameters.items()
        if isinstance(symbol, Symbol)
    }
    parts = Decomposition.open()
    try:
        with time_limit(deadline.left()):
            parts = decompose(traced, values)
            outcome, holds_for = _decide(parts, values, deadline)
    except Exception:  # the alarm of time_limit may surface as whatever the interrupted library makes of it
        if deadline.left() > 0:
            raise
        outcome = _Outcome(word="undecided", notes=[f"no decision within the {timeout:g} s of --timeout"])
        holds_for = _as_set(values)
    if strict and (_relaxations(parts, outcome) or outcome.strictly_not):
        holds_for = _as_set(values)
    numbers = [f"{name} = {value}" for name, value in traced.hyperparameters.items() if not isinstance(value, Symbol)]
    holds_for = ", ".join([holds_for, *numbers] if values or not numbers else numbers)
    verdict = _verdict(traced, parts, outcome, holds_for, strict=strict)
    return replace(verdict, seconds=round(time.monotonic() - began, 3))


def _read(loss: Loss, timeout: float) -> Traced:
    """Return the loss as expressions that agree with running it.

    Raises:
        HaloTheoryError: it cannot be read, or not in time.
    """
    try:
        with time_limit(timeout):
            traced = trace(loss)
            check_agreement(traced)
    except TimeoutError as error:
        raise loss.error(f"could not be read within the {timeout:g} s of --timeout") from error
    return traced


def _relaxations(parts: Decomposition, outcome: "_Outcome") -> list[str]:
    return [*parts.relaxations, *outcome.relaxations] if outcome.word == "halo" else []


def _verdict(traced: Traced, parts: Decomposition, outcome: "_Outcome", holds_for: str, *, strict: bool) -> Verdict:
    """Return what was decided, in the words of the report."""
    loss, word, relaxations = traced.loss, outcome.word, _relaxations(parts, outcome)
    notes = [*traced.notes, *outcome.notes]
    if word == "halo" and loss.needs_kl:
        notes.append(
            "in training kl is a clamped estimate from mismatched outputs: then with estimated_reference_point"
        )
    if strict and (relaxations or outcome.strictly_not):
        word = "not_halo"
        notes += [f"a HALO only with {', '.join(relaxations)}, which --strict refuses"] * bool(relaxations)
    return Verdict(
        loss=loss.name,
        verdict=word,
        strict=word == "halo" and not relaxations,
        relaxations=relaxations,
        hyperparameters=loss.hyperparameters,
        holds_for=holds_for,
        construction=_construction(traced, parts, outcome) if word == "halo" else None,
        conditions=[*parts.findings, *outcome.findings],
        notes=notes,
    )


def _loaded(loss: str | Loss | Callable[..., Tensor]) -> Loss:
    if isinstance(loss, Loss):
        return loss
    return load_loss(loss) if isinstance(loss, str) else loss_of(loss)


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One way to read the loss as a * v(z) + C.

    Attributes:
        v: the value function.
        signs: a, by label; the label that v is read from comes first.
        matched: how the other label's term is v; None where there is one term.
        finding: on `single_value_function`.
        relaxations: what the reading needs.
        output: which output of a pair is y.
    """

    v: Expr
    signs: Mapping[str, int]
    matched: Match | None
    finding: Finding
    relaxations: Sequence[str]
    output: str = "chosen"


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What all readings together decide."""

    word: VerdictWord
    findings: Sequence[Finding] = ()
    reading: _Reading | None = None
    shapes: Mapping[str, Expr] | None = None
    relaxations: Sequence[str] = ()
    notes: Sequence[str] = ()
    strictly_not: bool = False


def _decide(parts: Decomposition, values: Mapping[Symbol, Expr], deadline: Deadline) -> tuple[_Outcome, str]:
    """Return the verdict at the hyperparameters as set, and for which others it holds."""
    if parts.shapes is None:
        return _without_shape(parts), _as_set(values)
    everywhere = _judge(parts.shapes, {}, values, deadline, paired=parts.paired)
    if everywhere.word == "not_halo" and parts.paired:
        everywhere = _mixture(parts.shapes, everywhere, {}, values, deadline)
    if everywhere.word == "not_halo" or (everywhere.word == "halo" and not everywhere.relaxations):
        return everywhere, _every(values)
    outcome = _judge(parts.shapes, values, values, deadline, paired=parts.paired)
    if outcome.word == "not_halo":
        mixed = _mixture(parts.shapes, outcome, values, values, deadline) if parts.paired else outcome
        return mixed, _as_set(values)
    fixed = dict(values)
    for symbol in values:  # which of them may vary, the others kept as set, without changing the verdict?
        fewer = {other: value for other, value in fixed.items() if other != symbol}
        freed = _judge(parts.shapes, fewer, values, deadline, paired=parts.paired)
        if outcome.word != "undecided" and (freed.word, freed.relaxations) == (outcome.word, outcome.relaxations):
            outcome, fixed = freed, fewer
    free = [symbol for symbol in values if symbol not in fixed]
    holds = f"{_every(free)} with {_as_set(fixed)}" if free and fixed else _every(free) if free else _as_set(values)
    if everywhere.word == "halo" and tuple(everywhere.relaxations) != tuple(outcome.relaxations):
        holds += f"; with {', '.join(everywhere.relaxations)} for {_every(values)}"
    return outcome, holds


def _without_shape(parts: Decomposition) -> _Outcome:
    """Return the verdict on a loss that is not a function of z."""
    refuted = any(finding.status is Status.REFUTED for finding in parts.findings)
    if not refuted or parts.final:
        return _Outcome(word="not_halo" if refuted else "undecided")
    note = "no HALO strictly; whether one with a modified_reference, a generalised_link or a context is not analysed"
    return _Outcome(word="undecided", strictly_not=True, notes=[note])


def _mixture(
    shapes: Mapping[str, Expr],
    strictly: _Outcome,
    fixed: Mapping[Symbol, Expr],
    values: Mapping[Symbol, Expr],
    deadline: Deadline,
) -> _Outcome:
    """Return whether a paired loss that is no HALO strictly is the expectation of one over flipped labels.

    With labels flipped at a rate e in (0, 1/2), loss(h) = (1 - e) clean(h) + e clean(-h), so that the clean loss is
    the even part of the loss plus 1 / (1 - 2e) times its odd part. A few rates are tried; refuting the clean loss
    for every positive factor in place of 1 / (1 - 2e) refutes every rate.
    """
    shape = shapes["example"]
    even, odd = (sympy.expand((shape + side * shape.subs(Z, -Z)) / 2) for side in (1, -1))
    for rate in dict.fromkeys([*(value for value in values.values() if value < _HALF), *_RATES]):
        clean = sympy.expand(even + odd / (1 - 2 * rate))
        found = _judge({"example": clean}, values, values, deadline, paired=True)
        if found.word == "halo":
            note = f"the expectation, over labels flipped at rate {rate}, of a HALO with this v"
            return replace(found, relaxations=["label_mixture", *found.relaxations], notes=[note])
    factor = sympy.Dummy("factor", positive=True)
    widened = {**values, factor: sympy.Integer(2)}
    every = _judge({"example": even + factor * odd}, fixed, widened, deadline, paired=True)
    if every.word == "not_halo":
        return strictly
    note = "no HALO strictly; whether it is a label_mixture is open"
    return replace(strictly, word="undecided", strictly_not=True, notes=[*strictly.notes, note])


def _every(symbols: Sequence[Symbol] | Mapping[Symbol, Expr]) -> str:
    return ", ".join(f"every {symbol} > 0" for symbol in symbols) or "the loss as it is"


def _as_set(values: Mapping[Symbol, Expr]) -> str:
    return ", ".join(f"{symbol} = {value}" for symbol, value in values.items()) or "the loss as it is"


def _judge(
    shapes: Mapping[str, Expr],
    fixed: Mapping[Symbol, Expr],
    values: Mapping[Symbol, Expr],
    deadline: Deadline,
    *,
    paired: bool,
) -> _Outcome:
    """Return what holds for every value of the hyperparameters that are not fixed."""
    shapes = {label: shape.subs(dict(fixed)) for label, shape in shapes.items()}
    free = {symbol: value for symbol, value in values.items() if symbol not in fixed}
    context = {symbol for shape in shapes.values() for symbol in shape.free_symbols} - {Z, *free}
    free |= dict.fromkeys(sorted(context, key=str), sympy.Integer(10))  # lengths: whatever they are
    failed: list[tuple[_Reading, list[Finding]]] = []
    for reading in _readings(shapes, free, deadline, paired=paired):
        findings = _examined(reading, free, deadline, [])
        if all(finding.status is Status.PROVED for finding in findings):
            return _Outcome(
                word="halo", findings=findings, reading=reading, shapes=shapes, relaxations=reading.relaxations
            )
        failed.append((reading, findings))
    open_ones = [pair for pair in failed if pair[1][-1].status is not Status.REFUTED]
    reading, findings = (open_ones or failed)[0]
    if not open_ones:
        findings = _examined(reading, free, deadline, findings)
    notes = [_failure(other, found) for other, found in failed if other is not reading] if not open_ones else []
    return _Outcome(word="undecided" if open_ones else "not_halo", findings=findings, reading=reading, notes=notes)


def _examined(
    reading: _Reading, free: Mapping[Symbol, Expr], deadline: Deadline, known: Sequence[Finding]
) -> list[Finding]:
    """Return the findings on a reading, up to the first refutation; beyond it where that one is `known`."""
    findings = list(known) or [reading.finding]
    if reading.finding.status is not Status.PROVED:
        return findings
    for examine in (non_decreasing, concave_in_gains, non_constant)[len(findings) - 1 :]:
        if findings[-1].status is Status.REFUTED and not known:
            break
        findings.append(examine(reading.v, free, deadline))
    return findings


def _failure(reading: _Reading, findings: Sequence[Finding]) -> str:
    guilty = next(finding for finding in findings if finding.status is Status.REFUTED)
    shown = ", ".join(f"{name} = {value}" for name, value in (guilty.witness or {}).items())
    signs = ", ".join(f"a = {a:+d} for {label} outputs" for label, a in reading.signs.items())
    if list(reading.signs) == ["example"]:
        signs = f"y the {reading.output} output, a = {reading.signs['example']:+d}"
    return f"read with {signs}: {guilty.name} refuted ({shown})"


def _readings(
    shapes: Mapping[str, Expr], free: Mapping[Symbol, Expr], deadline: Deadline, *, paired: bool
) -> Iterator[_Reading]:
    """Yield the ways to read the loss, the usual one first; in a pair, y may be either output."""
    if "example" in shapes:
        shape = shapes["example"]
        one_term = Finding(
            name="single_value_function",
            status=Status.PROVED,
            method="one term for all examples",
            statement="every example's loss is a v(z) + C with the same v",
        )
        usual = [("chosen", -1, -shape), ("chosen", 1, shape)]
        turned = [("rejected", 1, shape.subs(Z, -Z)), ("rejected", -1, -shape.subs(Z, -Z))]
        for output, a, v in [usual[0], turned[0], usual[1], turned[1]] if paired else usual:
            yield _Reading(v=v, signs={"example": a}, matched=None, output=output, finding=one_term, relaxations=())
        return
    for base, a in (("undesirable", 1), ("desirable", -1), ("desirable", 1), ("undesirable", -1)):
        other = "desirable" if base == "undesirable" else "undesirable"
        v = a * shapes[base]
        found = match(v, shapes[other], free, deadline, may_mirror=other == "undesirable")
        yield _Reading(
            v=v,
            signs={base: a, other: found.sign},
            matched=found,
            finding=found.finding,
            relaxations=found.relaxations,
        )


def _construction(traced: Traced, parts: Decomposition, outcome: _Outcome) -> Construction:
    reading, shapes = outcome.reading, outcome.shapes
    assert reading is not None
    assert shapes is not None
    signs = {label: _sign(reading, label) for label in sorted(reading.signs)}
    reward = "log_ratio" if parts.normalizer == 1 else f"{parts.normalizer}*log_ratio"
    reference_point = parts.reference_point
    if traced.loss.kind == "paired":
        y, other = (reading.output, "rejected" if reading.output == "chosen" else "chosen")
        reference_point = f"r of the {other} output: Q is the point mass on it (y is the {y} output)"
    return Construction(
        implied_reward=reward,
        normalizer=str(parts.normalizer),
        value_function=str(tidy(reading.v, Z, Deadline(DEFAULT_TIMEOUT))),
        reference_point=reference_point,
        sign=_by_label(signs),
        constant=_by_label(_constants(parts, reading, shapes)),
    )


def _sign(reading: _Reading, label: str) -> str:
    """Return a, and what v needs before it is the label's term."""
    found, other = reading.matched, list(reading.signs)[-1]
    text = f"{reading.signs[label]:+d}"
    if found is None or label != other:
        return text
    scaled = f" times {found.scale}" if found.scale != 1 else ""
    return f"{text}{scaled}" + (" with v(-z)" if found.mirrored else "")


def _constants(parts: Decomposition, reading: _Reading, shapes: Mapping[str, Expr]) -> dict[str, str]:
    """Return C by label: what is left of each term when a * v(z) is taken away, seen at z = 0."""
    constants, other = {}, list(reading.signs)[-1]
    at_0 = reading.v.subs(Z, 0)
    for label, a in sorted(reading.signs.items()):
        scale = reading.matched.scale if reading.matched is not None and label == other else 1
        constants[label] = str(parts.constants[label] + sympy.simplify(shapes[label].subs(Z, 0) - a * scale * at_0))
    return constants


def _by_label(texts: Mapping[str, str]) -> str:
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{text} for {label}" for label, text in texts.items())
