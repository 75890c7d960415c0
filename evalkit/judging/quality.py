"""How good a judge is: its agreement with people's labels, and its liking for a slot or for length."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.judging.agreement import cohen_kappa
from evalkit.judging.labels import answers_of, label_of
from evalkit.judging.outputs import content_hash, conversation_of, read_rows
from evalkit.judging.results import Outcome
from evalkit.statistics import Estimate, estimate, mcnemar_mid_p, paired_difference

LEVEL = 0.95
SWAPPED = {"A": "B", "B": "A", "C": "C", "": ""}


@dataclass(frozen=True, kw_only=True)
class Rated:
    """One pair as people and as a judge rated it.

    Attributes:
        cluster: what it belongs to, such as its prompt.
        human: A the first answer, B the second, C neither; "" where undecided.
        judge: the same of the judge, over both orders where it was asked in both; "" where there is no verdict.
        orders: the judge's verdicts with the first answer shown first, then shown second; None where it was asked
            in one order only.
        longer: which answer is longer, A or B; "" where neither is, or the texts are not known.
    """

    cluster: str
    human: str
    judge: str
    orders: tuple[str, str] | None = None
    longer: str = ""


def rated_outcomes(outcomes: Sequence[Outcome], labels: Mapping[str, str]) -> list[Rated]:
    """Return how judged pairs were rated by the judge, in the mean of its orders, and by people."""
    found = []
    for outcome in outcomes:
        both = len(outcome.judgements) == 2
        first, second = (_choice(outcome.preference(judged_first=order)) for order in (True, False))
        found.append(
            Rated(
                cluster=outcome.pair.prompt_id,
                human=labels[outcome.pair.id],
                judge=_choice(outcome.score),
                orders=(first, second) if both else None,
                longer=_longer(outcome.pair.judged, outcome.pair.against),
            )
        )
    return found


def _choice(preference: float | None) -> str:
    if preference is None:
        return ""
    return "A" if preference > 0.5 else "B" if preference < 0.5 else "C"


def _longer(first: str, second: str) -> str:
    return "A" if len(first) > len(second) else "B" if len(second) > len(first) else ""


def read_rated(path: Path, *, human: str | None, judge: str, swapped: str | None = None) -> list[Rated]:
    """Return the ratings in a file with people's and a judge's verdicts on the same pairs.

    Args:
        path: JSON lines, gzipped or not, or a JSON array.
        human: the column of people's labels, or several with commas, of which a majority decides.
        judge: the column of the judge's verdicts, in the same words.
        swapped: the column of its verdicts on the answers in the other order: there, 1 is the answer shown first.

    Raises:
        EvalkitError: a file that cannot be read, or without these columns, or a column that is compared with itself.
    """
    if judge in {swapped, *(human or "").split(",")}:
        raise EvalkitError(f"--judge {judge}: the same column as --human or --swapped; give the judge's own verdicts")
    found = []
    for place, row in read_rows(path):
        answers = answers_of(place, row)
        choice, other = label_of(place, row, judge), None
        if swapped is not None:
            other = SWAPPED[label_of(place, row, swapped)]
        prompt = next((row[name] for name in ("prompt", "instruction", "input") if name in row), place)
        found.append(
            Rated(
                cluster=content_hash(conversation_of(place, "prompt", prompt)),
                human=label_of(place, row, human),
                judge=choice if other is None else _together(choice, other),
                orders=None if other is None else (choice, other),
                longer="" if answers is None else _longer(*answers),
            )
        )
    if not found:
        raise EvalkitError(f"{path}: holds no rows; expected JSON lines with labels and verdicts")
    return found


def _together(first: str, second: str) -> str:
    """Return the verdict of both orders: neither answer where they differ, none where one is missing."""
    if not first or not second:
        return ""
    value = {"A": 1.0, "C": 0.5, "B": 0.0}
    return _choice((value[first] + value[second]) / 2)


def quality(rated: Sequence[Rated], *, level: float = LEVEL) -> dict[str, Any]:
    """Return how far a judge agrees with people, and its biases; the fields are those of docs/judging.md.

    Pairs that people left undecided, or the judge without a verdict, are counted and left out.

    Raises:
        EvalkitError: no pair with both.
    """
    used = [one for one in rated if one.human and one.judge]
    if not used:
        raise EvalkitError("no pair has both a label and a verdict; there is no agreement to measure")
    decided = [one for one in used if one.human != "C" and one.judge != "C"]
    return {
        "n": len(used),
        "unlabelled": sum(not one.human for one in rated),
        "without_verdict": sum(bool(one.human) and not one.judge for one in rated),
        "agreement": _estimated(used, level),
        "agreement_decided": _estimated(decided, level) if decided else None,
        "kappa": _kappa(used, level),
        "kappa_decided": _kappa(decided, level) if decided else None,
        "swap": _swap(rated, level),
        "first_answer": _first_bias(decided, level) if decided else None,
        "longer": _longer_bias(decided, level),
    }


def _kappa(rated: Sequence[Rated], level: float) -> dict[str, Any]:
    human, judge = [one.human for one in rated], [one.judge for one in rated]
    found = cohen_kappa(human, judge, clusters=_clusters(rated), level=level)
    return asdict(found) | {"interval": None if found.interval is None else list(found.interval)}


def _estimated(rated: Sequence[Rated], level: float) -> dict[str, Any]:
    found = estimate([float(one.human == one.judge) for one in rated], clusters=_clusters(rated), level=level)
    return _shown(found)


def _shown(found: Estimate) -> dict[str, Any]:
    return {
        "share": found.score,
        "n": found.n,
        "interval": None if found.interval is None else list(found.interval),
        "level": found.level,
        "method": found.method,
    }


def _clusters(rated: Sequence[Rated]) -> list[str]:
    return [one.cluster for one in rated]


def _swap(rated: Sequence[Rated], level: float) -> dict[str, Any] | None:
    """Return how often the judge says the same in both orders, and which slot it leans to where it does not."""
    both = [one for one in rated if one.orders is not None and all(one.orders)]
    if not both:
        return None
    orders = [one.orders for one in both if one.orders is not None]
    same = estimate([float(first == second) for first, second in orders], clusters=_clusters(both), level=level)
    value = {"A": 1.0, "C": 0.5, "B": 0.0}
    leans = [value[first] - value[second] for first, second in orders]
    to_first, to_second = sum(lean > 0 for lean in leans), sum(lean < 0 for lean in leans)
    return _shown(same) | {
        "first_slot_twice": to_first,
        "second_slot_twice": to_second,
        "p_value": mcnemar_mid_p(to_first, to_second),
        "test": "sign test of the leanings, mid-p",
    }


def _first_bias(rated: Sequence[Rated], level: float) -> dict[str, Any]:
    """Return how often judge and people pick the first answer, and the paired difference.

    For a judge that always saw that answer first this is its liking for the first slot, less what is due to merit.
    """
    judge = [float(one.judge == "A") for one in rated]
    human = [float(one.human == "A") for one in rated]
    return _difference(judge, human, _clusters(rated), level)


def _longer_bias(rated: Sequence[Rated], level: float) -> dict[str, Any] | None:
    """Return how often judge and people pick the longer answer, and the paired difference."""
    known = [one for one in rated if one.longer]
    if not known:
        return None
    judge = [float(one.judge == one.longer) for one in known]
    human = [float(one.human == one.longer) for one in known]
    return _difference(judge, human, _clusters(known), level)


def _difference(judge: list[float], human: list[float], clusters: list[str], level: float) -> dict[str, Any]:
    found = paired_difference(judge, human, clusters=clusters, level=level)
    return {
        "judge": sum(judge) / len(judge),
        "human": sum(human) / len(human),
        "n": len(judge),
        "difference": found.difference,
        "interval": None if found.interval is None else list(found.interval),
        "method": found.interval_method,
        "p_value": found.p_value,
        "test": found.test,
    }
