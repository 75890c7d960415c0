"""Trees of Open Assistant's messages made into answers with a score or a thumb."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.converting.checks import number_problem, require, text
from trainer.converting.dialogue import Messages
from trainer.converting.steps import Step
from trainer.data import Row, shown
from trainer.errors import TrainerError

_ROLES = {"prompter": "user", "assistant": "assistant"}


def answers(messages: list[Row], signal: str, languages: frozenset[str] | None, step: Step) -> Iterator[Row]:
    """Yield the assistant's messages of one tree that carry a signal, each with the conversation before it as prompt.

    Source: Köpf et al. 2023, arXiv 2304.07327; the columns of OpenAssistant/oasst1 and oasst2.

    Args:
        messages: of one tree, in any order.
        signal: `ranks` (score = -rank among siblings, so that higher is better), `quality` (score = the mean of the
            label `quality`, 0 to 1), `thumbs` (label = more thumbs up than down).
        languages: of the answers to take; none: all.
        step: counts every message, and those that are dropped.

    Raises:
        TrainerError: a message that is given twice or is its own ancestor, an unknown role, a value of a wrong type.
    """
    by_id: dict[str, Row] = {}
    for message in messages:
        identity = text(message, "message_id")
        if identity in by_id:
            raise TrainerError(f"{message.place}: message_id {identity} is also at {by_id[identity].place}; keep one")
        by_id[identity] = message
        if text(message, "role") not in _ROLES:
            raise TrainerError(
                f"{message.place}: role is {shown(message.values['role'])}; expected prompter, assistant"
            )
        text(message, "text")
        if message.values["parent_id"] is not None:
            text(message, "parent_id")
    for message in messages:
        step.rows += 1
        reason, found = _signal(message, signal, languages)
        prompt, missing = _conversation(message, by_id) if reason is None else ([], None)
        if reason or missing:
            step.drop(reason or missing or "", message.place)
            continue
        step.made += 1
        completion = [{"role": "assistant", "content": message.values["text"]}]
        values = {"prompt": prompt, "completion": completion, **found}
        if signal != "thumbs":
            values["group"] = message.values["parent_id"]
        yield Row(place=message.place, values=values)


def _signal(message: Row, signal: str, languages: frozenset[str] | None) -> tuple[str | None, dict[str, Any]]:
    """Return why a message is not used, or None, and its score or label."""
    values = message.values
    if values["role"] != "assistant":
        return "not an answer: a prompter's turn", {}
    if values.get("deleted"):
        return "deleted", {}
    if languages is not None and text(message, "lang") not in languages:
        return "not in these languages", {}
    if signal == "thumbs":
        up, down = _thumbs(message)
        return (None, {"label": up > down}) if up != down else ("as many thumbs up as down, or none", {})
    score = values.get("rank") if signal == "ranks" else _named(message, "labels", "value").get("quality")
    if score is None:
        return ("no rank" if signal == "ranks" else "no label quality"), {}
    if problem := number_problem(score):
        raise TrainerError(f"{message.place}: {'rank' if signal == 'ranks' else 'the label quality'} {problem}")
    return None, {"score": -score if signal == "ranks" else score}


def _thumbs(message: Row) -> tuple[float, float]:
    values = message.values
    emojis = _named(message, "emojis", "count")
    up = values["thumbs_up"] if "thumbs_up" in values else emojis.get("+1")
    down = values["thumbs_down"] if "thumbs_down" in values else emojis.get("-1")
    for name, count in (("thumbs up", up), ("thumbs down", down)):
        if count is not None and (problem := number_problem(count)):
            raise TrainerError(f"{message.place}: the number of {name} {problem}")
    return up or 0, down or 0


def _named(message: Row, column: str, wanted: str) -> dict[str, Any]:
    """Return values by name: from the hub's {name: [...], value: [...]}, or the export's {name: {value: ...}}."""
    found = message.values.get(column)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise TrainerError(f"{message.place}: {column} is {shown(found)}; expected an object")
    if isinstance(found.get("name"), list):
        return dict(zip(found["name"], require(Row(place=message.place, values=dict(found)), wanted), strict=False))
    return {name: value.get(wanted) if isinstance(value, Mapping) else value for name, value in found.items()}


def _conversation(message: Row, by_id: Mapping[str, Row]) -> tuple[Messages, str | None]:
    """Return the messages before an answer, the first one first, or why there are none."""
    before: list[Row] = []
    parent = message.values["parent_id"]
    while parent is not None:
        if parent not in by_id:
            return [], "a message before it is not in the data"
        before.append(by_id[parent])
        if len(before) > len(by_id):
            raise TrainerError(f"{message.place}: message_id {message.values['message_id']} is its own ancestor")
        parent = before[-1].values["parent_id"]
    roles = [one.values["role"] for one in [message, *before]]
    if len(roles) % 2 or any(role != ("assistant", "prompter")[at % 2] for at, role in enumerate(roles)):
        return [], "prompter and assistant do not take turns before it"
    turns = [{"role": _ROLES[one.values["role"]], "content": one.values["text"]} for one in reversed(before)]
    return turns, None
