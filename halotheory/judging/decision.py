"""What all forms of a loss together decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy
from sympy import Expr, Symbol

from halotheory.deadline import Deadline, in_time
from halotheory.findings import Finding, Status, VerdictWord, undecided
from halotheory.judging.hyperparameters import as_set, decide_form
from halotheory.judging.judge import Outcome, shown
from halotheory.proving.degrees import too_high
from halotheory.reading.direction import tidied
from halotheory.reading.explain import explained
from halotheory.reading.forms import Example, Form, examples, forms, held_variants, may_be_factor, reference_free
from halotheory.reading.outputs import by_value, moving
from halotheory.reading.refute import no_reference_point, reference_outside_ratio
from halotheory.reading.token_level import excluded, sequence_examples, token_forms
from halotheory.tracing.trace import BatchTerm, Traced

_SHARE, _SMALL_SHARE = 0.4, 0.1  # of the time left, for each form; less where a factor may be detached


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What all forms together decide."""

    word: VerdictWord
    form: Form | None = None
    outcome: Outcome | None = None
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


def decide(traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> Decision:
    """Return the verdict on the forms of a loss: the first that is a HALO, or what refutes them all."""
    tried: list[tuple[Form, Outcome, str]] = []
    for found in token_forms(traced) if traced.loss.kind == "token" else forms(traced, values):
        form = _with_one_kl(found) if traced.shared_kl else found
        share = _SHARE if form.relaxations or not traced.detaches else _SMALL_SHARE
        outcome, holds_for = _attempt(form, traced, values, Deadline(share * deadline.left()))
        if outcome.word == "halo" and form.partial is not None:
            outcome = Outcome(word="undecided", notes=[form.partial])
        if outcome.word == "halo":
            return Decision(
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
    decision = _none_is_a_halo(traced, tried, plain, values) if tried else None
    if decision is not None and (decision.word == "not_halo" or not all(form.partial for form, _, _ in tried)):
        return decision
    kl = traced.loss.needs_kl
    variants = held_variants(terms, kl=kl)
    held = [v.terms for v in variants if all(may_be_factor(e, s, kl=kl) for e in v.terms for s in v.parts)]
    without = _no_form(traced, plain, held, values)
    return without if decision is None or without.word == "not_halo" else decision


def _with_one_kl(form: Form) -> Form:
    """Return the form with what it means that the loss makes one `kl` for all examples of those of each."""
    named = dict.fromkeys((*form.relaxations, "estimated_reference_point"))
    note = "one kl is made of those that are given for each example: an estimate that they share"
    return replace(form, relaxations=list(named), notes=[*form.notes, note])


def decide_as_set(traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> Decision | None:
    """Return the verdict with every hyperparameter put in as a number, where that decides more than symbols did."""
    decision = decide(_with_numbers(traced, values), {}, deadline)
    return None if decision.word == "undecided" else replace(decision, holds_for=as_set(values))


def _with_numbers(traced: Traced, values: Mapping[Symbol, Expr]) -> Traced:
    numbers = dict(values)
    return replace(
        traced,
        terms={label: term.subs(numbers) for label, term in traced.terms.items()},
        batches=_put_in(traced.batches, numbers),
        crowds=_put_in(traced.crowds, numbers),
        tokens=[replace(part, term=part.term.subs(numbers)) for part in traced.tokens],
        hyperparameters={name: symbol.subs(numbers) for name, symbol in traced.hyperparameters.items()},
        domains=(),
    )


def _put_in(terms: Mapping[str, Sequence[BatchTerm]], numbers: Mapping[Symbol, Expr]) -> dict[str, Sequence[BatchTerm]]:
    return {label: [replace(part, term=part.term.subs(numbers)) for part in parts] for label, parts in terms.items()}


def _attempt(form: Form, traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> tuple[Outcome, str]:
    """Return the verdict on one form, undecided when its share of the time has passed or its powers are too high."""
    shapes = sympy.Tuple(*form.shapes.values())
    if len(form.shapes) > 1 and (too_high(shapes) or too_high(shapes.subs(dict(values)))):
        note = "its exponents are too close to one another for exact arithmetic"
        return Outcome(word="undecided", notes=[note]), as_set(values)
    late = Outcome(word="undecided", notes=["its share of the time passed without a decision"])
    return in_time(deadline, lambda: decide_form(form, traced, values, deadline), (late, as_set(values)))


def _none_is_a_halo(
    traced: Traced,
    tried: Sequence[tuple[Form, Outcome, str]],
    terms: Sequence[Example],
    values: Mapping[Symbol, Expr],
) -> Decision:
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
    return Decision(
        word="undecided" if open_ones else "not_halo",
        form=form,
        outcome=outcome,
        findings=explained(findings, terms, form.shapes, v, values, kl=traced.loss.needs_kl),
        holds_for=holds_for,
        notes=[*form.notes, *([form.unsure] if form.unsure else []), *outcome.notes, *others],
        strictly_not=strictly_not,
    )


def _why_not(form: Form, outcome: Outcome) -> list[str]:
    """Return why a form with relaxations does not save the loss either."""
    named = ", ".join(form.relaxations)
    guilty = [finding for finding in outcome.findings if finding.status is Status.REFUTED]
    return [f"nor with {named}: {finding.name} refuted ({shown(finding)})" for finding in guilty[:1]] if named else []


def _no_form(
    traced: Traced, terms: Sequence[Example], held: Sequence[Sequence[Example]], values: Mapping[Symbol, Expr]
) -> Decision:
    """Return the verdict on a loss that is not a function of any z, by value or with detached parts held constant."""
    ratio = reference_outside_ratio(terms, values) or _ratio_without_form(traced, terms)
    refutation = no_reference_point(terms, values, kl=traced.loss.needs_kl) if terms else None
    kl = traced.loss.needs_kl
    if refutation is not None:
        ratio, shift = explained([ratio, refutation.finding], terms, {}, None, values, kl=kl)
        refutation = replace(refutation, finding=shift)
    others = [no_reference_point(variant, values, kl=kl) for variant in held]
    settled = refutation is not None and all(other is not None and other.final for other in [refutation, *others])
    if (
        refutation is not None
        and settled
        and (traced.loss.kind != "token" or all(excluded(variant, traced, values) for variant in [terms, *held]))
    ):
        return Decision(word="not_halo", findings=[ratio, refutation.finding])
    if refutation is None:
        tried = "no combination of log-ratios, and no shift of all rewards that changes the loss at simple points"
        point = undecided("reference_point", "the loss is a function of some z", tried)
        return Decision(word="undecided", findings=[ratio, point], strictly_not=ratio.status is Status.REFUTED)
    note = "no HALO strictly; whether one with a modified_reference, a generalised_link or a context is open"
    return Decision(word="undecided", findings=[ratio, refutation.finding], notes=[note], strictly_not=True)


def _ratio_findings(form: Form, traced: Traced) -> tuple[Finding, Finding]:
    """Return what is proved of log-ratios and of the reference point where the loss has this form."""
    point = Finding(
        name="reference_point",
        status=Status.PROVED,
        method=_why_compared(form.relaxations),
        statement=f"the loss is a function of z = r - E_Q[r] with r = {form.reward}; {form.point}",
    )
    return _ratio_finding(traced, form.relaxations, form.context), point


def _why_compared(relaxations: Sequence[str]) -> str:
    alike = "the loss does not change when the rewards of all outputs are raised alike"
    if "implied_policy" in relaxations:
        return "assumed, not derived: implied_policy lets exp(log_ratio)*advantage be a reward minus its expectation"
    if "estimated_reference_point" in relaxations:
        return f"where no bound of the estimate holds, {alike}; where one does, it is the same function of r minus it"
    return alike


def _ratio_without_form(traced: Traced, terms: Sequence[Example]) -> Finding:
    """Return `log_ratio_only` proved where log pi_ref cancels from all that moves; else a search failed."""
    moves = [symbol for example in terms for symbol in moving(example.among, kl=traced.loss.needs_kl)]
    told = [
        part
        for example in terms
        for part in sympy.Add.make_args(tidied(example.term))
        if part.free_symbols & set(moves)
    ]
    left = [part for part in told if any(symbol.name.startswith("reference_") for symbol in part.free_symbols)]
    finding = _ratio_finding(traced, [])
    if reference_free(traced) or (terms and not left):
        return finding
    return undecided(finding.name, finding.statement, "no change of log pi_ref changes the effect at simple points")


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
