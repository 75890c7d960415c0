"""Rows of Anthropic HH, SHP and UltraFeedback made into pairs or scored answers."""

from collections.abc import Mapping
from typing import Any

from trainer.converting.checks import number, number_problem, require, text
from trainer.converting.dialogue import ASSISTANT, HUMAN, Messages, is_transcript, turns
from trainer.converting.steps import UnusableRowError
from trainer.data import Row, shown, text_problem
from trainer.errors import TrainerError


def hh(row: Row) -> list[Row]:
    """Return the pair of a row of Anthropic/hh-rlhf: two transcripts that differ in the assistant's last turn.

    Source: Bai et al. 2022, arXiv 2204.05862.

    Raises:
        TrainerError: a column that is no text, or no transcript at all.
        UnusableRowError: a role speaks twice running, the assistant not last, or the transcripts differ before the
            last turn.
    """
    chosen, rejected = (_split(text(row, column), row, column) for column in ("chosen", "rejected"))
    if chosen[0] != rejected[0]:
        raise UnusableRowError("chosen and rejected answer different prompts")
    return [Row(place=row.place, values={"prompt": chosen[0], "chosen": chosen[1], "rejected": rejected[1]})]


def shp(row: Row, min_score_ratio: float | None = None) -> list[Row]:
    """Return the pair of a row of stanfordnlp/SHP: two comments on a post, the one with the higher score chosen.

    Source: Ethayarajh et al. 2022, "Understanding dataset difficulty with V-usable information". By the data's card,
    pairs with a large ratio of scores, 2 say, give the stronger signal.

    Args:
        row: history, human_ref_A, human_ref_B, score_A, score_B; labels where present.
        min_score_ratio: the least ratio of the higher score to the lower; none: any.

    Raises:
        TrainerError: a missing column, a text, a score or a label that is none.
        UnusableRowError: a tie, a label against the scores, too small a ratio.
    """
    score_a, score_b = number(row, "score_A"), number(row, "score_B")
    if score_a == score_b:
        raise UnusableRowError("both scores are equal")
    label = row.values.get("labels")
    if label not in (None, 0, 1):  # text, which is true whatever it says
        raise TrainerError(f"{row.place}: labels is {shown(label)}; expected 0 or 1, or no such column")
    if label is not None and bool(label) != (score_a > score_b):
        raise UnusableRowError("the label prefers the answer with the lower score")
    low, high = sorted((score_a, score_b))
    if min_score_ratio is not None and (low <= 0 or high / low < min_score_ratio):
        raise UnusableRowError(
            f"score ratio below {min_score_ratio:g}" if low > 0 else "a score is not positive: no ratio"
        )
    chosen, rejected = ("human_ref_A", "human_ref_B") if score_a > score_b else ("human_ref_B", "human_ref_A")
    values = {
        "prompt": [{"role": "user", "content": text(row, "history")}],
        "chosen": [{"role": "assistant", "content": text(row, chosen)}],
        "rejected": [{"role": "assistant", "content": text(row, rejected)}],
    }
    return [Row(place=row.place, values=values)]


def ultrafeedback(row: Row, signal: str = "fine-grained") -> list[Row]:
    """Return the scored answers of a row of openbmb/UltraFeedback: one instruction, several models' completions.

    Source: Cui et al. 2023, arXiv 2310.01377. `fine-grained` is the mean of the four aspects' ratings; `overall` the
    critique's score, some of which are known to contradict their critique (Notus, Argilla 2023).

    Raises:
        TrainerError: completions that are no list of objects, a text or a score that is none.
        UnusableRowError: there are no completions.
    """
    prompt = [{"role": "user", "content": text(row, "instruction")}]
    completions = require(row, "completions")
    if not isinstance(completions, list) or not all(isinstance(one, Mapping) for one in completions):
        raise TrainerError(f"{row.place}: completions is {shown(completions)}; expected a list of objects")
    if not completions:
        raise UnusableRowError("no completions")
    column = {"fine-grained": "fine-grained_score", "overall": "overall_score"}[signal]
    rows = []
    for place, answer in ((f"{row.place} completion {at}", one) for at, one in enumerate(completions, start=1)):
        one = Row(place=place, values=dict(answer))
        values: dict[str, Any] = {
            "prompt": prompt,
            "completion": [{"role": "assistant", "content": text(one, "response")}],
            "score": number(one, column),
            "group": row.place,
        }
        rows.append(Row(place=place, values=values))
    return rows


def ultrafeedback_binarized(row: Row) -> list[Row]:
    """Return the pair of a row of HuggingFaceH4/ultrafeedback_binarized: two conversations, with scores.

    Raises:
        TrainerError: a conversation that is none, a score that is none.
        UnusableRowError: the conversations differ before the last message, or end with another than the assistant's.
    """
    (prompt, chosen), (other, rejected) = (_ending(row, column) for column in ("chosen", "rejected"))
    if prompt != other:
        raise UnusableRowError("chosen and rejected answer different prompts")
    values: dict[str, Any] = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    scores = [row.values.get(column) for column in ("score_chosen", "score_rejected")]
    if None not in scores:
        for column, score in zip(("score_chosen", "score_rejected"), scores, strict=True):
            if problem := number_problem(score):
                raise TrainerError(f"{row.place}: {column} {problem}")
        values["margin"] = float(number(row, "score_chosen") - number(row, "score_rejected"))
    return [Row(place=row.place, values=values)]


def _split(transcript: str, row: Row, column: str) -> tuple[str, str]:
    """Return a transcript up to its last heading `Assistant:`, and what follows."""
    if not is_transcript(transcript):
        raise TrainerError(
            f"{row.place}: {column} is {shown(transcript)}; expected a transcript that begins with {HUMAN!r}"
        )
    if turns(transcript)[-1]["role"] != "assistant":
        raise UnusableRowError(f"{column} does not end with the assistant")
    end = transcript.rindex(ASSISTANT) + len(ASSISTANT)
    return transcript[:end], transcript[end:]


def _ending(row: Row, column: str) -> tuple[Messages, Messages]:
    """Return a conversation without its last message, and that."""
    value = require(row, column)
    problem = text_problem(value) if isinstance(value, list) else f"is {shown(value)}; expected a list of messages"
    if problem:
        raise TrainerError(f"{row.place}: {column} {problem}")
    if len(value) < 2 or value[-1]["role"] != "assistant":
        raise UnusableRowError(f"{column} does not end with the assistant's answer to a prompt")
    return value[:-1], value[-1:]
