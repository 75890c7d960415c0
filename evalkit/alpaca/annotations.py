"""Annotations of one model's outputs: who won on which instruction, read from AlpacaEval's files or a run folder."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.alpaca.instructions import instruction_key, order_of
from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines
from evalkit.run_folder import SAMPLES, is_finished, read_config

BENCHMARK = "alpaca_eval"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One instruction, two outputs, and which the judge prefers.

    Attributes:
        key: what the instruction is matched by.
        instruction: its text.
        baseline_output: the output of the baseline (AlpacaEval's `output_1`).
        output: that of the model (`output_2`).
        preference: of the judge for the model, in [0, 1]; None where there is no verdict.
        error: why there is none; "" otherwise.
        shown_first: the preference when the model's output was shown first; None where it was not.
        shown_second: when it was shown second.
    """

    key: str
    instruction: str
    baseline_output: str
    output: str
    preference: float | None
    error: str = ""
    shown_first: float | None = None
    shown_second: float | None = None

    @property
    def length_difference(self) -> int:
        """Characters of the baseline's output minus those of the model's."""
        return len(self.baseline_output) - len(self.output)


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """All judgements of one model against one baseline by one judge, in an order that does not depend on the file.

    Attributes:
        source: the file or folder.
        model: name of the model judged.
        baseline: name of the model it is compared with.
        judge: name of the judge, or AlpacaEval's name of the annotator.
        judgements: in AlpacaEval's order of instructions, then by key; no instruction twice.
    """

    source: str
    model: str
    baseline: str
    judge: str
    judgements: tuple[Judgement, ...]

    def preferences(self) -> NDArray[np.float64]:
        """Return the preference for the model per judgement, NaN where there is none, (n,)."""
        return np.array([math.nan if j.preference is None else j.preference for j in self.judgements])

    def length_differences(self) -> NDArray[np.float64]:
        """Return characters of the baseline's output minus those of the model's, (n,)."""
        return np.array([float(j.length_difference) for j in self.judgements])


def read_annotations(path: Path) -> Annotations:
    """Return the annotations in a file of AlpacaEval's (JSON or JSON lines) or in a run folder of `evalkit alpaca`.

    Raises:
        EvalkitError: no such file, rows that are no annotations, several models, baselines or judges in one file, or
            an instruction that occurs twice.
    """
    if path.is_dir():
        return _from_run(path)
    rows = list(read_rows(path))
    judgements = [_judgement(path, number, row) for number, row in rows]
    names = {column: _only_name(path, rows, column) for column in ("generator_1", "generator_2", "annotator")}
    return Annotations(
        source=str(path),
        model=names["generator_2"] or path.stem,
        baseline=names["generator_1"] or "baseline",
        judge=names["annotator"] or "",
        judgements=in_order(judgements, path),
    )


def read_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (row number from 1, object) of a JSON array or of JSON lines.

    Raises:
        EvalkitError: no such file, not JSON, or a row that is no object.
    """
    rows = _array(path)
    if rows is None:
        rows = [row for _, row in read_json_lines(path)]
    if not rows:
        raise EvalkitError(f"{path}: no rows; it is empty")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise EvalkitError(f"{path}: row {number}: expected a JSON object, found {type(row).__name__}")
        yield number, row


def _array(path: Path) -> list[Any] | None:
    """Return a file's JSON array, or None where it begins otherwise."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EvalkitError(f"{path}: not UTF-8 text: {error.reason}; save the file as UTF-8") from error
    if not text.lstrip().startswith("["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise EvalkitError(f"{path}{line}: not JSON: {getattr(error, 'msg', error)}") from error


def text_of(path: Path, number: int, row: Mapping[str, Any], column: str) -> str:
    """Return a row's text in a column.

    Raises:
        EvalkitError: no such column, or no text in it.
    """
    if column not in row:
        raise EvalkitError(f"{path}: row {number}: no '{column}'; it has {', '.join(map(repr, row)) or 'nothing'}")
    value = row[column]
    if value is None and column != "instruction":
        return ""  # a model that gave no output; the judge saw the empty text
    if not isinstance(value, str):
        raise EvalkitError(f"{path}: row {number}: '{column}' is {type(value).__name__}, not text")
    # a lone surrogate, which JSON can hold and UTF-8 cannot, becomes one character, so that lengths stay
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def in_order(judgements: Iterable[Judgement], path: Path) -> tuple[Judgement, ...]:
    """Return judgements in the order that does not depend on the file.

    Raises:
        EvalkitError: an instruction that occurs twice.
    """
    ordered = sorted(judgements, key=lambda j: order_of(j.key))
    for one, other in itertools.pairwise(ordered):
        if one.key == other.key:
            raise EvalkitError(
                f"{path}: the instruction {one.instruction[:60]!r} occurs twice; keep one judgement of each, or the "
                "standard error would take them for independent"
            )
    return tuple(ordered)


def _judgement(path: Path, number: int, row: Mapping[str, Any]) -> Judgement:
    instruction = text_of(path, number, row, "instruction")
    preference = _preference(path, number, row)
    return Judgement(
        key=instruction_key(instruction),
        instruction=instruction,
        baseline_output=text_of(path, number, row, "output_1"),
        output=text_of(path, number, row, "output_2"),
        preference=preference,
        error="" if preference is not None else "the file has no preference",
    )


def _preference(path: Path, number: int, row: Mapping[str, Any]) -> float | None:
    """Return AlpacaEval's preference (1: the baseline, 2: the model, 0 or 1.5: a tie) as one in [0, 1]."""
    if "preference" not in row:
        raise EvalkitError(f"{path}: row {number}: no 'preference'; give the annotations, not the model's outputs")
    value = row["preference"]
    if value is None or (isinstance(value, float) and math.isnan(value)) or value == -1:
        return None  # -1 is what AlpacaEval's cache writes for a reply that it could not read
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or 1 <= value <= 2):
        raise EvalkitError(f"{path}: row {number}: the preference {value!r} is neither null nor from 1 to 2")
    return 0.5 if value == 0 else float(value) - 1


def _score(file: Path, line: int, row: Mapping[str, Any]) -> float | None:
    """Return the preference in a line of samples."""
    value = row.get("score")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise EvalkitError(f"{file}:{line}: the score {value!r} is no preference from 0 to 1")
    return float(value)


def _only_name(path: Path, rows: Sequence[tuple[int, Mapping[str, Any]]], column: str) -> str:
    """Return the one name in a column; "" where no row has it."""
    names = {str(row[column]) for _, row in rows if row.get(column) is not None}
    if len(names) > 1:
        listed = ", ".join(sorted(names)[:3])
        raise EvalkitError(f"{path}: {len(names)} different names in '{column}' ({listed}); give one file for each")
    return "".join(sign for sign in names.pop() if sign.isprintable()) if names else ""


def _from_run(path: Path) -> Annotations:
    """Return the annotations that a finished run of `evalkit alpaca` holds."""
    config = read_config(path)
    if config is None or config.get("benchmark") != BENCHMARK or not is_finished(path):
        raise EvalkitError(f"{path}: not a finished run of evalkit alpaca; give its --output, or an annotations file")
    file = path / SAMPLES
    judgements = [
        Judgement(
            key=instruction_key(text_of(file, line, row, "prompt")),
            instruction=text_of(file, line, row, "prompt"),
            baseline_output=text_of(file, line, row, "baseline_response"),
            output=text_of(file, line, row, "response"),
            preference=_score(file, line, row),
            error=str(row.get("error") or ""),
            shown_first=row.get("shown_first"),
            shown_second=row.get("shown_second"),
        )
        for line, row in read_json_lines(file)
        if row.get("benchmark") == BENCHMARK
    ]
    return Annotations(
        source=str(path),
        model=str(config.get("model") or path.name),
        baseline=str(config.get("baseline") or "baseline"),
        judge=str(config.get("judge") or ""),
        judgements=in_order(judgements, file),
    )
