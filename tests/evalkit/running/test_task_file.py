"""Task files: found data, includes, and a digest of what decides the scores."""

import shutil
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.running.task_file import read_task_file


def test_the_digest_is_the_same_wherever_the_files_lie(task: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(task.parent, tmp_path / "elsewhere")
    assert read_task_file(moved / task.name).digest() == read_task_file(task).digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("arithmetic.yaml", "max_gen_toks: 8", "max_gen_toks: 9"),
        ("arithmetic.yaml", "{{question}}", "Q: {{question}}"),
        ("items.jsonl", "0 is", "0 was"),
    ],
)
def test_the_digest_changes_with_the_settings_and_the_data(task: Path, file: str, old: str, new: str) -> None:
    before = read_task_file(task).digest()
    path = task.parent / file
    path.write_text(path.read_text().replace(old, new, 1))
    assert read_task_file(task).digest() != before


def test_the_digest_changes_with_the_functions_of_the_task(task: Path) -> None:
    functions = task.parent / "functions.py"
    functions.write_text("def prompt(item):\n    return item['question']\n")
    task.write_text(task.read_text().replace('"{{question}}"', "!function functions.prompt"))
    assert read_task_file(task).config["doc_to_text"] == "!function functions.prompt"
    before = read_task_file(task).digest()
    functions.write_text("def prompt(item):\n    return item['question'] + '?'\n")
    assert read_task_file(task).digest() != before


def test_an_including_file_overrides_and_finds_the_data_of_the_included_one(task: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text(f"include: {task}\ntask: child\nnum_fewshot: 2\n")
    found = read_task_file(child)
    assert (found.name, found.config["num_fewshot"], found.config["output_type"]) == ("child", 2, "generate_until")
    assert found.data == {"test": ((task.parent / "items.jsonl").resolve(),)}
    assert found.num_rows("test") == 30


def test_data_is_sought_beside_the_task_first_then_in_the_working_folder(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(task.parent / "items.jsonl", work)
    monkeypatch.chdir(work)
    assert read_task_file(task).data["test"] == ((task.parent / "items.jsonl").resolve(),)
    (task.parent / "items.jsonl").unlink()
    assert read_task_file(task).data["test"] == ((work / "items.jsonl").resolve(),)
    (work / "items.jsonl").unlink()
    with pytest.raises(EvalkitError, match=r"items\.jsonl is not there"):
        read_task_file(task)
