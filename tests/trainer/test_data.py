"""Rows of files, and what is said of bad ones."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from halotheory.contract import load_loss
from tests.trainer.tiny import write_jsonl
from trainer.converting.sources import find
from trainer.data import Row, check_format, check_row, read_rows
from trainer.errors import TrainerError

ROWS = [{"prompt": "a", "completion": "ä\nb", "label": True}, {"prompt": "c", "completion": "d", "label": False}]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path.with_name(name))
        content = path.with_name(name).read_bytes()
    elif name.endswith(".json"):
        content = json.dumps(rows, indent=1).encode()
    else:
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz", "d.json", "d.json.gz", "d.parquet", "d.parquet.gz"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert [row.values for row in read_rows(str(write(tmp_path / name, ROWS)))] == ROWS


@pytest.mark.parametrize("name", ["thumbs.jsonl", "thumbs.json.gz"])
def test_a_name_whose_ending_was_forgotten_is_not_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), ROWS)
    with pytest.raises(
        TrainerError, match=rf"^thumbs: no such file; is it {name}\? a data set of the hub is OWNER/NAME"
    ):
        next(read_rows("thumbs"))
    with pytest.raises(TrainerError, match=rf"^thumbs: no such file, and no named data set; is it {name}\?"):
        find("thumbs", None, None)


def test_a_json_file_may_hold_json_lines(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "d.json", ROWS)
    assert [row.place for row in read_rows(str(path))] == [f"{path}:1", f"{path}:2"]


def test_blank_lines_are_no_rows_and_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('\n{"a": 1}\n\n{"a": 2}', encoding="utf-8")
    assert [row.place for row in read_rows(str(path))] == [f"{path}:2", f"{path}:4"]


UTF16 = '{"a": 1}\n'.encode("utf-16")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.jsonl", b'{"a": 1}\n{"a": }\n', "d.jsonl:2: malformed JSON: Expecting value (column 7)"),
        (
            "d.jsonl",
            b'{"a": 1, "a": 2}\n',
            "d.jsonl:1: malformed JSON: the key 'a' is given twice in one",
        ),
        ("d.json", b'[{"a": {"b": 1, "b": 1}}]', "d.json: malformed JSON: the key 'b' is given twice"),
        ("d.jsonl", b'{"a": 1' + b"0" * 5000 + b"}", "d.jsonl:1: malformed JSON: Exceeds the limit"),
        ("d.jsonl", b'\n[\n{"a": 1}\n]\n', "d.jsonl: holds a JSON array; give it a name that ends in .json, or write"),
        ("d.jsonl", b'{"a": 1}\n[1]\n', "d.jsonl:2: the row is [1] (list); expected an object"),
        (
            "d.jsonl",
            b'{"a": 1}\n{"a": "\xff"}\n',
            "d.jsonl:2: is not UTF-8: invalid start byte, 0xff; save the file as",
        ),
        ("d.jsonl", UTF16, "d.jsonl:1: is not UTF-8: it holds zero bytes, as UTF-16 does; save the file as UTF-8"),
        ("d.jsonl", UTF16[2:], "d.jsonl:1: is not UTF-8: it holds zero bytes"),
        ("d.json", f"[{UTF16.decode('utf-16')}]".encode("utf-16-le"), "d.json: is not UTF-8: it holds zero bytes"),
        ("d.json", b'[{"a": "\xe9"}]', "d.json: is not UTF-8: invalid continuation byte, 0xe9; save the file as UTF-8"),
        (
            "d.json",
            b'{\n  "a": 1\n}\n',
            "d.json:1: malformed JSON: Expecting property name enclosed in double quotes (column 2); "
            "a .json file is one array of objects, or has one object on each line",
        ),
        ("d.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-9], "d.jsonl.gz:100: cannot be read"),
        ("d.json", b'[{"a": 1},\n{"a": }]', "d.json:2: malformed JSON: Expecting value (column 7)"),
        ("d.json", b"[1]", "d.json: row 1: the row is 1 (int)"),
        ("d.parquet", b"PAR1 no parquet", "d.parquet: cannot be read as Parquet"),
        ("d.csv", b"a,b\n", "d.csv: unknown kind of file; give .jsonl, .json or .parquet"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainerError) as error:
        list(read_rows(str(tmp_path / name)))
    assert message in str(error.value)


def test_an_array_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_bytes(b'\xef\xbb\xbf[{"a": 1}]')
    assert [row.values for row in read_rows(str(tmp_path / "d.json"))] == [{"a": 1}]


def test_a_date_that_python_does_not_know_is_one_error(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": pa.array([2**62], pa.timestamp("us"))}), tmp_path / "d.parquet")
    with pytest.raises(TrainerError, match=r"d\.parquet: a value behind row 0 cannot be read"):
        list(read_rows(str(tmp_path / "d.parquet")))


@pytest.mark.parametrize("name", ["none.jsonl", "a/b/none", "none.csv", "n" * 300 + ".jsonl"])
def test_a_file_that_is_not_there(name: str) -> None:
    with pytest.raises(TrainerError, match=f"{name}: no such file"):
        list(read_rows(name))


PAIRED = {"prompt": "a", "chosen": "b", "rejected": "c"}
UNPAIRED = {"prompt": "a", "completion": "b", "label": True}
PLAIN = {"prompt": "a", "completion": "b"}


@pytest.mark.parametrize(
    ("loss", "values", "expected"),
    [
        ("dpo", PAIRED, "paired"),
        ("kto", UNPAIRED, "unpaired"),
        ("kto", PAIRED, "paired"),
        ("kto", {**PAIRED, **UNPAIRED}, "unpaired"),
        ("dpo", {**PAIRED, **UNPAIRED}, "paired"),
        ("sft", UNPAIRED, "unpaired"),
        ("sft", PLAIN, "completions"),
        ("sft", PAIRED, "paired"),
    ],
)
def test_the_format_is_the_one_that_the_loss_learns_from_best(loss: str, values: dict[str, Any], expected: str) -> None:
    assert check_format(Row(place="d:1", values=values), load_loss(loss)) == expected


@pytest.mark.parametrize(
    ("loss", "values", "message"),
    [
        ("dpo", UNPAIRED, "d:1: dpo learns from pairs {prompt, chosen, rejected}"),
        ("dpo", UNPAIRED, "kto and sft fit such rows"),
        ("dpo", PLAIN, "sft fit"),
        ("kto", PLAIN, "d:1: no column 'label'; kto learns from thumbs up or down; sft fits such rows"),
        ("kto", {"promt": "a", "completion": "b", "label": True}, "d:1: no column 'prompt'; is it 'promt'?"),
        ("dpo", {"prompt": "a", "chosen": "b", "reject": "b"}, "no column 'rejected'; is it 'reject'?"),
        ("sft", {"prompt": "a"}, "d:1: no column 'completion'; there are: prompt"),
    ],
)
def test_data_that_a_loss_cannot_learn_from(loss: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError) as error:
        check_format(Row(place="d:1", values=values), load_loss(loss))
    assert message in str(error.value)


CHAT = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 1}, "d:7: label is 1 (int); write true or false"),
        ({"label": "true"}, 'd:7: label is "true" (str); write true or false'),
        ({"label": None}, "d:7: label is null; write true or false"),
        ({"completion": float("nan")}, "d:7: completion is NaN; expected text"),
        ({"completion": None}, "d:7: completion is null; expected text"),
        ({"prompt": 3.5}, "d:7: prompt is 3.5 (float); expected text"),
        ({"prompt": []}, "d:7: prompt is an empty list"),
        ({"prompt": ["hi"]}, 'd:7: prompt holds "hi" (str); expected messages {role, content}'),
        (
            {"prompt": [{"role": "user"}]},
            'd:7: prompt holds {"role": "user"} (dict), a message without content; expected messages {role, content}',
        ),
        ({"prompt": [{"role": "user", "content": None}]}, "d:7: prompt holds a message whose content is null"),
        ({"weight": 10**400}, "(int); write a number >= 0, at most 3e38"),
        ({"weight": 1e300}, "d:7: weight is 1e+300 (float); write a number >= 0, at most 3e38"),
        ({"completion": CHAT}, "d:7: completion is a conversation and prompt is text"),
    ],
)
def test_rows_of_a_wrong_type(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError) as error:
        check_row(Row(place="d:7", values={**UNPAIRED, **change}), "unpaired")
    assert message in str(error.value)


def turn(role: str) -> dict[str, str]:
    return {"role": role, "content": "hi"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": [turn("human")]}, "d:7: prompt holds a message whose role is \"human\" (str); write 'user'"),
        ({"prompt": [turn("user"), turn("assistant")]}, "d:7: prompt ends with a message of the assistant; end it bef"),
        (
            {"completion": [turn("bot")]},
            "d:7: completion holds a message whose role is \"bot\" (str); write 'assistant'",
        ),
        ({"completion": [turn("user")]}, 'd:7: completion is a message whose role is "user" (str); expected'),
        (
            {"completion": [turn("assistant"), turn("user")]},
            "d:7: completion holds 2 messages; expected one, of the ass",
        ),
    ],
)
def test_a_conversation_whose_speakers_are_not_those_of_a_prompt_and_an_answer(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainerError) as error:
        check_row(Row(place="d:7", values={**UNPAIRED, "prompt": CHAT, **change}), "unpaired")
    assert message in str(error.value)


def test_a_later_row_that_lacks_a_column_is_named() -> None:
    with pytest.raises(TrainerError, match=r"d:9: no column 'label'; is it 'labels'\?"):
        check_row(Row(place="d:9", values={"prompt": "a", "completion": "b", "labels": True}), "unpaired")
