"""The columns of each format of feedback, and what is said of a row that breaks them."""

from typing import Any

from trainer.config import did_you_mean
from trainer.converting.steps import UnusableRowError
from trainer.data import Row, check_row, is_empty, nearest, shown, text_problem
from trainer.errors import TrainerError

COLUMNS: dict[str, tuple[str, ...]] = {
    "shp": ("history", "human_ref_A", "human_ref_B", "score_A", "score_B"),
    "oasst": ("message_id", "parent_id", "message_tree_id", "text", "role"),
    "ultrafeedback-binarized": ("prompt", "chosen", "rejected", "score_chosen", "score_rejected"),
    "ultrafeedback": ("instruction", "completions"),
    "paired": ("prompt", "chosen", "rejected"),
    "unpaired": ("prompt", "completion", "label"),
    "scored": ("prompt", "completion", "score"),
    "hh": ("chosen", "rejected"),
}
"""The columns that tell a format, the more particular formats first."""

READ_TOO: dict[str, tuple[str, ...]] = {
    "shp": ("labels",),
    "oasst": ("deleted", "lang", "rank", "emojis", "labels", "thumbs_up", "thumbs_down"),
    "scored": ("weight", "group"),
}
"""Columns that are read where they are present."""

FORMATS = ("hh", "shp", "oasst", "ultrafeedback", "paired", "unpaired", "scored")
"""What --format may say."""

_LARGEST = 1e300  # scores are subtracted

_CARRIED = {"paired": ("margin",), "unpaired": ("weight",), "scored": ("weight", "group")}


def format_of(row: Row, said: str | None) -> str:
    """Return the format of a row: the one that --format says, or the one whose columns it has.

    Raises:
        TrainerError: it lacks a column; the message names the nearest.
    """
    if said == "ultrafeedback" and "chosen" in row.values:
        said = "ultrafeedback-binarized"
    if said:
        for column in COLUMNS[said]:
            require(row, column)
        return said
    for name, columns in COLUMNS.items():
        if all(column in row.values for column in columns):
            return name
    missing = {name: [one for one in columns if one not in row.values] for name, columns in COLUMNS.items()}
    likely = min(missing, key=lambda name: len(missing[name]) / len(COLUMNS[name]))
    if len(missing[likely]) == len(COLUMNS[likely]):
        likely = "paired"
    column = missing[likely][0]
    known = "; ".join(f"{name} has {', '.join(COLUMNS[name])}" for name in ("paired", "unpaired", "scored"))
    raise TrainerError(f"{row.place}: no column '{column}'{nearest(column, tuple(row.values))}; {known}")


def check_formats(formats: tuple[str, ...], sources: int) -> tuple[str | None, ...]:
    """Return the format said of each source, or none.

    Raises:
        TrainerError: an unknown one, or another number than of sources.
    """
    for name in formats:
        if name not in FORMATS:
            raise TrainerError(f"--format {name}: no such format{did_you_mean(name, FORMATS)}")
    if len(formats) not in {0, 1, sources}:
        raise TrainerError(f"--format is given {len(formats)} times and --data {sources}; give one, or one for each")
    return (formats or (None,)) * sources if len(formats) < 2 else formats


def standard(row: Row, form: str) -> Row:
    """Return a paired, unpaired or scored row with the columns of its format alone, all of them checked.

    Raises:
        TrainerError: a missing column, a text, label or score that is none.
        UnusableRowError: a completion is empty.
    """
    check_row(row, "completions" if form == "scored" else form)  # type: ignore[arg-type]
    values: dict[str, Any] = {column: _plain(row.values[column]) for column in COLUMNS[form] if column != "score"}
    if form == "scored":
        values["score"] = number(row, "score")
    for column in _CARRIED[form]:
        if row.values.get(column) is not None:
            values[column] = _group(row) if column == "group" else float(number(row, column))
    if values.get("weight", 1) <= 0:
        raise TrainerError(f"{row.place}: weight is {shown(row.values['weight'])}; expected a number above 0")
    for column in ("completion", "chosen", "rejected"):
        if column in values and is_empty(values[column]):
            raise UnusableRowError(f"empty {column}")
    return Row(place=row.place, values=values)


def columns_of(row: Row) -> set[str]:
    """Return the columns of a row, and what its messages have besides role and content: `prompt[].name`."""
    names = set(row.values)
    for column in ("prompt", "completion", "chosen", "rejected"):
        messages = row.values.get(column)
        if isinstance(messages, list):
            keys = {key for message in messages if isinstance(message, dict) for key in message}
            names |= {f"{column}[].{key}" for key in keys - {"role", "content"}}
    return names


def require(row: Row, column: str) -> Any:
    """Return the value of a column.

    Raises:
        TrainerError: there is none; the message names the nearest.
    """
    if column not in row.values:
        raise TrainerError(f"{row.place}: no column '{column}'{nearest(column, tuple(row.values))}")
    return row.values[column]


def text(row: Row, column: str) -> str:
    """Return a column that holds text.

    Raises:
        TrainerError: it holds none.
    """
    value = require(row, column)
    problem = text_problem(value) if isinstance(value, str) else f"is {shown(value)}; expected text"
    if problem:
        raise TrainerError(f"{row.place}: {column} {problem}")
    return value


def number(row: Row, column: str) -> float:
    """Return a column that holds a finite number.

    Raises:
        TrainerError: it holds none.
    """
    value = require(row, column)
    problem = number_problem(value)
    if problem:
        raise TrainerError(f"{row.place}: {column} {problem}")
    return value


def number_problem(value: Any) -> str | None:
    """Return what keeps a value from being a finite number, or None."""
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    return None if kind and abs(value) < _LARGEST else f"is {shown(value)}; expected a finite number"


def _group(row: Row) -> str | int:
    value = row.values["group"]
    if not isinstance(value, str | int):
        raise TrainerError(f"{row.place}: group is {shown(value)}; expected text or a whole number")
    return value


def _plain(value: Any) -> Any:
    """Return a conversation with nothing but roles and contents; anything else as it is."""
    if not isinstance(value, list):
        return value
    return [{"role": message["role"], "content": message["content"]} for message in value]
