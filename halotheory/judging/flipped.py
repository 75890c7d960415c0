"""Whether a form that is no HALO is the expectation of one over randomly flipped labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sympy
from sympy import Expr, Symbol
from sympy.core.relational import StrictLessThan

from halotheory.deadline import Deadline
from halotheory.findings import Finding, Status
from halotheory.judging.judge import Judge, Outcome
from halotheory.proving.shape import Z
from halotheory.reading import mixture
from halotheory.reading.estimated import same
from halotheory.reading.forms import ONE_TERM
from halotheory.reading.refute import simple_value

_MIXTURE_SECONDS = 15.0


def unless_mixed(judged: Judge, outcome: Outcome) -> Outcome:
    """Return the outcome as set; for what is no HALO, whether it is a mixture of one over flipped labels."""
    if outcome.word != "not_halo" or mixture_is_excluded(judged, outcome):
        return outcome
    return _mixture(judged, outcome) if judged.form.either_output else _labelled_mixture(judged, outcome)


def mixture_is_excluded(judged: Judge, outcome: Outcome) -> bool:
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


def mixture_at_every_rate(judged: Judge) -> tuple[Outcome, Symbol] | None:
    """Return the outcome where one hyperparameter is the rate of flipped labels, for all rates below 1/2, and which."""
    even, odd = mixture.parts(judged.form.shapes[ONE_TERM])
    for rate, value in judged.values.items():
        if not 0 < value < mixture.HALF:
            continue
        shape = sympy.cancel(sympy.together(mixture.factor(rate) * odd))
        clean = replace(judged.form, shapes={ONE_TERM: even + shape})
        domains = [*judged.domains, StrictLessThan(rate, mixture.HALF)]
        found = replace(judged, form=clean, domains=domains).soon({})
        if found.word == "halo" and not found.relaxations:
            note = f"the expectation, over labels flipped at rate {rate}, of a HALO with this v"
            return replace(found, relaxations=["label_mixture"], notes=[note]), rate
    return None


def _mixture(judged: Judge, strictly: Outcome) -> Outcome:
    """Return whether a paired loss that is no HALO strictly, as set, is the expectation of one over flipped labels."""
    limited = replace(judged, deadline=Deadline(min(_MIXTURE_SECONDS, judged.deadline.left())))
    shape = judged.form.shapes[ONE_TERM].subs(dict(judged.values))
    even, odd = mixture.parts(shape)
    somewhere = {symbol: simple_value(symbol) for symbol in judged.form.context}  # one rate must do for all contexts
    at_one = [part.subs(somewhere) for part in (even, odd)]
    if at_one[1] == 0:
        if mixture.swapped_pairs(shape.subs(somewhere)) is None:
            return strictly
        note = "whether labels that are flipped half of the time make a label_mixture is open"
        return replace(strictly, word="undecided", strictly_not=True, notes=[*strictly.notes, note])
    rates = mixture.possible_rates(at_one[0], at_one[1], list(judged.values.values()), limited.deadline)
    if rates.refuted or mixture.never_monotone(even, odd, limited.deadline):
        return strictly
    return _unmixed(limited, strictly, {rate: {ONE_TERM: mixture.clean(even, odd, rate)} for rate in rates.candidates})


def _labelled_mixture(judged: Judge, strictly: Outcome) -> Outcome:
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
        never = mixture.never_concave(*turned) or mixture.never_monotone(*turned, limited.deadline)
        if found.refuted or never:
            return strictly
    found = [mixture.labelled_rates(at_one, rates, mirrored=mirrored) for mirrored in (False, True)]
    if all(each.refuted for each in found):
        return strictly
    total, difference = ((shapes[one] + side * shapes[other]) / 2 for side in (1, -1))
    clean = {
        rate: {one: total + mixture.factor(rate) * difference, other: total - mixture.factor(rate) * difference}
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


def _unmixed(judged: Judge, strictly: Outcome, clean: Mapping[Expr, Mapping[str, Expr]]) -> Outcome:
    """Return the verdict on the clean losses: a HALO with `label_mixture` if one of them is a HALO."""
    for rate, shapes in clean.items():
        found = judged.at(judged.values, {label: sympy.expand(shape) for label, shape in shapes.items()})
        if found.word == "halo":
            note = f"the expectation, over labels flipped at rate {rate}, of a HALO with this v"
            return replace(found, relaxations=["label_mixture", *found.relaxations], notes=[note])
    note = "no HALO strictly; whether it is a label_mixture is open"
    return replace(strictly, word="undecided", strictly_not=True, notes=[*strictly.notes, note])


def _refuted(outcome: Outcome) -> list[Finding]:
    return [finding for finding in outcome.findings if finding.status is Status.REFUTED]
