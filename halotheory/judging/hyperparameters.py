"""For which values of its hyperparameters the verdict on one form holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sympy import Expr, Symbol
from sympy.core.relational import Relational

from halotheory.deadline import Deadline, in_time
from halotheory.judging.flipped import mixture_at_every_rate, mixture_is_excluded, unless_mixed
from halotheory.judging.judge import Judge, Outcome
from halotheory.reading.forms import Form
from halotheory.reading.region import region
from halotheory.tracing.trace import Traced

_REGION_SECONDS = 3.0


def decide_form(form: Form, traced: Traced, values: Mapping[Symbol, Expr], deadline: Deadline) -> tuple[Outcome, str]:
    """Return the verdict on one form at the hyperparameters as set, and for which others it holds.

    Numbers come first, for they are quick and decide; then symbols, in the hope that the same holds for all values.
    """
    judged = Judge(form=form, domains=traced.domains, values=values, deadline=deadline)
    outcome = judged.at(values)
    if not values:
        return unless_mixed(judged, outcome), as_set(values)
    general = judged.soon({})
    if general.word == "not_halo" and mixture_is_excluded(judged, general):
        return general, every(values, traced)
    if outcome.word == "not_halo":
        outcome = unless_mixed(judged, outcome)
        mixed = mixture_at_every_rate(judged) if _mixes(outcome) and form.either_output else None
        if mixed is None:
            return outcome, as_set(values)
        general, rate = mixed
        texts = {rate: f"every 0 < {rate} < 1/2"} if rate.name not in traced.loss.domains else {}
        return general, ", ".join(texts.get(symbol, every([symbol], traced)) for symbol in values)
    if general.word == "halo" and (outcome.word == "undecided" or general.relaxations == outcome.relaxations):
        return general, every(values, traced)
    if outcome.word == "undecided":
        return outcome, as_set(values)
    if len(values) == 1 and not _mixes(outcome):
        return outcome, _around(judged, outcome)
    outcome, fixed = _freed(judged, outcome)
    free = [symbol for symbol in values if symbol not in fixed]
    holds = f"{every(free, traced)} with {as_set(fixed)}" if free and fixed else as_set(values)
    if general.word == "halo":
        holds += f"; with {', '.join(general.relaxations)} for {every(values, traced)}"
    return outcome, holds


def _mixes(outcome: Outcome) -> bool:
    return "label_mixture" in outcome.relaxations


def _around(judged: Judge, outcome: Outcome) -> str:
    """Return for which values of the only hyperparameter the outcome holds."""
    ((symbol, value),) = judged.values.items()
    limited = replace(judged, deadline=Deadline(min(_REGION_SECONDS, judged.deadline.left())))

    def alike(found: Outcome) -> bool:
        return (found.word, found.relaxations) == (outcome.word, outcome.relaxations)

    def same(other: Expr) -> bool | None:
        found = replace(limited, values={symbol: other}).at({symbol: other})
        return None if found.word == "undecided" else alike(found)

    def proved(relations: Sequence[Relational]) -> bool:
        return alike(replace(limited, domains=[*limited.domains, *relations]).soon({}))

    words = in_time(limited.deadline, lambda: region(symbol, value, same, proved, limited.deadline), None)
    here = as_set(judged.values)
    return here if words is None else f"{here}; {words}" if words.startswith("another") else words


def _freed(judged: Judge, outcome: Outcome) -> tuple[Outcome, dict[Symbol, Expr]]:
    """Return which hyperparameters may vary, the others kept as set, without changing the verdict."""
    fixed = dict(judged.values)
    for symbol in judged.values if len(judged.values) > 1 else ():
        fewer = {other: value for other, value in fixed.items() if other != symbol}
        freed = judged.soon(fewer)
        if (freed.word, freed.relaxations) == (outcome.word, outcome.relaxations):
            outcome, fixed = freed, fewer
    return outcome, fixed


def every(symbols: Sequence[Symbol] | Mapping[Symbol, Expr], traced: Traced) -> str:
    """Return the range of some hyperparameters in words."""
    domains = traced.loss.domains
    texts = [f"every {domains[s.name]}" if s.name in domains else f"every {s} > 0" for s in symbols]
    return ", ".join(texts) or "the loss as it is"


def as_set(values: Mapping[Symbol, Expr]) -> str:
    """Return the hyperparameters' values in words."""
    return ", ".join(f"{symbol} = {value}" for symbol, value in values.items()) or "the loss as it is"
