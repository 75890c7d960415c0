"""Feedback from files: rows read one at a time, checked, and described by one of three formats."""

import codecs
import gzip
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from trainer.config import did_you_mean
from trainer.errors import TrainerError

if TYPE_CHECKING:  # it brings PyTorch, which reading rows does without
    from halotheory.contract import Loss

Format = Literal["paired", "unpaired", "completions", "prompts"]

COLUMNS: dict[Format, tuple[str, ...]] = {
    "paired": ("prompt", "chosen", "rejected"),
    "unpaired": ("prompt", "completion", "label"),
    "completions": ("prompt", "completion"),
    "prompts": ("prompt",),
}
"""The columns of each format; other columns of a row are left alone."""

_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "chatbot": "assistant", "ai": "assistant"}
"""Names of the two speakers in other formats, and what chat templates call them; most write any name as it is."""

_LARGEST_WEIGHT = 3e38
"""What float32 holds."""

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
"""What the names of files that are read end in, before a `.gz`."""

_FILE_SUFFIXES = {*SUFFIXES, ".csv", ".tsv", ".txt"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a file.

    Attributes:
        place: where it is, as errors name it: `data.jsonl:7`.
        values: its columns.
    """

    place: str
    values: dict[str, Any]


def read_rows(source: str, split: str = "train") -> Iterator[Row]:
    """Yield the rows of a .jsonl, .json or .parquet file (gzipped or not), or of a hub data set NAME[:CONFIG].

    Raises:
        TrainerError: no such file, a malformed line, a row that is no object.
    """
    path = Path(source)
    name = path.name.removesuffix(".gz")
    if os.path.isfile(path):  # unlike a Path's own, no error for a name that no file can have
        readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_file, ".parquet": _parquet}
        reader = readers.get(Path(name).suffix)
        if reader is None:
            raise TrainerError(f"{path}: unknown kind of file; give .jsonl, .json or .parquet, gzipped or not")
        yield from reader(path)
    elif os.path.isdir(path) or Path(name).suffix in _FILE_SUFFIXES or source.count("/") > 1:
        kind = "is a folder; name one file in it" if os.path.isdir(path) else "no such file"
        raise TrainerError(f"{path}: {kind}")
    elif beside := file_beside(source):
        raise TrainerError(f"{source}: no such file; is it {beside}? a data set of the hub is OWNER/NAME")
    else:
        yield from _hub(source, split)


def file_beside(name: str) -> str | None:
    """Return the data file that a name without a slash means when its ending is added, if there is one."""
    endings = (suffix + gz for gz in ("", ".gz") for suffix in SUFFIXES)
    return next((name + ending for ending in endings if "/" not in name and os.path.isfile(name + ending)), None)


def format_of(row: Row, wanted: tuple[Format, ...]) -> Format:
    """Return the first format among `wanted` whose columns the row has.

    Raises:
        TrainerError: it has the columns of none; the message names the nearest.
    """
    for name in wanted:
        if all(column in row.values for column in COLUMNS[name]):
            return name
    present = tuple(row.values)

    def missing(name: Format) -> list[str]:
        return [column for column in COLUMNS[name] if column not in present]

    column = missing(min(wanted, key=lambda name: len(missing(name))))[0]
    formats = " or ".join("{" + ", ".join(COLUMNS[name]) + "}" for name in wanted)
    raise TrainerError(f"{row.place}: no column '{column}'{nearest(column, present)}; rows are {formats}")


def formats_for(loss: "Loss") -> tuple[Format, ...]:
    """Return the formats that a loss can learn from, the best first."""
    from trainer.feedback import learns_from_labels

    if loss.kind == "paired":
        return ("paired",)
    return ("unpaired", "paired") if learns_from_labels(loss) else ("unpaired", "completions", "paired")


def check_format(row: Row, loss: "Loss") -> Format:
    """Return the format of the data, as the first row has it.

    Raises:
        TrainerError: the loss cannot learn from it; the message says which losses can.
    """
    everything: tuple[Format, ...] = ("paired", "unpaired", "completions")
    wanted = formats_for(loss)
    for name in wanted:
        if all(column in row.values for column in COLUMNS[name]):
            return name
    try:
        found = format_of(row, everything)
    except TrainerError:
        return format_of(row, wanted)
    if loss.kind == "paired":
        fitting = "kto and sft" if found == "unpaired" else "sft"
        raise TrainerError(
            f"{row.place}: {loss.name} learns from pairs {{prompt, chosen, rejected}}, and these rows are "
            f"{{{', '.join(COLUMNS[found])}}}; {fitting} fit such rows"
        )
    raise TrainerError(f"{row.place}: no column 'label'; {loss.name} learns from thumbs up or down; sft fits such rows")


def check_row(row: Row, form: Format) -> None:
    """Check the types of a row's columns, `weight` among them where there is one, and who speaks in conversations.

    Raises:
        TrainerError: a missing column, a text that is none, a label that is not true or false, a weight below 0,
            an answer that is not one message of the assistant, a prompt that is answered already.
    """
    if form != "prompts" and "weight" in row.values:
        problem = _weight_problem(row.values["weight"])
        if problem:
            raise TrainerError(f"{row.place}: weight {problem}")
    for column in COLUMNS[form]:
        if column not in row.values:
            raise TrainerError(f"{row.place}: no column '{column}'{nearest(column, tuple(row.values))}")
        value = row.values[column]
        problem = _label_problem(value) if column == "label" else text_problem(value)
        if problem:
            raise TrainerError(f"{row.place}: {column} {problem}")
        if column not in {"prompt", "label"} and isinstance(value, list) and isinstance(row.values["prompt"], str):
            raise TrainerError(
                f"{row.place}: {column} is a conversation and prompt is text; write both as text, "
                "or both as lists of {role, content}"
            )
        if isinstance(value, list) and (problem := _turns_problem(value, of_prompt=column == "prompt")):
            raise TrainerError(f"{row.place}: {column} {problem}")


def _weight_problem(value: Any) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and 0 <= value <= _LARGEST_WEIGHT
    return None if fits else f"is {shown(value)}; write a number >= 0, at most 3e38, or leave the column out"


def is_empty(value: Any) -> bool:
    """Whether a text, or every message of a conversation, says nothing."""
    if isinstance(value, str):
        return not value.strip()
    return all(not str(message["content"]).strip() for message in value)


def _label_problem(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"is {shown(value)}; write true or false"


def text_problem(value: Any) -> str | None:
    """Return what keeps a value from being text or a conversation, or None."""
    if isinstance(value, str):
        return _broken_text(value)
    if not isinstance(value, list):
        return f"is {shown(value)}; expected text, or a list of {{role, content}}"
    if not value:
        return "is an empty list; expected at least one message {role, content}"
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return f"holds {shown(message)}; expected messages {{role, content}}"
        if "content" not in message:
            return f"holds {shown(message)}, a message without content; expected messages {{role, content}}"
        if not isinstance(message["content"], str):
            return f"holds a message whose content is {shown(message['content'])}; expected text"
        if problem := _broken_text(message["content"]):
            return problem
    return None


def _turns_problem(messages: list[dict[str, str]], *, of_prompt: bool) -> str | None:
    """Return what keeps messages from being a prompt, which another speaks last, or an answer: one of the assistant."""
    roles = [message["role"] for message in messages]
    if strange := next((role for role in roles if role.lower() in _ROLES), None):
        return f"holds a message whose role is {shown(strange)}; write {_ROLES[strange.lower()]!r}"
    if of_prompt:
        last = "ends with a message of the assistant; end it before, the completion is what the assistant says next"
        return last if roles[-1] == "assistant" else None
    if len(roles) > 1:
        return (
            f"holds {len(roles)} messages; expected one, of the assistant: what was said before belongs to the prompt"
        )
    return None if roles == ["assistant"] else f"is a message whose role is {shown(roles[0])}; expected 'assistant'"


def _broken_text(text: str) -> str | None:
    """Return what is wrong with a text that no file could hold: half of an emoji, cut by a log."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds half a character, {text[error.start]!a}, at place {error.start + 1}; remove it"
    return None


def shown(value: Any) -> str:
    """Return a value as an error shows it: short, with its type."""
    if value is None:
        return "null"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    text = json.dumps(value, default=str)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"


def nearest(column: str, present: tuple[str, ...]) -> str:
    """Return a suggestion for a missing column, to append to an error."""
    return did_you_mean(column, present).replace("known are", "there are").replace("did you mean", "is it")


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[return-value]


def _text(raw: bytes, place: str) -> str:
    """Return bytes of JSON as text, without a byte order mark.

    Raises:
        TrainerError: they are not UTF-8; those of UTF-16 may be by chance, but JSON has no zero bytes.
    """
    reason = "it holds zero bytes, as UTF-16 does" if b"\0" in raw else ""
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        text, reason = "", reason or f"{error.reason}, {error.object[error.start]:#x}"
    if reason:
        raise TrainerError(f"{place}: is not UTF-8: {reason}; save the file as UTF-8")
    return text


def _first_line(path: Path) -> bytes:
    """Return the first line that is not blank, from where its text begins."""
    with _open(path) as file:
        return next((line.lstrip() for line in file if line.strip()), b"").removeprefix(codecs.BOM_UTF8)


def _json_lines(path: Path, expected: str = "") -> Iterator[Row]:
    """Yield the rows of JSON lines; `expected` is what the error for malformed JSON ends with."""
    line = 0
    try:
        if _first_line(path).startswith(b"["):
            raise TrainerError(
                f"{path}: holds a JSON array; give it a name that ends in .json, or write one object on each line"
            )
        with _open(path) as file:
            for line, raw in enumerate(file, start=1):
                if raw.strip():
                    place = f"{path}:{line}"
                    values = json.loads(_text(raw.rstrip(), place), object_pairs_hook=_unrepeated)
                    yield Row(place=place, values=_object(values, place))
    except json.JSONDecodeError as error:
        raise TrainerError(f"{path}:{line}: malformed JSON: {error.msg} (column {error.colno}){expected}") from error
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path}:{line}: malformed JSON: {error}") from error
    except (OSError, EOFError) as error:
        raise TrainerError(f"{path}:{line + 1}: cannot be read: {error}") from error


def _json_file(path: Path) -> Iterator[Row]:
    """Yield the items of a JSON array; a file that is JSON lines in truth is read as such, line by line."""
    try:
        if not _first_line(path).startswith(b"["):
            yield from _json_lines(path, "; a .json file is one array of objects, or has one object on each line")
            return
        with _open(path) as file:
            text = _text(file.read(), str(path))
    except (OSError, EOFError) as error:
        raise TrainerError(f"{path}: cannot be read: {error}") from error
    try:
        items = json.loads(text, object_pairs_hook=_unrepeated)
    except json.JSONDecodeError as error:
        raise TrainerError(f"{path}:{error.lineno}: malformed JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path}: malformed JSON: {error}") from error
    for number, item in enumerate(items, start=1):
        yield Row(place=f"{path}: row {number}", values=_object(item, f"{path}: row {number}"))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with _open(path) as file:
            zipped = isinstance(file, gzip.GzipFile)
            source = pa.BufferReader(file.read()) if zipped else file  # Parquet is read from its end
            for batch in pq.ParquetFile(source).iter_batches(1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(place=f"{path}: row {number}", values=values)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise TrainerError(f"{path}: cannot be read as Parquet: {error}") from error
    except (ValueError, OverflowError) as error:  # what Python cannot hold, as a date in the year 148117
        raise TrainerError(
            f"{path}: a value behind row {number} cannot be read: {error}; leave its column out"
        ) from error


def _hub(source: str, split: str) -> Iterator[Row]:
    import datasets

    name, _, config = source.partition(":")
    try:
        rows = datasets.load_dataset(name, config or None, split=split)
    except Exception as error:  # whatever the hub client raises, the user's remedy is the same
        reason = " ".join(str(error).split())[:200]
        raise TrainerError(f"{source}: no such file, and no hub data set could be loaded: {reason}") from error
    for number, values in enumerate(rows, start=1):
        yield Row(place=f"{source}: row {number}", values=dict(values))


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; of two values under one key, a file may not choose silently."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated!a} is given twice in one object; keep one")
    return values


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TrainerError(f"{place}: the row is {shown(value)}; expected an object {{...}}")
    return value
