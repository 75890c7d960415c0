"""Open Assistant's trees."""

from typing import Any

import pytest

from tests.trainer.converting.rows import assistant, message, rows, tree, user
from trainer.converting.oasst import answers
from trainer.converting.steps import Step
from trainer.errors import TrainerError


def run(messages: list[dict[str, Any]], signal: str, languages: frozenset[str] | None = None) -> tuple[list[Any], Step]:
    step = Step(operation="read")
    return [one.values for one in answers(rows(messages), signal, languages, step)], step


@pytest.mark.parametrize("messages", [tree(), tree()[::-1]], ids=["in order", "reversed"])
def test_ranks_are_scores_among_siblings(messages: list[dict[str, Any]]) -> None:
    found, step = run(messages, "ranks")
    told = {one["completion"][0]["content"]: (one["score"], one["group"]) for one in found}
    assert told == {"best": (0, "t"), "middle": (-1, "t"), "worst": (-2, "t"), "So.": (0, "t-4")}
    deep = next(one for one in found if one["completion"] == [assistant("So.")])
    assert deep["prompt"] == [user("Q"), assistant("best"), user("And?")]
    assert (step.rows, step.used, step.made) == (7, 4, 4)
    assert {reason: count for reason, (count, _) in step.dropped.items()} == {
        "not an answer: a prompter's turn": 2,
        "deleted": 1,
    }


def test_thumbs_are_labels() -> None:
    found, step = run(tree(), "thumbs")
    assert [(one["completion"][0]["content"], one["label"]) for one in found] == [("best", True), ("worst", False)]
    assert step.dropped["as many thumbs up as down, or none"] == (2, "d:4")


def test_quality_is_a_score() -> None:
    found, step = run(tree(), "quality")
    assert [one["score"] for one in found] == [0.9, 0.1]
    assert step.dropped["no label quality"] == (2, "d:4")


def test_the_form_of_the_export_is_read_as_that_of_the_hub() -> None:
    exported = [dict(one) for one in tree()]
    exported[1] |= {"emojis": {"+1": 3}, "labels": {"quality": {"value": 0.9, "count": 3}}}
    exported[2] |= {"emojis": {"-1": 2, "+1": 1}, "labels": {"quality": {"value": 0.1, "count": 3}}}
    for signal in ("thumbs", "quality"):
        assert run(exported, signal)[0] == run(tree(), signal)[0]


def test_languages_choose_answers() -> None:
    found, step = run(tree(), "ranks", frozenset({"de"}))
    assert [one["completion"] for one in found] == [[assistant("middle")]]
    assert step.dropped["not in these languages"][0] == 3


def test_answers_without_their_conversation_are_dropped() -> None:
    lonely = [message("t-9", "gone", "assistant", "x", rank=0), message("t-8", None, "assistant", "y", rank=0)]
    found, step = run(lonely, "ranks")
    assert found == []
    assert step.dropped == {
        "a message before it is not in the data": (1, "d:1"),
        "prompter and assistant do not take turns before it": (1, "d:2"),
    }


CIRCLE = [message("t-1", "t-2", "assistant", "a", rank=0), message("t-2", "t-1", "prompter", "b")]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([*tree(), tree()[1]], "d:8: message_id t-1 is also at d:2; keep one"),
        (CIRCLE, "d:1: message_id t-1 is its own ancestor"),
        ([{**tree()[0], "role": "system"}], 'd:1: role is "system" (str); expected prompter, assistant'),
        ([tree()[0], {**tree()[1], "rank": "0"}], 'd:2: rank is "0" (str); expected a finite number'),
        ([tree()[0], {**tree()[1], "text": None}], "d:2: text is null; expected text"),
    ],
)
def test_trees_that_stop_the_command(messages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TrainerError) as error:
        run(messages, "ranks")
    assert message in str(error.value)


def test_thumbs_of_a_wrong_type_stop_the_command() -> None:
    bad = [tree()[0], {**tree()[1], "thumbs_up": "3"}]
    with pytest.raises(TrainerError, match="d:2: the number of thumbs up is"):
        run(bad, "thumbs")
