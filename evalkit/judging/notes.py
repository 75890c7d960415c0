"""What a reader of a judged run's numbers has to know."""

from collections.abc import Mapping, Sequence

from evalkit.judging.budget import Usage
from evalkit.judging.plan import Plan
from evalkit.judging.preflight import Settings
from evalkit.judging.results import Outcome


def notes(
    plan: Plan,
    outcomes: Mapping[str, Sequence[Outcome]],
    settings: Settings,
    usage: Usage,
    served: Mapping[str, int],
) -> list[str]:
    """Return the notes that belong beside the results, one sentence each."""
    found = [
        "The interval holds the chance in which prompts were judged; the judge's own noise and taste, and the seed of "
        "training, are outside it."
    ]
    wanted = plan.options.settings
    if settings.top_logprobs is None and wanted.top_logprobs is not None:
        found.append("The server offers no log-probabilities of the verdict; verdicts are read from text.")
    if settings.temperature is None and wanted.temperature is not None:
        found.append("The server takes no temperature; asked again, it may judge otherwise.")
    if plan.options.orders != "both":
        found.append("Each pair was judged in one order; the judge's liking for a slot is in the win rate's noise.")
    if plan.options.orders == "one":
        found.append("The judged output always came first; the judge's liking for that slot is in the win rate.")
    missing = sum(outcome.score is None for every in outcomes.values() for outcome in every)
    if missing:
        total = sum(map(len, outcomes.values()))
        found.append(
            f"{missing} of {total} pairs have no verdict and are left out; if judges refuse or run out of room more "
            "often on one model's outputs, the win rate leans."
        )
    if len(served) > 1:
        found.append(
            f"The server answered as several models or systems: {', '.join(served)}; they may judge differently."
        )
    left = plan.matched.without_target + plan.matched.ambiguous
    if left:
        found.append(f"{left} outputs had no counterpart and were not judged.")
    if usage.unreported:
        found.append(
            f"The server reported no tokens for {usage.unreported} of {usage.calls} calls; they are estimated."
        )
    return found
