"""A plain table of scores, CSV or JSON lines, as rows."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.comparing.evaluation import Source, averaged, content_hash
from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines

FIELDS = (
    *("run", "benchmark", "subset", "id", "sample", "score", "metric", "higher_is_better", "error"),
    *("prompt", "response", "prediction", "target", "prompt_hash"),
)
SUFFIXES = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": "", ".json": ""}
_LONGEST_FIELD = 100_000_000
_NUMBERS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def read_table(path: Path, columns: Mapping[str, str]) -> list[Source]:
    """Return a source per run of a table; without a column `run` that is one.

    Each row is a scored item: `score` (empty or null where it failed), and `id` or, without one, `prompt`, whose hash
    is the id; `benchmark` is `items` without a column. Rows that differ in `sample` alone are averaged.

    Args:
        path: .csv (comma), .tsv (tab), .jsonl, .ndjson, or .json with a list of objects.
        columns: the table's name for a field, where it differs: `{"id": "question_id"}`. Other columns are kept, so
            that --clusters may name them.

    Raises:
        EvalkitError: a column that is not there, or a score that is not a number.
    """
    for name in columns:
        if name not in FIELDS:
            raise EvalkitError(f"--columns {name}=...: no such field; it may be one of {', '.join(FIELDS)}")
    runs: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for place, row in _rows(path):
        found = _item(place, row, columns)
        runs.setdefault(str(found.pop("run", None) or ""), []).append((place, found))
    if not runs:
        raise EvalkitError(f"{path}: no rows; nothing was scored")
    return [
        Source(path=path, kind="table of scores", rows=_averaged(rows), name=run if len(runs) > 1 else "")
        for run, rows in runs.items()
    ]


def _averaged(rows: list[tuple[str, dict[str, Any]]]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return averaged(rows) if any("sample" in row for _, row in rows) else rows


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    delimiter = SUFFIXES[path.suffix.lower()]
    if delimiter:
        yield from _csv_rows(path, delimiter)
    elif path.suffix.lower() == ".json":
        yield from _json_rows(path)
    else:
        for line, row in read_json_lines(path):
            yield f"{path}:{line}", row


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(_LONGEST_FIELD)
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            repeated = [name for name, times in Counter(reader.fieldnames or ()).items() if times > 1]
            if repeated:
                raise EvalkitError(f"{path}:1: two columns are called '{repeated[0]}'; rename one")
            for row in reader:
                place = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise EvalkitError(
                        f"{place}: {len(reader.fieldnames or ())} columns in the header, not in this row"
                    )
                yield place, row
    except csv.Error as error:
        raise EvalkitError(f"{path}: not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise EvalkitError(f"{path}: not UTF-8 text: {error.reason}; save the file as UTF-8") from error
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    value = json.loads(path.read_text(encoding="utf-8"))  # read before, when it was found to be a list
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise EvalkitError(f"{path}: row {number}: expected a JSON object, found {type(row).__name__}")
        yield f"{path}: row {number}", row


def _item(place: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return a table's row under our names; what it has under other names stays."""
    for field, column in columns.items():
        if column not in row:
            raise EvalkitError(f"{place}: no column '{column}' for {field}; it has {', '.join(map(str, row))}")
    found = {**row, **{field: row[column] for field, column in columns.items()}}
    if "score" not in found:
        raise EvalkitError(
            f"{place}: no column 'score'; it has {', '.join(map(str, row))}: say which with --columns score=NAME"
        )
    if isinstance(found.get("id"), list | dict):
        found["id"] = content_hash(found["id"])
    if found.get("id") in (None, ""):
        if not found.get("prompt"):
            raise EvalkitError(
                f"{place}: no column 'id' and no 'prompt'; items are matched by one of them: --columns id=NAME"
            )
        found["id"] = content_hash(found["prompt"])
    if not found.get("benchmark"):
        found["benchmark"] = "items"
    found["score"] = _number(place, columns.get("score", "score"), found["score"])
    if "higher_is_better" in found:
        found["higher_is_better"] = _number(place, "higher_is_better", found["higher_is_better"]) != 0
    if "num_samples" in found:
        found.pop("num_samples")  # a table's own column of that name says nothing of ours
    return found


def _number(place: str, column: str, value: Any) -> float | None:
    if value is None or (isinstance(value, str) and value.strip().lower() in {"", "null", "none", "nan", "na"}):
        return None
    if isinstance(value, str):
        value = _NUMBERS.get(value.strip().lower(), value)
    try:
        if "_" in str(value):  # Python's own way to write 1000 as 1_000
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise EvalkitError(f"{place}: column '{column}': {str(value)[:80]!r} is not a number") from error
