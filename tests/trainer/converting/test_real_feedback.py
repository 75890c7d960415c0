"""Real rows of harmless-base and Open Assistant, compared with conversions made by others."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import Ended


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


CASES = [
    ("hh_harmless/raw", "--style chat", "hh_harmless/paired_chat"),
    ("hh_harmless/raw", "--style text", "hh_harmless/paired_text"),
    ("hh_harmless/raw", "--style text --to unpaired", "hh_harmless/unpaired_text"),
    ("oasst_thumbs/messages", "--to unpaired", "oasst_thumbs/unpaired_chat"),
    ("oasst_thumbs/messages", "--to unpaired --style text", "oasst_thumbs/unpaired_text"),
    ("oasst_thumbs/messages", "--to paired", "oasst_thumbs/paired_chat"),
]


@pytest.mark.parametrize(("source", "words", "expected"), CASES)
def test_real_rows_become_those_that_others_made(
    data_dir: Path, tmp_path: Path, trainer: Callable[..., Ended], source: str, words: str, expected: str
) -> None:
    output, folder = tmp_path / "out.jsonl.gz", data_dir / "preference"
    ended = trainer("data", "--from", str(folder / f"{source}.jsonl.gz"), "--output", str(output), *words.split())
    assert ended.status == 0, ended.stderr
    made, wanted = rows(output), rows(folder / f"{expected}.jsonl.gz")
    for one in made:
        one.pop("margin", None)
    if expected == "oasst_thumbs/paired_chat":  # theirs are in another order within a prompt
        made, wanted = sorted(made, key=json.dumps), sorted(wanted, key=json.dumps)
    assert made == wanted


def test_the_reasons_for_dropping_real_rows(data_dir: Path, tmp_path: Path, trainer: Callable[..., Ended]) -> None:
    source = data_dir / "preference/hh_harmless/raw.jsonl.gz"
    ended = trainer("data", "--data", str(source), "--output", str(tmp_path / "out.jsonl"), "--json")
    read, empty = json.loads(ended.stdout)["steps"][:2]
    assert [(one["rows"], one["reason"]) for one in read["dropped"]] == [(6, "one role speaks twice running")]
    assert [(one["rows"], one["reason"]) for one in empty["dropped"]] == [(3, "empty chosen")]
    assert read["rows"] == 1619
