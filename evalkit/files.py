"""Files that are read with line numbers in the errors, or written whole or not at all."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each line that is not blank.

    Raises:
        EvalkitError: no such file, a line that is not a JSON object, or not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _parsed(path, number, line)
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EvalkitError(f"{path}: not UTF-8 text: {error.reason}; save the file as UTF-8") from error


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise EvalkitError(f"{path}:{number}: not JSON: {error.msg} (column {error.colno})") from error
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of thousands of digits
        raise EvalkitError(f"{path}:{number}: JSON that cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise EvalkitError(f"{path}:{number}: expected a JSON object, found {type(value).__name__}")
    return value


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it, so that a reader finds all of it or the old one.

    Raises:
        EvalkitError: a disk that is full, or a folder that cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise EvalkitError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, whole or not at all; a NaN is refused.

    Unicode's own line ends, which are legal within a JSON string, are escaped: some readers split lines at them.
    """
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False).translate(_LINE_ENDS) for row in rows)
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one indented JSON object, whole or not at all; a NaN is refused."""
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
