"""What halotheory says of the loss that a run was trained with."""

from halotheory.contract import Loss
from halotheory.findings import Finding, Status, Verdict
from trainer.model_card import plain

SECONDS = 30.0
"""That a check may take: the model is on disk before it begins, and is not kept from its user for longer."""


def verdict_lines(loss: Loss, spec: str, *, seconds: float = SECONDS) -> list[str]:
    """Return the verdict on a loss with the hyperparameters in force, as lines of Markdown, the first in one sentence.

    A loss file is checked in a process of its own, so that nothing that it does there touches the run. A loss that
    cannot be checked has that as its first line.

    Args:
        loss: with its hyperparameters.
        spec: as `--loss` names it.
        seconds: that the check may take, after which what is open is undecided.
    """
    from halotheory.checking import check
    from halotheory.isolation import check_file_isolated, is_file

    try:
        if is_file(spec):
            verdict = check_file_isolated(spec, settings=loss.hyperparameters, timeout=seconds)
        else:
            verdict = check(loss, timeout=seconds)
    except Exception as error:  # the checker's limits and faults are none of the run's
        return [f"**not checked**: {plain(str(error)) or type(error).__name__}"]
    lines = [_sentence(verdict)]
    if verdict.construction is not None:
        made = verdict.construction
        lines += [
            f"implied reward `{made.implied_reward}`, value function `{made.value_function}`",
            f"reference point: {made.reference_point}",
        ]
    if verdict.verdict != "halo":
        lines += [_open(found) for found in verdict.conditions if found.status is not Status.PROVED]
    return lines + list(verdict.notes)


def _sentence(verdict: Verdict) -> str:
    holds = f", for {verdict.holds_for}" if verdict.holds_for else ""
    if verdict.verdict == "halo":
        relaxations = ", ".join(f"`{name}`" for name in verdict.relaxations)
        return f"**a HALO**, {'strictly' if verdict.strict else f'with {relaxations}'} (proved){holds}"
    if verdict.verdict == "not_halo":
        return f"**not a HALO** (refuted){holds}"
    return "**undecided**: neither proved nor refuted to be a HALO"


def _open(found: Finding) -> str:
    witness = ", ".join(f"`{name}` = `{value}`" for name, value in (found.witness or {}).items())
    return f"`{found.name}` {found.status.value}: {found.statement}" + (f" ({witness})" if witness else "")
