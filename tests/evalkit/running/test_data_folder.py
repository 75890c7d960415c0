"""Data folders: whole, or an error that names the file and the line."""

import json
import shutil
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.running.benchmarks import find_benchmarks


def test_every_row_of_the_real_data_is_found(data_dir: Path) -> None:
    found = find_benchmarks(["gsm8k", "bbh", "mmlu"], data_dir)
    counted = {b.name: (len(b.subtasks), sum(subtask.num_rows or 0 for subtask in b.subtasks)) for b in found}
    listed = {
        name: (len(files), sum(file.read_bytes().count(b"\n") for file in files))
        for name, pattern in (("gsm8k", "gsm8k/test.jsonl"), ("bbh", "bbh/*.jsonl"), ("mmlu", "mmlu/test/*.jsonl"))
        for files in [list(data_dir.glob(pattern))]
    }
    assert counted == listed
    assert (counted["bbh"][0], counted["mmlu"][0]) == (27, 57)
    assert all(benchmark.local for benchmark in found)


@pytest.mark.parametrize(
    ("benchmark", "file"),
    [
        ("bbh", "bbh/web_of_lies.jsonl"),
        ("mmlu", "mmlu/test/virology.jsonl"),
        ("mmlu", "mmlu/dev/anatomy.jsonl"),
        ("gsm8k", "gsm8k/test.jsonl"),
    ],
)
def test_a_benchmark_without_one_of_its_files_is_refused(
    benchmark: str, file: str, made_up_data: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(made_up_data, tmp_path / "data")
    (data / file).unlink()
    with pytest.raises(EvalkitError, match=f"{file}: no such file"):
        find_benchmarks([benchmark], data)
    (data / file).write_text("")
    with pytest.raises(EvalkitError, match=f"{file}: no rows"):
        find_benchmarks([benchmark], data)


MMLU = {"question": "?", "choices": ["a", "b", "c", "d"], "answer": 1, "subject": "virology"}


@pytest.mark.parametrize(
    ("benchmark", "file", "row", "message"),
    [
        ("bbh", "bbh/snarks.jsonl", '{"input": "x", "target"', "not JSON"),
        ("bbh", "bbh/snarks.jsonl", "[1]", "expected a JSON object, found list"),
        ("bbh", "bbh/snarks.jsonl", {"input": "x"}, "no column 'target'; a row has input, target"),
        ("bbh", "bbh/snarks.jsonl", {"input": "x", "target": 3}, "'target' must be text, not int"),
        ("gsm8k", "gsm8k/test.jsonl", {"question": "x"}, "no column 'answer'"),
        ("mmlu", "mmlu/test/virology.jsonl", {"question": "x", "answer": 1}, "no column 'choices'"),
        ("mmlu", "mmlu/test/virology.jsonl", MMLU | {"choices": ["a", "b"]}, "must be a list of four texts"),
        ("mmlu", "mmlu/test/virology.jsonl", MMLU | {"answer": 4}, "'answer' must be 0, 1, 2 or 3, not 4"),
        ("mmlu", "mmlu/test/virology.jsonl", MMLU | {"answer": "B"}, "'answer' must be 0, 1, 2 or 3, not 'B'"),
        ("mmlu", "mmlu/dev/virology.jsonl", MMLU | {"question": None}, "'question' must be text"),
    ],
)
def test_a_bad_seventh_line_is_named(
    benchmark: str, file: str, row: object, message: str, made_up_data: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(made_up_data, tmp_path / "data")
    good = (data / file).read_text().splitlines()[:2] * 3
    (data / file).write_text("\n".join([*good, row if isinstance(row, str) else json.dumps(row), *good]))
    with pytest.raises(EvalkitError, match=rf"{file}:7: .*{message}"):
        find_benchmarks([benchmark], data)
