"""The verdict in a judge's reply: read from the exact line that was asked for, or missing."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.judging.replies import Reply

LINE = re.compile(r"^[ \t*`]*Verdict (?P<tag>\w+):[ \t*`]*(?P<choice>[ABC])[ \t*`.\r]*$", re.MULTILINE)
"""Asterisks, backticks and a full stop are markup that judges add unasked."""

PREFERENCE_FOR_A = {"A": 1.0, "B": 0.0, "C": 0.5}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a judge said of one comparison in one order.

    Attributes:
        choice: A, B, or C for neither; None where the reply holds no verdict.
        first: the preference for the response shown first, in [0, 1]; None where there is no verdict.
        read_by: `logprobs` or `text`; "" where there is no verdict.
        missing: why there is no verdict; "" where there is one.
    """

    choice: str | None = None
    first: float | None = None
    read_by: str = ""
    missing: str = ""


def read_verdict(reply: Reply, tag: str, *, ties: bool) -> Verdict:
    """Return the verdict of a reply.

    It counts only if the reply is whole and its last line is `Verdict TAG: X`; a reply with two different verdict
    lines has none. With log-probabilities of that X, the preference is P(A) / (P(A) + P(B)), and
    (P(A) + P(C) / 2) / (P(A) + P(B) + P(C)) where C is offered; an X that is not among those listed counts as
    impossible. Without them it is 1, 0 or 1/2.

    Args:
        reply: the judge's.
        tag: that of the question: no text that was judged can hold it, so no echo of one is a verdict.
        ties: whether C is offered.
    """
    missing = _why_none(reply)
    if missing:
        return Verdict(missing=missing)
    choices = "ABC" if ties else "AB"
    text = reply.content.rstrip()
    found = [line for line in LINE.finditer(text) if line["tag"] == tag and line["choice"] in choices]
    if not found or found[-1].end() != len(text):
        return Verdict(missing="no verdict line at the end of the reply")
    if len({line["choice"] for line in found}) > 1:
        return Verdict(missing="contradictory verdict lines")
    choice = found[-1]["choice"]
    likely = _preference(reply.tokens, reply.content, found[-1].start("choice"), choices)
    if likely is None:
        return Verdict(choice=choice, first=PREFERENCE_FOR_A[choice], read_by="text")
    return Verdict(choice=choice, first=likely, read_by="logprobs")


def _why_none(reply: Reply) -> str:
    if reply.rejected:
        return f"refused by the server: {reply.rejected}"
    if reply.refusal:
        return "refusal"
    if reply.finish_reason == "content_filter":
        return "stopped by a content filter"
    if reply.finish_reason == "length":
        return "cut at the limit of tokens"
    return "" if reply.content.strip() else "empty reply"


def _preference(tokens: Sequence[Mapping[str, Any]], content: str, at: int, choices: str) -> float | None:
    """Return the preference for A at the token of the letter at `at`; None where log-probabilities do not tell.

    Tokens are placed from the end, where the verdict is: earlier ones may hold parts of characters, and the last may
    be a special token that the content leaves out.
    """
    end, placed = len(content), False
    for token in reversed(tokens):
        start = end - len(token["token"])
        if content[max(start, 0) : end] != token["token"]:
            if placed:
                return None
            continue
        placed = placed or start < end
        if start <= at < end:
            return _share(token, token["token"][: at - start], choices)
        end = start
    return None


def _share(token: Mapping[str, Any], before: str, choices: str) -> float | None:
    """Return the preference for A from the alternatives of the verdict's token.

    Args:
        token: `token`, `logprob` and `top` of alternatives.
        before: what the token holds before the letter, such as a space.
        choices: the letters offered.
    """
    listed = {one["token"]: one["logprob"] for one in (*token["top"], token)}
    mass = dict.fromkeys(choices, 0.0)
    for text, logprob in listed.items():
        letter = text.removeprefix(before).strip(" \t*`.\n")
        if letter in mass and not math.isnan(logprob) and logprob <= 0.01:  # rounding may leave it above 0
            mass[letter] += math.exp(logprob)
    total = sum(mass.values())
    return (mass["A"] + mass.get("C", 0.0) / 2) / total if total > 0 else None
