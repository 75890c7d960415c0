"""The journal: what was appended is read back, a torn end is dropped, anything else that is wrong is named."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import EvalkitError
from evalkit.running.journal import Journal

texts = st.text(st.characters(codec=None, categories=None))  # with lone surrogates, which a tokenizer may produce
answers = st.one_of(texts, st.floats(allow_nan=False), st.tuples(st.floats(allow_nan=False), st.booleans()).map(list))


@given(st.lists(st.dictionaries(st.text(), answers, max_size=3), max_size=4))
def test_what_is_appended_is_read_back(tmp_path_factory: pytest.TempPathFactory, batches: list[dict[str, Any]]) -> None:
    path, expected = tmp_path_factory.mktemp("journal") / "answers.jsonl", {}
    for batch in batches:
        with Journal(path) as journal:
            journal.append(batch)
        expected |= batch
    with Journal(path) as journal:
        assert journal.answers == expected


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_last_line_is_dropped_wherever_it_is_cut(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Journal(path) as journal:
        journal.append({"a": "first"})
        first = path.read_bytes()
        journal.append({"b": "second", "c": "third"})
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path) as journal:
        assert journal.answers in ({"a": "first"}, {"a": "first", "b": "second"})
        assert path.read_bytes().startswith(first)
        journal.append({"c": "again"})
    with Journal(path) as journal:
        assert journal.answers["c"] == "again"


@pytest.mark.parametrize("line", ["{", "[1]", '{"key": "a"}', '{"answer": "a"}', "\x00\x00", ""])
def test_a_line_that_is_no_answer_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(f'{{"key": "a", "answer": "x"}}\n{line}\n')
    with pytest.raises(EvalkitError, match=r"answers\.jsonl:2: not an answer"), Journal(path):
        pass


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").mkdir()
    with pytest.raises(EvalkitError, match=r"answers\.jsonl: Is a directory"), Journal(tmp_path / "answers.jsonl"):
        pass
