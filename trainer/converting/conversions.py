"""Pairs, thumbs and scored answers made into each other: functions of one row, or of one prompt's rows."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby

from trainer.converting.dialogue import answer_as_chat, answer_as_text, prompt_as_chat, prompt_as_text
from trainer.converting.steps import Step, UnusableRowError
from trainer.data import Row


def thumbs_of_pair(row: Row) -> list[Row]:
    """Return two labelled completions: the chosen, desirable, and the rejected, undesirable."""
    return [
        Row(place=row.place, values={"prompt": row.values["prompt"], "completion": row.values[column], "label": label})
        for column, label in (("chosen", True), ("rejected", False))
    ]


def thumb_of_score(row: Row, threshold: float) -> list[Row]:
    """Return a labelled completion: desirable above the threshold; its weight as given, or else |score - threshold|.

    Raises:
        UnusableRowError: the score is the threshold.
    """
    score = row.values["score"]
    if score == threshold:
        raise UnusableRowError(f"the score is the threshold, {threshold:g}")
    values = {
        "prompt": row.values["prompt"],
        "completion": row.values["completion"],
        "label": score > threshold,
        "weight": row.values.get("weight", float(abs(score - threshold))),
    }
    return [Row(place=row.place, values=values)]


def pairs_of_answers(answers: list[Row], how: str, step: Step) -> Iterator[Row]:
    """Yield pairs of one prompt's answers that differ in score (scored, with the margin kept) or in label.

    Args:
        answers: scored or labelled, of one prompt.
        how: `all` pairs, or `best-worst`: one, of the earliest best and the earliest worst.
        step: counts every answer, and those in no pair.
    """
    step.rows += len(answers)
    ranked = sorted(answers, key=_score, reverse=True)  # stable: the earlier of two equals first
    best, worst = _score(ranked[0]), _score(ranked[-1])
    if best == worst:
        reason = "the only answer to its prompt" if len(answers) == 1 else "all answers to its prompt are rated alike"
        step.drop(reason, answers[0].place, len(answers))
        return
    if how == "best-worst":
        last = next(row for row in ranked if _score(row) == worst)
        made = [_pair(ranked[0], last)]
        for row in answers:
            if row is not ranked[0] and row is not last:
                step.drop("neither the best nor the worst answer to its prompt", row.place)
    else:
        tiers = [list(tier) for _, tier in groupby(ranked, key=_score)]
        made = (_pair(c, r) for at, tier in enumerate(tiers) for c in tier for low in tiers[at + 1 :] for r in low)
    for pair in made:
        step.made += 1
        yield pair


def in_style(style: str) -> Callable[[Row], list[Row]]:
    """Return the function that makes rows chat or text."""
    return partial(_styled, chat=style == "chat")


def is_chat(row: Row) -> bool:
    """Whether a row is a conversation in messages."""
    return not isinstance(row.values["prompt"], str)


def _styled(row: Row, *, chat: bool) -> list[Row]:
    prompt, values = row.values["prompt"], dict(row.values)
    values["prompt"] = prompt_as_chat(prompt) if chat else prompt_as_text(prompt)
    for column in ("completion", "chosen", "rejected"):
        if column in values:
            answer = values[column]
            values[column] = answer_as_chat(answer, prompt) if chat else answer_as_text(answer)
    return [Row(place=row.place, values=values)]


def _score(row: Row) -> float:
    return row.values["score"] if "score" in row.values else float(row.values["label"])


def _pair(chosen: Row, rejected: Row) -> Row:
    values = {
        "prompt": chosen.values["prompt"],
        "chosen": chosen.values["completion"],
        "rejected": rejected.values["completion"],
    }
    if "score" in chosen.values:
        values["margin"] = float(_score(chosen) - _score(rejected))  # whole numbers may be larger than Parquet holds
    return Row(place=chosen.place, values=values)
