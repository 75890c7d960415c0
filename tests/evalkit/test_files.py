"""Files: whole or not at all."""

from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines, write_json, write_json_lines


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"score": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"score": float("nan")})
    assert path.read_text() == '{\n  "score": 1\n}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_rows_come_back_as_they_were_written_with_their_lines(tmp_path: Path) -> None:
    rows = [{"text": "a\u2028b\nc"}, {"text": "\u00e9 \U0001f600"}]
    write_json_lines(tmp_path / "rows.jsonl", rows)
    assert list(read_json_lines(tmp_path / "rows.jsonl")) == [(1, rows[0]), (2, rows[1])]


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(EvalkitError, match=r"rows\.jsonl: not UTF-8 text"):
        list(read_json_lines(tmp_path / "rows.jsonl"))


def test_what_cannot_be_written_is_one_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvalkitError, match=r"a\.json: cannot be written: (Not a directory|File exists)"):
        write_json(tmp_path / "file" / "a.json", {})
    (tmp_path / "b.json").mkdir()
    with pytest.raises(EvalkitError, match=r"b\.json: cannot be written: Is a directory"):
        write_json(tmp_path / "b.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "file"]


def test_lines_hold_no_line_end_of_unicode(tmp_path: Path) -> None:
    rows = [{"text": "a\x85b\u2028c\u2029d\ne"}, {"text": "é"}]
    write_json_lines(tmp_path / "a.jsonl", rows)
    assert len((tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert [row for _, row in read_json_lines(tmp_path / "a.jsonl")] == rows
