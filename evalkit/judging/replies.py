"""A judge's reply: checked when it arrives, and as it is journalled."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KEPT_TOKENS = 12
"""Of a reply, the last so many are kept with their alternatives: the verdict is at the end."""


MOST_TOKENS = 10**8
"""Of one call; a server that reports more is not believed."""


class MalformedReplyError(Exception):
    """Something arrived that is not a chat completion; the message says what it is."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a server answered to one request.

    Attributes:
        content: the text; "" where there is none.
        finish_reason: `stop`, `length`, `content_filter`, ...; "" where the server does not say.
        refusal: the text of a refusal; "" where there is none.
        tokens: the last of the content, each `token`, `logprob` (nats) and `top` (alternatives, each `token`,
            `logprob`); empty where the server does not offer them.
        prompt_tokens: billed; None where the server does not say.
        completion_tokens: billed; None where the server does not say.
        model: the name that the server gives its model.
        fingerprint: of the server's system; "" where it gives none.
        rejected: why the server will never answer this request (too long, filtered); "" where it did answer.
    """

    content: str = ""
    finish_reason: str = ""
    refusal: str = ""
    tokens: tuple[Mapping[str, Any], ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    fingerprint: str = ""
    rejected: str = ""

    def as_row(self) -> dict[str, Any]:
        """Return the fields for a line of JSON."""
        return {name: value for name, value in asdict(self).items() if value not in ("", (), None)}


def reply_from_row(row: Mapping[str, Any]) -> Reply:
    """Return a reply as `Reply.as_row` wrote it.

    Raises:
        TypeError: other fields.
    """
    return Reply(**{**row, "tokens": tuple(row.get("tokens", ()))})


def parse_reply(payload: Any) -> Reply:
    """Return the reply in a chat completion.

    Raises:
        MalformedReplyError: not a chat completion with one message.
    """
    if not isinstance(payload, dict):
        raise MalformedReplyError(f"{type(payload).__name__} in place of a chat completion")
    if payload.get("error") and not payload.get("choices"):
        raise MalformedReplyError(f"an error in place of a reply: {payload['error']}")
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedReplyError("a reply without choices")
    message = choices[0].get("message")
    if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
        raise MalformedReplyError("a reply without a message")
    usage = payload.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        content=message.get("content") or "",
        finish_reason=_text(choices[0].get("finish_reason")),
        refusal=_text(message.get("refusal")),
        tokens=_tokens(choices[0].get("logprobs")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        model=_text(payload.get("model")),
        fingerprint=_text(payload.get("system_fingerprint")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None


def _tokens(logprobs: Any) -> tuple[dict[str, Any], ...]:
    """Return the tokens with their alternatives; nothing where any of them cannot be read."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    found = []
    for token in content[-KEPT_TOKENS:] if isinstance(content, list) else []:
        one = _token(token)
        top = token.get("top_logprobs") if one else None
        alternatives = [_token(other) for other in top] if isinstance(top, list) else []
        if one is None or None in alternatives:
            return ()
        found.append({**one, "top": alternatives})
    return tuple(found)


def _token(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("token"), str):
        return None
    logprob = value.get("logprob")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or math.isnan(logprob):
        return None
    return {"token": value["token"], "logprob": max(float(logprob), -9999.0)}  # JSON has no minus infinity
