"""Is this loss a HALO? From a loss to a verdict, stage by stage."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy
from sympy import Expr, Symbol
from sympy.core.relational import Relational, StrictLessThan
from torch import Tensor

from halotheory.contract import Loss, load_loss, loss_of
from halotheory.deadline import Deadline, in_time, time_limit
from halotheory.findings import Construction, Finding, Status, Verdict, VerdictWord, undecided
from halotheory.proving.nonnegative import identically_zero
from halotheory.proving.pieces import tidy
from halotheory.proving.shape import Z, concave_in_gains, non_constant, non_decreasing
from halotheory.reading import mixture
from halotheory.reading.estimated import same
from halotheory.reading.explain import explained
from halotheory.reading.forms import (
    ONE_TERM,
    Case,
    Example,
    Form,
    examples,
    forms,
    held_variants,
    may_be_factor,
    reference_free,
)
from halotheory.reading.matching import Match, match
from halotheory.reading.outputs import by_value
from halotheory.reading.refute import no_reference_point, reference_outside_ratio, simple_value
from halotheory.reading.region import region
from halotheory.reading.token_level import excluded, sequence_examples, token_forms
from halotheory.tracing.agreement import check_agreement
from halotheory.tracing.numerics import numeric_warnings
from halotheory.tracing.operations import detach, exact
from halotheory.tracing.trace import Traced, trace

DEFAULT_TIMEOUT = 60.0
"""Seconds that a check may take before what is open stays undecided."""

_SHARE, _SMALL_SHARE = 0.4, 0.1  # of the time left, for each form; less where a factor may be detached
_MIXTURE_SECONDS = 15.0
_TIDY_SECONDS = 1.0
_REGION_SECONDS = 3.0
_GENERAL_SECONDS = 1.5  # for all values of the hyperparameters at once, or of some
_EXAMINERS = (non_decreasing, concave_in_gains, non_constant)


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
    try:
        with time_limit(deadline.left()):
            decision = _decide(traced, values, deadline)
            if decision.word == "undecided" and values:
                decision = _as_set_decision(traced, values, deadline) or decision
    except Exception:  # the alarm of time_limit may surface as whatever the interrupted library makes of it
        if deadline.left() > 0:
            raise
        decision = _Decision(word="undecided", notes=[f"no decision within the {timeout:g} s of --timeout"])
    verdict = _verdict(traced, values, decision, strict=strict)
    return replace(verdict, seconds=round(time.monotonic() - began, 3))


def _loaded(loss: str | Loss | Callable[..., Tensor]) -> Loss:
    if isinstance(loss, Loss):
        return loss
    return load_loss(loss) if isinstance(loss, str) else loss_of(loss)


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


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One way to read a form as a * v(z) + C.

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
    """What all readings of one form together decide."""

    word: VerdictWord
    findings: Sequence[Finding] = ()
    reading: _Reading | None = None
    shapes: Mapping[str, Expr] | None = None
    relaxations: Sequence[str] = ()
    notes: Sequence[str] = ()
    strictly_not: bool = False


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """What all forms together decide."""

    word: VerdictWord
    form: Form | None = None
    outcome: _Outcome | None = None
    findings: Sequence[Finding] = ()
    holds_for: str | None = None
    notes: Sequence[str] = ()
    strictly_not: bool = False

    @property
    def relaxations(self) -> list[str]:
        """What the HALO needs, where there is one."""
        if self.word != "halo" or self.form is None or self.outcome is None:
            return []
        return sorted({*self.form.relaxations, *self.outcome.relaxations})


def _decide(traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> _Decision:
    """Return the verdict on the forms of a loss: the first that is a HALO, or what refutes them all."""
    tried: list[tuple[Form, _Outcome, str]] = []
    for form in token_forms(traced) if traced.loss.kind == "token" else forms(traced, values):
        share = _SHARE if form.relaxations or not _detaches(traced) else _SMALL_SHARE
        outcome, holds_for = _attempt(form, traced, values, Deadline(share * deadline.left()))
        if outcome.word == "halo":
            return _Decision(
                word="halo",
                form=form,
                outcome=outcome,
                findings=[*_ratio_findings(form, traced), *outcome.findings],
                holds_for=holds_for,
                notes=[*form.notes, *outcome.notes],
            )
        tried.append((form, outcome, holds_for))
    terms = sequence_examples(traced) if traced.loss.kind == "token" else examples(traced)
    plain = [replace(example, term=by_value(example.term)) for example in terms]
    if tried:
        return _none_is_a_halo(traced, tried, plain, values)
    kl = traced.loss.needs_kl
    variants = held_variants(terms, kl=kl)
    held = [v.terms for v in variants if all(may_be_factor(e, s, kl=kl) for e in v.terms for s in v.parts)]
    return _no_form(traced, plain, held, values)


def _detaches(traced: Traced) -> bool:
    """Return whether the loss holds something constant that moves with theta, as weights often are."""
    return any(
        any(symbol.name.startswith("policy_") for symbol in part.free_symbols)
        for term in traced.terms.values()
        for part in term.atoms(detach)
    )


def _as_set_decision(traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> _Decision | None:
    """Return the verdict with every hyperparameter put in as a number, where that decides more than symbols did."""
    decision = _decide(_with_numbers(traced, values), {}, deadline)
    return None if decision.word == "undecided" else replace(decision, holds_for=_as_set(values))


def _with_numbers(traced: Traced, values: Mapping[Symbol, Expr]) -> Traced:
    numbers = dict(values)
    return replace(
        traced,
        terms={label: term.subs(numbers) for label, term in traced.terms.items()},
        batches={
            label: [replace(part, term=part.term.subs(numbers)) for part in parts]
            for label, parts in traced.batches.items()
        },
        tokens=[replace(part, term=part.term.subs(numbers)) for part in traced.tokens],
        hyperparameters={name: symbol.subs(numbers) for name, symbol in traced.hyperparameters.items()},
        domains=(),
    )


def _attempt(form: Form, traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> tuple[_Outcome, str]:
    """Return the verdict on one form, undecided when its share of the time has passed."""
    late = _Outcome(word="undecided", notes=["its share of the time passed without a decision"])
    return in_time(deadline, lambda: _decide_form(form, traced, values, deadline), (late, _as_set(values)))


def _none_is_a_halo(
    traced: Traced,
    tried: Sequence[tuple[Form, _Outcome, str]],
    terms: Sequence[Example],
    values: Mapping[Symbol, Expr],
) -> _Decision:
    """Return what follows where every form was refuted, or one of them is open."""
    open_ones = [attempt for attempt in tried if attempt[1].word == "undecided" or attempt[0].unsure]
    form, outcome, holds_for = (open_ones or tried)[0]
    ratio, point = _ratio_findings(form, traced)
    if "uniform_reference" not in form.relaxations and form.relaxations:
        ratio = reference_outside_ratio(terms, values) or ratio
    refutation = no_reference_point(terms, values, kl=traced.loss.needs_kl) if form.relaxations else None
    strictly_not = all(f.relaxations or o.strictly_not or o.word == "not_halo" for f, o, _ in tried)
    findings = [ratio, refutation.finding if refutation else point, *outcome.findings]
    v = outcome.reading.v if outcome.reading is not None else None
    others = [note for f, o, _ in tried if f is not form for note in _why_not(f, o)]
    return _Decision(
        word="undecided" if open_ones else "not_halo",
        form=form,
        outcome=outcome,
        findings=explained(findings, terms, form.shapes, v, values, kl=traced.loss.needs_kl),
        holds_for=holds_for,
        notes=[*form.notes, *([form.unsure] if form.unsure else []), *outcome.notes, *others],
        strictly_not=strictly_not,
    )


def _why_not(form: Form, outcome: _Outcome) -> list[str]:
    """Return why a form with relaxations does not save the loss either."""
    named = ", ".join(form.relaxations)
    guilty = [finding for finding in outcome.findings if finding.status is Status.REFUTED]
    return [f"nor with {named}: {finding.name} refuted ({_shown(finding)})" for finding in guilty[:1]] if named else []


def _no_form(
    traced: Traced, terms: Sequence[Example], held: Sequence[Sequence[Example]], values: Mapping[Symbol, Expr]
) -> _Decision:
    """Return the verdict on a loss that is not a function of any z, by value or with detached parts held constant."""
    ratio = reference_outside_ratio(terms, values)
    if ratio is None:
        ratio = _ratio_finding(traced, [])
    refutation = no_reference_point(terms, values, kl=traced.loss.needs_kl) if terms else None
    kl = traced.loss.needs_kl
    if refutation is not None:
        ratio, shift = explained([ratio, refutation.finding], terms, {}, None, values, kl=kl)
        refutation = replace(refutation, finding=shift)
    others = [no_reference_point(variant, values, kl=kl) for variant in held]
    settled = refutation is not None and all(other is not None and other.final for other in [refutation, *others])
    if refutation is not None and settled and (traced.loss.kind != "token" or excluded(traced)):
        return _Decision(word="not_halo", findings=[ratio, refutation.finding])
    if refutation is None:
        tried = "no combination of log-ratios, and no shift of all rewards that changes the loss at simple points"
        point = undecided("reference_point", "the loss is a function of some z", tried)
        return _Decision(word="undecided", findings=[ratio, point], strictly_not=ratio.status is Status.REFUTED)
    note = "no HALO strictly; whether one with a modified_reference, a generalised_link or a context is open"
    return _Decision(word="undecided", findings=[ratio, refutation.finding], notes=[note], strictly_not=True)


def _ratio_findings(form: Form, traced: Traced) -> tuple[Finding, Finding]:
    """Return what is proved of log-ratios and of the reference point where the loss has this form."""
    point = Finding(
        name="reference_point",
        status=Status.PROVED,
        method="the loss does not change when the rewards of all outputs are raised alike",
        statement=f"the loss is a function of z = r - E_Q[r] with r = {form.reward}; {form.point}",
    )
    return _ratio_finding(traced, form.relaxations, form.context), point


def _ratio_finding(traced: Traced, relaxations: Sequence[str], context: Sequence[Symbol] = ()) -> Finding:
    method = "log pi = log-ratio + log pi_ref put in; log pi_ref cancels"
    statement = "up to a constant free of theta, the loss depends on log pi only through log pi - log pi_ref"
    if reference_free(traced):
        method = "the loss names no reference"
        statement = "the loss ignores pi_ref; if pi_ref is uniform, log pi is the log-ratio up to a constant"
    elif "modified_reference" in relaxations:
        statement = "theta enters only through the ratio of pi to a modified, theta-free reference"
    elif any(symbol.name.startswith("reference_") for symbol in context):
        statement = "with log pi_ref as a context, theta enters only through log pi - log pi_ref"
        method = "log pi = log-ratio + log pi_ref put in; what is left of log pi_ref is free of theta"
    return Finding(name="log_ratio_only", status=Status.PROVED, method=method, statement=statement)


def _decide_form(form: Form, traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> tuple[_Outcome, str]:
    """Return the verdict on one form at the hyperparameters as set, and for which others it holds.

    Numbers come first, for they are quick and decide; then symbols, in the hope that the same holds for all values.
    """
    judged = _Judge(form=form, domains=traced.domains, values=values, deadline=deadline)
    outcome = judged.at(values)
    if not values:
        return _unless_mixed(judged, outcome), _as_set(values)
    general = _generally(judged, {})
    if general.word == "not_halo" and _mixture_is_excluded(judged, general):
        return general, _every(values, traced)
    if outcome.word == "not_halo":
        outcome = _unless_mixed(judged, outcome)
        mixed = _mixture_at_every_rate(judged) if _mixes(outcome) and form.either_output else None
        if mixed is None:
            return outcome, _as_set(values)
        general, rate = mixed
        texts = {rate: f"every 0 < {rate} < 1/2"} if rate.name not in traced.loss.domains else {}
        return general, ", ".join(texts.get(symbol, _every([symbol], traced)) for symbol in values)
    if general.word == "halo" and (outcome.word == "undecided" or general.relaxations == outcome.relaxations):
        return general, _every(values, traced)
    if outcome.word == "undecided":
        return outcome, _as_set(values)
    if len(values) == 1 and not _mixes(outcome):
        return outcome, _around(judged, outcome)
    outcome, fixed = _freed(judged, outcome)
    free = [symbol for symbol in values if symbol not in fixed]
    holds = f"{_every(free, traced)} with {_as_set(fixed)}" if free and fixed else _as_set(values)
    if general.word == "halo":
        holds += f"; with {', '.join(general.relaxations)} for {_every(values, traced)}"
    return outcome, holds


def _mixes(outcome: _Outcome) -> bool:
    return "label_mixture" in outcome.relaxations


def _around(judged: "_Judge", outcome: _Outcome) -> str:
    """Return for which values of the only hyperparameter the outcome holds."""
    ((symbol, value),) = judged.values.items()
    limited = replace(judged, deadline=Deadline(min(_REGION_SECONDS, judged.deadline.left())))

    def alike(found: _Outcome) -> bool:
        return (found.word, found.relaxations) == (outcome.word, outcome.relaxations)

    def same(other: Expr) -> bool | None:
        found = replace(limited, values={symbol: other}).at({symbol: other})
        return None if found.word == "undecided" else alike(found)

    def proved(relations: Sequence[Relational]) -> bool:
        return alike(_generally(replace(limited, domains=[*limited.domains, *relations]), {}))

    words = in_time(limited.deadline, lambda: region(symbol, value, same, proved, limited.deadline), None)
    as_set = _as_set(judged.values)
    return as_set if words is None else f"{as_set}; {words}" if words.startswith("another") else words


def _generally(judged: "_Judge", fixed: Mapping[Symbol, Expr]) -> _Outcome:
    """Return what holds for all values of the hyperparameters that are not fixed, if it shows soon."""
    limited = replace(judged, deadline=Deadline(min(_GENERAL_SECONDS, judged.deadline.left())))
    return in_time(limited.deadline, lambda: limited.at(fixed), _Outcome(word="undecided"))


def _unless_mixed(judged: "_Judge", outcome: _Outcome) -> _Outcome:
    """Return the outcome as set; for what is no HALO, whether it is a mixture of one over flipped labels."""
    if outcome.word != "not_halo" or _mixture_is_excluded(judged, outcome):
        return outcome
    return _mixture(judged, outcome) if judged.form.either_output else _labelled_mixture(judged, outcome)


def _freed(judged: "_Judge", outcome: _Outcome) -> tuple[_Outcome, dict[Symbol, Expr]]:
    """Return which hyperparameters may vary, the others kept as set, without changing the verdict."""
    fixed = dict(judged.values)
    for symbol in judged.values if len(judged.values) > 1 else ():
        fewer = {other: value for other, value in fixed.items() if other != symbol}
        freed = _generally(judged, fewer)
        if (freed.word, freed.relaxations) == (outcome.word, outcome.relaxations):
            outcome, fixed = freed, fewer
    return outcome, fixed


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """One form, to be judged with some hyperparameters fixed."""

    form: Form
    domains: Sequence[Relational]
    values: Mapping[Symbol, Expr]
    deadline: Deadline

    def at(self, fixed: Mapping[Symbol, Expr], shapes: Mapping[str, Expr] | None = None) -> _Outcome:
        """Return what holds for every value of the hyperparameters that are not fixed."""
        chosen = shapes or self.form.shapes
        chosen = {label: shape.subs(dict(fixed)) for label, shape in chosen.items()}
        free = {symbol: value for symbol, value in self.values.items() if symbol not in fixed}
        if self.form.spoiled is not None:
            return _spoiled(self.form)
        failed: list[tuple[_Reading, list[Finding]]] = []
        for reading in _readings(chosen, free, self.deadline, either_output=self.form.either_output):
            findings = self._examined(reading, free, [])
            if all(finding.status is Status.PROVED for finding in findings):
                return _Outcome(
                    word="halo", findings=findings, reading=reading, shapes=chosen, relaxations=reading.relaxations
                )
            failed.append((reading, findings))
        open_ones = [pair for pair in failed if pair[1][-1].status is not Status.REFUTED]
        reading, findings = (open_ones or failed)[0]
        if not open_ones:
            findings = self._examined(reading, free, findings)
        notes = [_failure(other, found) for other, found in failed if other is not reading] if not open_ones else []
        return _Outcome(word="undecided" if open_ones else "not_halo", findings=findings, reading=reading, notes=notes)

    def _examined(self, reading: _Reading, free: Mapping[Symbol, Expr], known: Sequence[Finding]) -> list[Finding]:
        """Return the findings on a reading, up to the first refutation; beyond it where that one is `known`."""
        findings = list(known) or [reading.finding]
        if reading.finding.status is not Status.PROVED:
            return findings
        for examine in _EXAMINERS[len(findings) - 1 :]:
            if findings[-1].status is Status.REFUTED and not known:
                break
            findings.append(self._over_cases(examine, reading.v, free))
        return findings

    def _over_cases(self, examine: Callable[..., Finding], v: Expr, free: Mapping[Symbol, Expr]) -> Finding:
        """Return the finding over all cases: refuted in one, proved in all, or open."""
        fixed = {symbol: value for symbol, value in self.values.items() if symbol not in free}
        cases = [case for case in self.form.cases if case.conditions(fixed) is not None]
        found = [self._in_case(examine, v, free, case) for case in cases]
        telling = (Status.PROVED,) if examine is non_constant else (Status.REFUTED, Status.UNDECIDED)
        for status in telling:  # one case in which v varies is enough
            for finding in found:
                if finding.status is status:
                    return finding
        if len(found) == 1:
            return found[0]
        methods = "; ".join(
            f"for {', '.join(map(str, case.conditions(fixed) or ()))}: {finding.method}"
            for case, finding in zip(cases, found, strict=True)
        )
        return replace(found[0], method=methods)

    def _in_case(self, examine: Callable[..., Finding], v: Expr, free: Mapping[Symbol, Expr], case: Case) -> Finding:
        fixed = {symbol: value for symbol, value in self.values.items() if symbol not in free}
        domains = [relation for relation in self.domains if relation.free_symbols <= set(free)]
        return examine(case.of(v, fixed), free, self.deadline, where=[*(case.conditions(fixed) or ()), *domains])


def _spoiled(form: Form) -> _Outcome:
    finding = Finding(
        name="single_value_function",
        status=Status.REFUTED,
        method="evaluated exactly",
        statement="the detached factor of v is not positive everywhere",
        witness=form.spoiled,
    )
    return _Outcome(word="not_halo", findings=[finding])


def _mixture_is_excluded(judged: _Judge, outcome: _Outcome) -> bool:
    """Return whether no rate of flipped labels can help, as far as that is known without numbers.

    Flipping mixes the two sides of a pair, or two labels. Where the labels share v unmirrored, their clean terms are
    multiples of v again.
    """
    form = judged.form
    if form.spoiled is not None or any(finding.name == "non_constant" for finding in _refuted(outcome)):
        return True
    if not form.either_output:
        matched = outcome.reading.matched if outcome.reading is not None else None
        shared = matched is not None and matched.finding.status is Status.PROVED and not matched.mirrored
        return len(form.shapes) < 2 or shared
    even, odd = mixture.parts(form.shapes[ONE_TERM])
    if odd == 0:
        return mixture.swapped_pairs(form.shapes[ONE_TERM]) is None
    return mixture.never_monotone(even, odd, Deadline(min(_MIXTURE_SECONDS, judged.deadline.left())))


def _refuted(outcome: _Outcome) -> list[Finding]:
    return [finding for finding in outcome.findings if finding.status is Status.REFUTED]


def _mixture(judged: _Judge, strictly: _Outcome) -> _Outcome:
    """Return whether a paired loss that is no HALO strictly, as set, is the expectation of one over flipped labels."""
    limited = replace(judged, deadline=Deadline(min(_MIXTURE_SECONDS, judged.deadline.left())))
    shape = judged.form.shapes[ONE_TERM].subs(dict(judged.values))
    even, odd = mixture.parts(shape)
    if odd == 0:
        note = "whether labels that are flipped half of the time make a label_mixture is open"
        return replace(strictly, word="undecided", strictly_not=True, notes=[*strictly.notes, note])
    somewhere = {symbol: simple_value(symbol) for symbol in judged.form.context}  # one rate must do for all contexts
    at_one = [part.subs(somewhere) for part in (even, odd)]
    rates = mixture.possible_rates(at_one[0], at_one[1], list(judged.values.values()), limited.deadline)
    if rates.refuted or mixture.never_monotone(even, odd, limited.deadline):
        return strictly
    return _unmixed(limited, strictly, {rate: {ONE_TERM: mixture.clean(even, odd, rate)} for rate in rates.candidates})


def _mixture_at_every_rate(judged: _Judge) -> tuple[_Outcome, Symbol] | None:
    """Return the outcome where one hyperparameter is the rate of flipped labels, for all rates below 1/2, and which."""
    even, odd = mixture.parts(judged.form.shapes[ONE_TERM])
    for rate, value in judged.values.items():
        if not 0 < value < mixture.HALF:
            continue
        shape = sympy.cancel(sympy.together(odd / (1 - 2 * rate)))
        clean = replace(judged.form, shapes={ONE_TERM: even + shape})
        domains = [*judged.domains, StrictLessThan(rate, mixture.HALF)]
        found = _generally(replace(judged, form=clean, domains=domains), {})
        if found.word == "halo" and not found.relaxations:
            note = f"the expectation, over labels flipped at rate {rate}, of a HALO with this v"
            return replace(found, relaxations=["label_mixture"], notes=[note]), rate
    return None


def _labelled_mixture(judged: _Judge, strictly: _Outcome) -> _Outcome:
    """Return whether a loss of two labels that is no HALO, as set, is the expectation of one over flipped labels."""
    limited = replace(judged, deadline=Deadline(min(_MIXTURE_SECONDS, judged.deadline.left())))
    shapes = {label: shape.subs(dict(judged.values)) for label, shape in judged.form.shapes.items()}
    somewhere = {symbol: simple_value(symbol) for symbol in judged.form.context}
    one, other = shapes
    if any(Z not in shape.free_symbols for shape in shapes.values()):
        note = "one label does not matter; whether that counts as a label_mixture with class_weights is open"
        return replace(strictly, word="undecided", strictly_not=True, notes=[*strictly.notes, note])
    at_one = [shapes[label].subs(somewhere) for label in (one, other)]
    rates = list(judged.values.values())
    if (turned := _turned(at_one)) is not None:
        found = mixture.possible_rates(turned[0], turned[1], rates, limited.deadline, either_output=False)
        if found.refuted or mixture.never_monotone(turned[0], turned[1], limited.deadline):
            return strictly
    found = [mixture.labelled_rates(at_one, rates, mirrored=mirrored) for mirrored in (False, True)]
    if all(each.refuted for each in found):
        return strictly
    total, difference = ((shapes[one] + side * shapes[other]) / 2 for side in (1, -1))
    clean = {
        rate: {one: total + difference / (1 - 2 * rate), other: total - difference / (1 - 2 * rate)}
        for each in found
        for rate in each.candidates
    }
    return _unmixed(limited, strictly, clean)


def _turned(terms: Sequence[Expr]) -> tuple[Expr, Expr] | None:
    """Return b and d with the first clean term b + k d, where one term is the other at -z, or its negative."""
    even, odd = mixture.parts(terms[0])
    for side, parts in ((1, (even, odd)), (-1, (odd, even))):
        if same(terms[1], side * terms[0].subs(Z, -Z)):
            return parts
    return None


def _unmixed(judged: _Judge, strictly: _Outcome, clean: Mapping[Expr, Mapping[str, Expr]]) -> _Outcome:
    """Return the verdict on the clean losses: a HALO with `label_mixture` if one of them is a HALO."""
    for rate, shapes in clean.items():
        found = judged.at(judged.values, {label: sympy.expand(shape) for label, shape in shapes.items()})
        if found.word == "halo":
            note = f"the expectation, over labels flipped at rate {rate}, of a HALO with this v"
            return replace(found, relaxations=["label_mixture", *found.relaxations], notes=[note])
    note = "no HALO strictly; whether it is a label_mixture is open"
    return replace(strictly, word="undecided", strictly_not=True, notes=[*strictly.notes, note])


def _readings(
    shapes: Mapping[str, Expr], free: Mapping[Symbol, Expr], deadline: Deadline, *, either_output: bool
) -> Iterator[_Reading]:
    """Yield the ways to read a form, the usual one first; in a pair, y may be either output."""
    if ONE_TERM in shapes:
        shape = shapes[ONE_TERM]
        one_term = Finding(
            name="single_value_function",
            status=Status.PROVED,
            method="one term for all examples",
            statement="every example's loss is a v(z) + C with the same v",
        )
        usual = [("chosen", -1, -shape), ("chosen", 1, shape)]
        turned = [("rejected", 1, shape.subs(Z, -Z)), ("rejected", -1, -shape.subs(Z, -Z))]
        for output, a, v in [usual[0], turned[0], usual[1], turned[1]] if either_output else usual:
            yield _Reading(v=v, signs={ONE_TERM: a}, matched=None, output=output, finding=one_term, relaxations=())
        return
    up, down = shapes
    for base, a in ((down, 1), (up, -1), (up, 1), (down, -1)):
        other = up if base == down else down
        v = a * shapes[base]
        found = match(v, shapes[other], free, deadline, may_mirror=other == down)
        yield _Reading(
            v=v,
            signs={base: a, other: found.sign},
            matched=found,
            finding=found.finding,
            relaxations=found.relaxations,
        )


def _failure(reading: _Reading, findings: Sequence[Finding]) -> str:
    guilty = next(finding for finding in findings if finding.status is Status.REFUTED)
    signs = ", ".join(f"a = {a:+d} for {label} outputs" for label, a in reading.signs.items())
    if list(reading.signs) == [ONE_TERM]:
        signs = f"y the {reading.output} output, a = {reading.signs[ONE_TERM]:+d}"
    return f"read with {signs}: {guilty.name} refuted ({_shown(guilty)})"


def _shown(finding: Finding) -> str:
    return ", ".join(f"{name} = {value}" for name, value in (finding.witness or {}).items())


def _every(symbols: Sequence[Symbol] | Mapping[Symbol, Expr], traced: Traced) -> str:
    domains = traced.loss.domains
    texts = [f"every {domains[s.name]}" if s.name in domains else f"every {s} > 0" for s in symbols]
    return ", ".join(texts) or "the loss as it is"


def _as_set(values: Mapping[Symbol, Expr]) -> str:
    return ", ".join(f"{symbol} = {value}" for symbol, value in values.items()) or "the loss as it is"


def _verdict(traced: Traced, values: Mapping[Symbol, Expr], decision: _Decision, *, strict: bool) -> Verdict:
    """Return what was decided, in the words of the report."""
    loss, word, relaxations = traced.loss, decision.word, decision.relaxations
    notes = [*traced.notes, *decision.notes, *numeric_warnings(traced)]
    if word == "halo" and loss.needs_kl:
        notes.append(
            "in training kl is a clamped estimate from mismatched outputs: then with estimated_reference_point"
        )
    holds_for = decision.holds_for or _as_set(values)
    if strict and (relaxations or decision.strictly_not or (decision.outcome and decision.outcome.strictly_not)):
        word, holds_for = "not_halo", _as_set(values)
        notes += [f"a HALO only with {', '.join(relaxations)}, which --strict refuses"] * bool(relaxations)
    numbers = [f"{name} = {value}" for name, value in traced.hyperparameters.items() if not isinstance(value, Symbol)]
    holds_for = ", ".join([holds_for, *numbers] if values or not numbers else numbers)
    return Verdict(
        loss=loss.name,
        verdict=word,
        strict=word == "halo" and not relaxations,
        relaxations=relaxations,
        hyperparameters=loss.hyperparameters,
        holds_for=holds_for,
        construction=_construction(traced, decision) if word == "halo" else None,
        conditions=decision.findings,
        notes=list(dict.fromkeys(notes)),
    )


def _construction(traced: Traced, decision: _Decision) -> Construction:
    form, outcome = decision.form, decision.outcome
    assert form is not None
    assert outcome is not None
    reading, shapes = outcome.reading, outcome.shapes
    assert reading is not None
    assert shapes is not None
    signs = {label: _sign(reading, label) for label in sorted(reading.signs)}
    point = form.point
    if form.either_output:
        y, other = (reading.output, "rejected" if reading.output == "chosen" else "chosen")
        point = f"r of the {other} output: Q is the point mass on it (y is the {y} output)"
    return Construction(
        implied_reward=form.reward,
        normalizer=str(form.normalizer),
        value_function=str(_tidied(reading.v)),
        reference_point=point,
        sign=_by_label(signs),
        constant=_by_label(_constants(form, reading, shapes)),
    )


def _tidied(v: Expr) -> Expr:
    """Return the value function with its conditions flattened, if that is quick; else as it is."""
    deadline = Deadline(_TIDY_SECONDS)
    return in_time(deadline, lambda: tidy(v, Z, deadline), v)


def _sign(reading: _Reading, label: str) -> str:
    """Return a, and what v needs before it is the label's term."""
    found, other = reading.matched, list(reading.signs)[-1]
    text = f"{reading.signs[label]:+d}"
    if found is None or label != other:
        return text
    scaled = f" times {found.scale}" if found.scale != 1 else ""
    return f"{text}{scaled}" + (" with v(-z)" if found.mirrored else "")


def _constants(form: Form, reading: _Reading, shapes: Mapping[str, Expr]) -> dict[str, str]:
    """Return C by label: what is left of each term when a * v(z) is taken away, seen at z = 0."""
    constants, other = {}, list(reading.signs)[-1]
    at_0 = reading.v.subs(Z, 0)
    for label, a in sorted(reading.signs.items()):
        scale = reading.matched.scale if reading.matched is not None and label == other else 1
        left = shapes[label].subs(Z, 0) - a * scale * at_0
        constants[label] = str(form.constants[label] + (0 if identically_zero(left) else sympy.cancel(left)))
    return constants


def _by_label(texts: Mapping[str, str]) -> str:
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{text} for {label}" for label, text in texts.items())
