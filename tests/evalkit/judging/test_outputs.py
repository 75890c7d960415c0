"""Files of outputs, and how they are matched: by what the prompt says."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import EvalkitError
from evalkit.judging.outputs import Output, match, read_outputs


def write(path: Path, *rows: Any) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def outputs(*rows: tuple[str, str]) -> list[Output]:
    return [Output(conversation=(("user", prompt),), text=text) for prompt, text in rows]


CHAT = [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "completion": "So."},
        {"prompt": " Why?\n", "completion": "So.", "sample": 0, "finished": True},
        {"instruction": "Why?", "output": "So.", "generator": "m"},
        {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
        {"prompt": CHAT, "completion": [{"role": "assistant", "content": "So."}]},
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json"])
def test_every_form_of_a_row_is_the_same_output(row: dict[str, Any], name: str, tmp_path: Path) -> None:
    file = write(tmp_path / name, [row] if name == "a.json" else row)
    (found,) = read_outputs(file)
    assert found == Output(conversation=(("user", "Why?"),), text="So.")


def test_a_conversation_is_not_its_last_turn(tmp_path: Path) -> None:
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, *CHAT]
    file = write(tmp_path / "a.jsonl", {"prompt": before, "completion": "So."}, {"prompt": "Why?", "completion": "So."})
    one, other = read_outputs(file)
    assert one.prompt_id != other.prompt_id


def test_a_lone_surrogate_becomes_a_sign_that_can_be_written(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"prompt": "Why? \\ud83d", "completion": "\\udc00 \\ud83d\\ude00"}')
    (found,) = read_outputs(file)
    assert found.text == "\ufffd \U0001f600"
    assert found.conversation[0][1].encode()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "holds no rows"),
        (("{",), r"a.jsonl:1: not JSON"),
        (("3",), r"a.jsonl:1: expected a JSON object, found int"),
        (({"completion": "x"},), r"a.jsonl:1: no prompt or instruction; the columns are completion"),
        (({"prompt": "x"},), r"a.jsonl:1: no completion or output or chosen"),
        (({"prompt": "x", "completion": None},), r"a.jsonl:1: 'completion' is neither text nor a list"),
        (({"prompt": 3, "completion": "x"},), r"a.jsonl:1: 'prompt' is neither text nor a list"),
        (({"prompt": [{"role": "user"}], "completion": "x"},), r"a.jsonl:1: a turn of 'prompt' has no text"),
        (({"prompt": "x", "completion": "y"}, {"prompt": " ", "completion": "y"}), r"a.jsonl:2: the prompt is empty"),
        (({"prompt": "x", "completion": "y", "label": False},), r"a.jsonl:1: 'label' is false"),
        (({"prompt": [], "completion": "x"},), r"a.jsonl:1: the prompt is empty"),
        (("[" * 100_000,), r"nested too deeply"),
        (('{"prompt": "x", "completion": "y", "n": ' + "9" * 5000 + "}",), r"a.jsonl:1: .*thousands of digits"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(rows: tuple[Any, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=message):
        read_outputs(write(tmp_path / "a.jsonl", *rows))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"gone.jsonl: No such file"):
        read_outputs(tmp_path / "gone.jsonl")
    with pytest.raises(EvalkitError, match="Is a directory"):
        read_outputs(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}')
    with pytest.raises(EvalkitError, match=r"latin.jsonl: not UTF-8"):
        read_outputs(tmp_path / "latin.jsonl")
    (tmp_path / "half.jsonl.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(EvalkitError, match=r"half.jsonl.gz: a broken gzip file"):
        read_outputs(tmp_path / "half.jsonl.gz")


def test_order_of_rows_does_not_matter_and_what_does_not_match_is_counted() -> None:
    found = match(
        outputs(("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")),
        outputs(("c", "x"), ("a", "y"), ("e", "z"), ("d", "v"), ("d", "w")),
    )
    assert [(pair.judged, pair.against) for pair in found.pairs] == [("1", "y"), ("3", "x")]
    assert (found.without_target, found.ambiguous, found.only_target) == (1, 1, 1)


def test_several_samples_of_a_prompt_meet_one_target_or_their_own() -> None:
    samples = outputs(("a", "1"), ("b", "2"), ("a", "3"))
    one = match(samples, outputs(("a", "x"), ("b", "y")))
    assert [(pair.judged, pair.against) for pair in one.pairs] == [("1", "x"), ("2", "y"), ("3", "x")]
    same = match(samples, outputs(("a", "x"), ("a", "x"), ("a", "x"), ("b", "y")))
    assert [pair.against for pair in same.pairs] == ["x", "y", "x"]
    own = match(samples, outputs(("a", "x"), ("b", "y"), ("a", "z")))
    assert [(pair.judged, pair.against) for pair in own.pairs] == [("1", "x"), ("2", "y"), ("3", "z")]
    first, second, third = (pair.id for pair in own.pairs)
    assert third == f"{first}#2"
    assert own.pairs[2].prompt_id == own.pairs[0].prompt_id == first != second
