"""Rows of HH, SHP and UltraFeedback, by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.trainer.converting.rows import BINARIZED, HH, SHP, ULTRAFEEDBACK, assistant, row, user
from trainer.converting.public_data import hh, shp, ultrafeedback, ultrafeedback_binarized
from trainer.converting.steps import UnusableRowError
from trainer.errors import TrainerError


def test_hh_is_split_before_the_last_answer() -> None:
    (pair,) = hh(row(HH))
    assert pair.values == {
        "prompt": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: How?\n\nAssistant:",
        "chosen": "  Like this. ",
        "rejected": " No.",
    }


def test_shp_prefers_the_higher_score() -> None:
    (pair,) = shp(row(SHP), 2)
    assert pair.values == {
        "prompt": [user("Why?")],
        "chosen": [assistant("Because.")],
        "rejected": [assistant("Dunno.")],
    }
    (pair,) = shp(row({**SHP, "score_A": 4, "labels": 0}))
    assert pair.values["chosen"] == [assistant("Dunno.")]


def test_ultrafeedback_gives_each_completion_its_score() -> None:
    fine = ultrafeedback(row(ULTRAFEEDBACK))
    assert [one.values["score"] for one in fine] == [4.5, 1.5, 3.0]
    assert [one.place for one in fine] == ["d:1 completion 1", "d:1 completion 2", "d:1 completion 3"]
    assert fine[1].values["prompt"] == [user("Add 2 and 3.")]
    assert fine[1].values["completion"] == [assistant("6")]
    assert [one.values["score"] for one in ultrafeedback(row(ULTRAFEEDBACK), "overall")] == [8.0, 9.0, 8.0]


def test_binarized_ultrafeedback_keeps_the_margin() -> None:
    (pair,) = ultrafeedback_binarized(row(BINARIZED))
    assert pair.values == {
        "prompt": [user("Add 2 and 3.")],
        "chosen": [assistant("5")],
        "rejected": [assistant("6")],
        "margin": 4.5,
    }


HUMAN = "\n\nHuman: a"


@pytest.mark.parametrize(
    ("convert", "values", "reason"),
    [
        (hh, {**HH, "rejected": f"{HUMAN}\n\nAssistant: b"}, "chosen and rejected answer different prompts"),
        (hh, {**HH, "chosen": HUMAN}, "chosen does not end with the assistant"),
        (hh, {**HH, "rejected": HUMAN + HUMAN}, "one role speaks twice running"),
        (shp, {**SHP, "score_B": 12}, "both scores are equal"),
        (shp, {**SHP, "labels": 0}, "the label prefers the answer with the lower score"),
        (lambda one: shp(one, 3), SHP, "score ratio below 3"),
        (lambda one: shp(one, 2), {**SHP, "score_B": 0}, "a score is not positive: no ratio"),
        (ultrafeedback, {**ULTRAFEEDBACK, "completions": []}, "no completions"),
        (
            ultrafeedback_binarized,
            {**BINARIZED, "rejected": [user("Other"), assistant("6")]},
            "chosen and rejected answer different prompts",
        ),
        (ultrafeedback_binarized, {**BINARIZED, "chosen": [user("Add")]}, "chosen does not end with the assistant"),
    ],
)
def test_rows_that_are_dropped(convert: Callable[..., Any], values: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableRowError, match=reason):
        convert(row(values))


def with_completion(**change: Any) -> dict[str, Any]:
    return {**ULTRAFEEDBACK, "completions": [{**ULTRAFEEDBACK["completions"][0], **change}]}


@pytest.mark.parametrize(
    ("convert", "values", "message"),
    [
        (hh, {**HH, "chosen": "Hello"}, 'd:1: chosen is "Hello" (str); expected a transcript that begins with'),
        (hh, {**HH, "chosen": None}, "d:1: chosen is null; expected text"),
        (hh, {**HH, "chosen": HUMAN + "\ud83d"}, "d:1: chosen holds half a character"),
        (shp, {**SHP, "score_A": float("nan")}, "d:1: score_A is NaN; expected a finite number"),
        (shp, {**SHP, "score_A": "12"}, 'd:1: score_A is "12" (str); expected a finite number'),
        (shp, {**SHP, "labels": "0"}, 'd:1: labels is "0" (str); expected 0 or 1, or no such column'),
        (shp, {**SHP, "score_A": True}, "d:1: score_A is true (bool); expected a finite number"),
        (ultrafeedback, {**ULTRAFEEDBACK, "completions": "x"}, "expected a list of objects"),
        (ultrafeedback, with_completion(response=7), "d:1 completion 1: response is 7 (int); expected text"),
        (
            ultrafeedback,
            with_completion(**{"fine-grained_score": None}),
            "d:1 completion 1: fine-grained_score is null; expected a finite number",
        ),
        (ultrafeedback_binarized, {**BINARIZED, "score_chosen": float("inf")}, "score_chosen is Infinity"),
        (ultrafeedback_binarized, {**BINARIZED, "chosen": "5"}, 'chosen is "5" (str); expected a list of messages'),
    ],
)
def test_rows_that_stop_the_command(convert: Callable[..., Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError) as error:
        convert(row(values))
    assert message in str(error.value)
