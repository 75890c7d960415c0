"""Is this loss a HALO? From a loss to a verdict, stage by stage."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real

from sympy import Expr, Symbol
from torch import Tensor

from halotheory.contract import Loss, load_loss, loss_of
from halotheory.deadline import Deadline, time_limit
from halotheory.errors import HaloTheoryError
from halotheory.findings import Verdict
from halotheory.judging.construction import construction_of
from halotheory.judging.decision import Decision, decide, decide_as_set
from halotheory.judging.hyperparameters import as_set
from halotheory.tracing.agreement import check_agreement
from halotheory.tracing.numerics import numeric_warnings
from halotheory.tracing.operations import exact
from halotheory.tracing.trace import Traced, trace

DEFAULT_TIMEOUT = 60.0
"""Seconds that a check may take before what is open stays undecided."""

_LONGEST = 1e6  # seconds, which every timer of a system can count


def check(
    loss: str | os.PathLike[str] | Loss | Callable[..., Tensor],
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
        HaloTheoryError: the loss cannot be read: the contract broken, an operation not supported; or bad settings or
            a bad timeout.
    """
    began = time.monotonic()
    if isinstance(timeout, bool) or not isinstance(timeout, Real) or not 0 < timeout <= _LONGEST:
        raise HaloTheoryError(f"timeout={timeout!r}: give a number of seconds > 0, at most {_LONGEST:g}")
    timeout = float(timeout)
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
            decision = decide(traced, values, deadline)
            if decision.word == "undecided" and values:
                decision = decide_as_set(traced, values, deadline) or decision
    except Exception:  # the alarm of time_limit may surface as whatever the interrupted library makes of it
        if deadline.left() > 0:
            raise
        decision = Decision(word="undecided", notes=[f"no decision within {timeout:g} s"])
    verdict = _verdict(traced, values, decision, strict=strict)
    return replace(verdict, seconds=round(time.monotonic() - began, 3))


def _loaded(loss: str | os.PathLike[str] | Loss | Callable[..., Tensor]) -> Loss:
    if isinstance(loss, Loss):
        return loss
    return load_loss(loss) if isinstance(loss, str | os.PathLike) else loss_of(loss)


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
        text = f"could not be read within {timeout:g} s; a loop without end?"
        raise loss.error(text, line=loss.line_of(error)) from error
    return traced


def _verdict(traced: Traced, values: Mapping[Symbol, Expr], decision: Decision, *, strict: bool) -> Verdict:
    """Return what was decided, in the words of the report."""
    loss, word, relaxations = traced.loss, decision.word, decision.relaxations
    notes = [*traced.notes, *decision.notes, *numeric_warnings(traced)]
    if word == "halo" and loss.needs_kl:
        notes.append(
            "this takes kl at its word, as E_Q[log_ratio]; as a trainer estimates it, clamped and from mismatched "
            "outputs, the loss is a HALO with estimated_reference_point only"
        )
    holds_for = decision.holds_for or as_set(values)
    if strict and (relaxations or decision.strictly_not or (decision.outcome and decision.outcome.strictly_not)):
        word, holds_for = "not_halo", as_set(values)
        notes += [f"a HALO only with {', '.join(relaxations)}, which --strict refuses"] * bool(relaxations)
    numbers = [f"{name} = {value}" for name, value in traced.hyperparameters.items() if not isinstance(value, Symbol)]
    parts = holds_for.split("; ") if values or not numbers else []
    holds_for = "; ".join(", ".join([part, *numbers]) for part in parts) or ", ".join(numbers)
    return Verdict(
        loss=loss.name,
        verdict=word,
        strict=word == "halo" and not relaxations,
        relaxations=relaxations,
        hyperparameters=loss.hyperparameters,
        holds_for=holds_for,
        construction=construction_of(decision) if word == "halo" else None,
        conditions=decision.findings,
        notes=list(dict.fromkeys(notes)),
    )
