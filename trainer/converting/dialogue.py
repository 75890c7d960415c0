"""Conversations as lists of messages (chat) and as one text (`Human:` and `Assistant:` turns)."""

import re
from itertools import pairwise

from trainer.converting.steps import UnusableRowError

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
ROLES = {"Human": "user", "Assistant": "assistant"}
_HEADINGS = {"user": HUMAN, "assistant": ASSISTANT}
_TURN = re.compile(r"\n\n(Human|Assistant):")

Messages = list[dict[str, str]]


def is_transcript(text: str) -> bool:
    """Whether a text is a conversation written as one: it begins with a Human: turn."""
    return text.startswith(HUMAN)


def turns(transcript: str) -> Messages:
    """Return the messages of a transcript, spaces around each removed.

    Raises:
        UnusableRowError: it does not begin with a turn, or one role speaks twice running.
    """
    before, *parts = _TURN.split(transcript)
    messages = [
        {"role": ROLES[name], "content": text.strip()} for name, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    if before.strip() or not messages:
        raise UnusableRowError("text before the first Human: or Assistant: turn")
    if any(one["role"] == other["role"] for one, other in pairwise(messages)):
        raise UnusableRowError("one role speaks twice running")
    return messages


def prompt_as_chat(prompt: str | Messages) -> Messages:
    """Return a prompt as messages; a text that is no transcript is one message of the user's.

    Raises:
        UnusableRowError: it is no transcript of turns, or begins the answer.
    """
    if not isinstance(prompt, str):
        return prompt
    if not is_transcript(prompt):
        return [{"role": "user", "content": prompt}]
    messages = turns(prompt)
    if messages[-1] == {"role": "assistant", "content": ""}:  # the heading that asks for the answer
        messages.pop()
    if not messages or messages[-1]["role"] == "assistant":
        raise UnusableRowError("a prompt that begins the answer has no form as chat")
    return messages


def answer_as_chat(answer: str | Messages, prompt: str | Messages) -> Messages:
    """Return a completion as one message; the space that a text begins with belongs to text alone."""
    if not isinstance(answer, str):
        return answer
    transcript = isinstance(prompt, str) and is_transcript(prompt)
    return [{"role": "assistant", "content": answer.strip() if transcript else answer.removeprefix(" ")}]


def prompt_as_text(prompt: str | Messages) -> str:
    """Return a prompt as a transcript that ends with the heading of the answer; a text stays as it is.

    Raises:
        UnusableRowError: a role other than user and assistant speaks.
    """
    return prompt if isinstance(prompt, str) else "".join(map(_turn, prompt)) + ASSISTANT


def answer_as_text(answer: str | Messages) -> str:
    """Return a completion as text; one made from messages begins with the space after its heading.

    Raises:
        UnusableRowError: it is no single message of the assistant.
    """
    if isinstance(answer, str):
        return answer
    if [message["role"] for message in answer] != ["assistant"]:
        raise UnusableRowError("an answer that is not one message of the assistant has no form as text")
    return " " + answer[0]["content"]


def opening(prompt: str | Messages) -> str:
    """Return the user's first turn: what conversations that grew from one question have in common."""
    if isinstance(prompt, str):
        said = _TURN.split(prompt, maxsplit=2)[2] if is_transcript(prompt) else prompt
    else:
        said = next((message["content"] for message in prompt if message["role"] == "user"), prompt[0]["content"])
    return said.strip()


def _turn(message: dict[str, str]) -> str:
    if message["role"] not in _HEADINGS:
        raise UnusableRowError(f"a message of role {message['role']} has no form as text")
    return f"{_HEADINGS[message['role']]} {message['content']}"
