"""Pairs with people's labels, in the columns that data sets of them use."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.judging.outputs import Pair, answer_of, column, content_hash, conversation_of, read_rows

PROMPTS = ("prompt", "instruction", "input")
ANSWERS = (
    ("output_1", "output_2"),
    ("response1", "response2"),
    ("left_output", "right_output"),
    ("output_a", "output_b"),
    ("response_a", "response_b"),
)
LABELS = ("label", "human", "majority", "crowd_majority", "winner")

CHOICES = {
    **dict.fromkeys(("1", "first", "left", "a", "output_1", "model_a"), "A"),
    **dict.fromkeys(("2", "second", "right", "b", "output_2", "model_b"), "B"),
    **dict.fromkeys(("0", "tie", "c", "equal", "both", "tie (bothbad)"), "C"),
    **dict.fromkeys(("", "none", "null", "nan"), ""),
}
"""What a label may be: the first answer, the second, neither, or nothing said."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A pair that people have judged.

    Attributes:
        pair: the first answer as the judged one.
        label: A the first, B the second, C neither; "" where people have not decided.
    """

    pair: Pair
    label: str


def read_labelled(path: Path, label: str | None = None) -> list[Labelled]:
    """Return the pairs in a file: `prompt` (or `instruction`, `input`), two answers, and a label.

    Answers are `output_1` and `output_2`, or one of the other pairs of columns in `ANSWERS`; labels 1, 2 and 0 for
    neither, or words of `CHOICES`. An `input` beside an `instruction` belongs to the prompt.

    Args:
        path: JSON lines, gzipped or not, or a JSON array.
        label: the column of labels; several with commas between are votes, of which a majority decides.

    Raises:
        EvalkitError: a file that cannot be read, or a row without these.
    """
    seen: Counter[str] = Counter()
    found = []
    for place, row in read_rows(path):
        pair = _pair(place, row)
        seen[pair.id] += 1
        name = pair.id if seen[pair.id] == 1 else f"{pair.id}#{seen[pair.id]}"
        numbered = Pair(id=name, conversation=pair.conversation, judged=pair.judged, against=pair.against)
        found.append(Labelled(pair=numbered, label=label_of(place, row, label)))
    if not found:
        raise EvalkitError(f"{path}: holds no rows; expected JSON lines with a prompt, two answers and a label")
    return found


def _pair(place: str, row: Mapping[str, Any]) -> Pair:
    answers = answers_of(place, row)
    if answers is None:
        names = ", ".join(" and ".join(names) for names in ANSWERS)
        raise EvalkitError(f"{place}: no two answers; the columns may be {names}")
    conversation = conversation_of(place, "prompt", _prompt(place, row))
    return Pair(id=content_hash(conversation), conversation=conversation, judged=answers[0], against=answers[1])


def _prompt(place: str, row: Mapping[str, Any]) -> Any:
    value = column(place, row, PROMPTS)
    more = row.get("input") if "instruction" in row and "prompt" not in row else None
    return f"{value}\n\n{more}" if isinstance(value, str) and isinstance(more, str) and more.strip() else value


def answers_of(place: str, row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the two answers of a row, or None where it has none of the known columns."""
    for names in ANSWERS:
        if all(name in row for name in names):
            first, second = (answer_of(place, row[name]) for name in names)
            return first, second
    return None


def label_of(place: str, row: Mapping[str, Any], name: str | None) -> str:
    """Return A, B, C, or "" for nothing said: a column's label, or what most of several say, ties undecided.

    Raises:
        EvalkitError: no such column, or something that is no label.
    """
    names: Sequence[str] = [one.strip() for one in name.split(",") if one.strip()] if name else ()
    if not names:
        return _choice(place, column(place, row, LABELS))
    votes = Counter(choice for one in names if (choice := _choice(place, column(place, row, [one]))))
    most = votes.most_common(2)
    if not most or (len(most) == 2 and most[0][1] == most[1][1]):
        return ""
    return most[0][0]


def _choice(place: str, value: Any) -> str:
    text = "" if value is None else str(value).strip().lower()
    text = text.removesuffix(".0")  # a table with gaps stores whole numbers as 1.0
    if text not in CHOICES:
        raise EvalkitError(f"{place}: {value!r} is no label; use 1, 2 or 0 for neither (or A, B, tie; null for none)")
    return CHOICES[text]
