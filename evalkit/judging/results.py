"""What a judged run found: a preference per pair, and what they say together."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evalkit.errors import EvalkitError
from evalkit.judging.criteria import Criterion
from evalkit.judging.length import length_adjusted
from evalkit.judging.outputs import Pair, content_hash, shown
from evalkit.judging.plan import Comparison
from evalkit.judging.replies import Reply
from evalkit.judging.verdicts import Verdict, read_verdict
from evalkit.statistics import estimate, exact, paired_difference, unpaired_difference, win_rate

LEVEL = 0.95
PAPER_LEVEL = 0.90
"""Of the binomial intervals in the KTO paper's Table 3."""

METRIC = "preference"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the judge said of one comparison.

    Attributes:
        comparison: which.
        verdict: as read; missing where there is none.
        preference: for the judged output, in [0, 1]; None where the verdict is missing.
        failed: whether the request got no answer at all.
    """

    comparison: Comparison
    verdict: Verdict
    preference: float | None
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the judge said of one pair under one criterion, in one or both orders.

    Attributes:
        pair: which.
        criterion: by what.
        judgements: of each order.
    """

    pair: Pair
    criterion: Criterion
    judgements: tuple[Judgement, ...]

    @property
    def score(self) -> float | None:
        """The mean preference over the orders; None where any of them is missing, as one order alone is biased."""
        preferences = [one.preference for one in self.judgements]
        known = [preference for preference in preferences if preference is not None]
        return sum(known) / len(known) if len(known) == len(preferences) else None

    @property
    def error(self) -> str:
        """Why there is no score; "" where there is one."""
        return "; ".join(dict.fromkeys(one.verdict.missing for one in self.judgements if one.preference is None))

    def preference(self, *, judged_first: bool) -> float | None:
        """The preference in one order; None where it is missing or was not asked."""
        found = [one.preference for one in self.judgements if one.comparison.judged_first is judged_first]
        return found[0] if found else None


def read_judgement(comparison: Comparison, reply: Reply | None, failure: str) -> Judgement:
    """Return what a reply says of a comparison, or that there is none."""
    if reply is None:
        verdict = Verdict(missing=f"no answer: {failure or 'not asked'}")
    else:
        verdict = read_verdict(reply, comparison.question.tag, ties=comparison.question.ties)
    first = verdict.first
    preference = first if first is None or comparison.judged_first else 1 - first
    return Judgement(comparison=comparison, verdict=verdict, preference=preference, failed=reply is None)


def outcomes_of(judgements: Iterable[Judgement]) -> dict[str, list[Outcome]]:
    """Return the outcomes by benchmark, `judge:CRITERION`, in the order of the pairs."""
    grouped: dict[tuple[str, str], list[Judgement]] = {}
    for one in judgements:
        grouped.setdefault((one.comparison.criterion.name, one.comparison.pair.id), []).append(one)
    found: dict[str, list[Outcome]] = {}
    for (name, _), together in grouped.items():
        comparison = together[0].comparison
        outcome = Outcome(pair=comparison.pair, criterion=comparison.criterion, judgements=tuple(together))
        found.setdefault(f"judge:{name}", []).append(outcome)
    return found


def sample_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the lines of samples.jsonl: one per pair, with the verdict of each order.

    `id` is the hash of the prompt, so that two models judged against the same target are compared pair by pair;
    `prompt_hash` is that of everything the judge saw but the judged output.
    """
    return [_sample(outcome) for outcome in outcomes]


def _sample(outcome: Outcome) -> dict[str, Any]:
    pair, score = outcome.pair, outcome.score
    row: dict[str, Any] = {
        "benchmark": f"judge:{outcome.criterion.name}",
        "subset": "",
        "id": pair.id,
        "score": score,
        "metric": METRIC,
        "higher_is_better": True,
        "prompt": shown(pair.conversation),
        "response": pair.judged,
        "prediction": None if score is None else "win" if score > 0.5 else "loss" if score < 0.5 else "tie",
        "target": pair.against,
        "prompt_hash": content_hash(pair.conversation, pair.against, outcome.criterion.question),
        "cluster": pair.prompt_id,
        "orders": [_order(one) for one in outcome.judgements],
    }
    return row if score is not None else row | {"error": outcome.error}


def _order(one: Judgement) -> dict[str, Any]:
    return {
        "judged_first": one.comparison.judged_first,
        "verdict": one.verdict.choice,
        "preference": one.preference,
        "read_by": one.verdict.read_by,
        "missing": one.verdict.missing,
    }


def criterion_results(outcomes: Sequence[Outcome], orders: str) -> dict[str, Any]:
    """Return what the pairs of one criterion say together; the fields are those of docs/judging.md.

    Args:
        outcomes: of every pair, scored or not.
        orders: `both`, `random` or `one`.
    """
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    missing = Counter(one.error for one in outcomes if one.score is None)
    found: dict[str, Any] = {
        "score": None,
        "n": len(scored),
        "interval": None,
        "level": LEVEL,
        "method": "none: nothing was scored",
        "metric": METRIC,
        "higher_is_better": True,
        "failed": len(outcomes) - len(scored),
        "missing": dict(sorted(missing.items())),
        "read_by": dict(sorted(Counter(j.verdict.read_by for o in scored for j in o.judgements).items())),
    }
    if not scored:
        return found
    scores, clusters = _scores(scored), _clusters(scored)
    rate = win_rate(scores, clusters=clusters, level=LEVEL)
    return found | {
        "score": rate.win_rate,
        "interval": _listed(rate.interval),
        "method": rate.interval_method,
        "assumptions": rate.assumptions,
        "p_value": rate.p_value,
        "test": rate.test,
        "wins": rate.wins,
        "ties": rate.ties,
        "losses": rate.losses,
        "outright": _outright(rate.wins, rate.n),
        "slots": _slots(scored, orders),
        "swap": _swap(scored) if orders == "both" else None,
        "length": _length(scored),
    }


def _scores(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.score for outcome in outcomes if outcome.score is not None]


def _clusters(outcomes: Sequence[Outcome]) -> list[str] | None:
    """Return the prompt of each pair where some prompts have several, else None."""
    names = [outcome.pair.prompt_id for outcome in outcomes]
    return names if len(set(names)) < len(names) else None


def _outright(wins: int, n: int) -> dict[str, Any]:
    """Return the share of pairs won, ties not among them, with the exact interval of the paper's Table 3."""
    found = exact(wins, n, level=PAPER_LEVEL)
    return {
        "share": found.score,
        "n": n,
        "interval": _listed(found.interval),
        "level": PAPER_LEVEL,
        "method": found.method,
    }


def _slots(outcomes: Sequence[Outcome], orders: str) -> dict[str, Any] | None:
    """Return the win rate shown first less the win rate shown second: 0 for a judge that does not mind the order."""
    if orders == "one":
        return None
    sides = [[outcome.preference(judged_first=first) for outcome in outcomes] for first in (True, False)]
    first, second = ([value for value in side if value is not None] for side in sides)
    if not first or not second:
        return None
    if orders == "both":
        gap = paired_difference(first, second, clusters=_clusters(outcomes), level=LEVEL)
    else:
        gap = unpaired_difference(first, second, level=LEVEL)
    return {
        "shown_first": float(np.mean(first)),
        "shown_second": float(np.mean(second)),
        "gap": gap.difference,
        "interval": _listed(gap.interval),
        "method": gap.interval_method,
        "p_value": gap.p_value,
        "test": gap.test,
    }


def _swap(outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
    """Return how often the judge says the same in both orders, and which slot it takes where it does not.

    Two answers that are equal are one question in both orders; any verdict on it but a tie leans to a slot.
    """
    different = [outcome for outcome in outcomes if outcome.pair.judged != outcome.pair.against]
    if not different:
        return None
    signs = []
    for outcome in different:
        first, second = outcome.preference(judged_first=True), outcome.preference(judged_first=False)
        assert first is not None
        assert second is not None
        signs.append((_sign(first), _sign(second)))
    same = [float(a == b) for a, b in signs]
    found = estimate(same, clusters=_clusters(different), level=LEVEL)
    return {
        "share": found.score,
        "n": found.n,
        "interval": _listed(found.interval),
        "method": found.method,
        "first_slot_twice": sum(a > b for a, b in signs),
        "second_slot_twice": sum(a < b for a, b in signs),
        "equal_answers": len(outcomes) - len(different),
    }


def _sign(preference: float) -> int:
    """Return 1 for a win, -1 for a loss, 0 for a tie."""
    return (preference > 0.5) - (preference < 0.5)


def _length(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the win rate by which answer is longer, in characters, and at equal lengths."""
    sides: Mapping[str, Callable[[int], bool]] = {
        "judged_longer": lambda difference: difference > 0,
        "judged_shorter": lambda difference: difference < 0,
        "equal": lambda difference: difference == 0,
    }
    differences = [len(outcome.pair.judged) - len(outcome.pair.against) for outcome in outcomes]
    found: dict[str, Any] = {
        "mean_characters": float(np.mean([len(outcome.pair.judged) for outcome in outcomes])),
        "mean_characters_against": float(np.mean([len(outcome.pair.against) for outcome in outcomes])),
    }
    for name, belongs in sides.items():
        chosen = [one for one, difference in zip(outcomes, differences, strict=True) if belongs(difference)]
        found[name] = None
        if chosen:
            rate = win_rate(_scores(chosen), clusters=_clusters(chosen), level=LEVEL)
            found[name] = {"win_rate": rate.win_rate, "n": rate.n, "interval": _listed(rate.interval)}
    try:
        adjusted = length_adjusted(_scores(outcomes), differences, clusters=_clusters(outcomes), level=LEVEL)
    except EvalkitError as error:
        return found | {"adjusted": None, "not_adjusted": str(error)}
    intervals = {"interval": _listed(adjusted.interval), "slope_interval": _listed(adjusted.slope_interval)}
    return found | {"adjusted": asdict(adjusted) | intervals}


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [float(limit) for limit in interval]
