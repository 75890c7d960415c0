"""Benchmarks in a local data folder: which file holds which task, and whether it is whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines


def data_files(folder: Path, benchmark: str, subset: str) -> dict[str, Path]:
    """Return the files of one task, by split, after reading every line of them.

    The layout is `gsm8k/test.jsonl` (question, answer), `bbh/<task>.jsonl` (input, target),
    `mmlu/{dev,test}/<subject>.jsonl` (question, choices, answer) and `humaneval/test.jsonl` (task_id, prompt,
    canonical_solution, test, entry_point): the hub's own columns.

    Raises:
        EvalkitError: a missing or empty file, a malformed line, a missing column or a value of the wrong kind.
    """
    relative, row_problem = _LAYOUT[benchmark]
    files = {split: folder / path.format(subset=subset) for split, path in relative.items()}
    for file in files.values():
        if not file.is_file():
            raise EvalkitError(f"{file}: no such file; {benchmark} in a data folder needs every one of its files")
        rows = 0
        for line, row in read_json_lines(file):
            rows += 1
            if problem := row_problem(row):
                raise EvalkitError(f"{file}:{line}: {problem}")
        if not rows:
            raise EvalkitError(f"{file}: no rows")
    return files


def _needs_texts(*columns: str) -> Callable[[dict[str, Any]], str]:
    def problem(row: dict[str, Any]) -> str:
        for column in columns:
            if column not in row:
                return f"no column '{column}'; a row has {', '.join(columns)}"
            if not isinstance(row[column], str):
                return f"'{column}' must be text, not {type(row[column]).__name__}"
        return ""

    return problem


def _mmlu_problem(row: dict[str, Any]) -> str:
    for column in ("question", "choices", "answer"):
        if column not in row:
            return f"no column '{column}'; a row has question, choices, answer"
    choices, answer = row["choices"], row["answer"]
    if not isinstance(row["question"], str):
        return f"'question' must be text, not {type(row['question']).__name__}"
    if not isinstance(choices, list) or [type(choice) for choice in choices] != [str] * 4:
        return "'choices' must be a list of four texts"
    if isinstance(answer, bool) or answer not in (0, 1, 2, 3):
        return f"'answer' must be 0, 1, 2 or 3, not {answer!r}"
    return ""


_HUMANEVAL = (
    {"test": "humaneval/test.jsonl"},
    _needs_texts("task_id", "prompt", "canonical_solution", "test", "entry_point"),
)
_LAYOUT: dict[str, tuple[dict[str, str], Callable[[dict[str, Any]], str]]] = {
    "gsm8k": ({"test": "gsm8k/test.jsonl"}, _needs_texts("question", "answer")),
    "bbh": ({"test": "bbh/{subset}.jsonl"}, _needs_texts("input", "target")),
    "humaneval": _HUMANEVAL,
    "humaneval_instruct": _HUMANEVAL,
    "mmlu": ({"test": "mmlu/test/{subset}.jsonl", "dev": "mmlu/dev/{subset}.jsonl"}, _mmlu_problem),
}
