"""Annotations are read as AlpacaEval means them, and refused where they cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.alpaca.annotations import read_annotations
from evalkit.alpaca.instructions import instruction_key
from evalkit.errors import EvalkitError

ROW: dict[str, Any] = {"instruction": "Sing.", "output_1": "La.", "output_2": "La la.", "preference": 2.0}
Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("stored", "preference"),
    [(1, 0.0), (2, 1.0), (1.25, 0.25), (1.5, 0.5), (0, 0.5), (0.0, 0.5), (None, None), (-1, None)],
)
def test_preferences_are_alpaca_evals(write: Write, stored: float | None, preference: float | None) -> None:
    (found,) = read_annotations(write([ROW | {"preference": stored}])).judgements
    assert found.preference == preference


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preference": 2.5}, "row 1: the preference 2.5 is neither null nor from 1 to 2"),
        ({"preference": "m"}, "the preference 'm'"),
        ({"preference": True}, "the preference True"),
        ({"instruction": None}, "'instruction' is NoneType, not text"),
        ({"output_2": 3}, "'output_2' is int, not text"),
    ],
)
def test_rows_that_are_no_annotations_are_refused(write: Write, change: dict[str, Any], message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        read_annotations(write([ROW | change]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("[]", "no rows"),
        ("[1]", "row 1: expected a JSON object, found int"),
        ('[{"instruction": ]', "not JSON"),
        ('{"instruction": "a"', ":1: not JSON"),
        ('[{"instruction": "a", "output": "b"}]', "no 'preference'; give the annotations"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EvalkitError, match=message):
        read_annotations(path)


def test_a_file_of_two_models_or_judges_is_refused(write: Write) -> None:
    for column in ("generator_1", "generator_2", "annotator"):
        rows = [ROW | {column: "one"}, ROW | {column: "two", "instruction": "Dance."}]
        with pytest.raises(EvalkitError, match=f"2 different names in '{column}'"):
            read_annotations(write(rows))


def test_an_instruction_that_occurs_twice_is_refused(write: Write) -> None:
    with pytest.raises(EvalkitError, match=r"'Sing\.' occurs twice"):
        read_annotations(write([ROW, ROW]))


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW | {"instruction": "Dance."}), encoding="utf-8")
    assert len(read_annotations(path).judgements) == 2


def test_white_space_does_not_make_another_instruction() -> None:
    assert instruction_key("Sing\r\n a song. ") == instruction_key("Sing a song.")
    assert instruction_key("Sing a song.") != instruction_key("Sing a Song.")


def test_the_order_of_rows_does_not_matter(write: Write, make_rows: Callable[..., list[dict[str, Any]]]) -> None:
    rows = make_rows(20)
    there, back = read_annotations(write(rows, "there.json")), read_annotations(write(rows[::-1], "back.json"))
    assert there.judgements == back.judgements
