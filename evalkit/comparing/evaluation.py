"""An evaluation, whoever made it: its settings, and its items with their scores."""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.tables import printable

Row = Mapping[str, Any]
Key = tuple[str, str]
"""Subset and content hash: what makes two items of a benchmark the same."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What an importer finds at a path, as rows of a samples.jsonl; nothing of them is checked yet.

    Attributes:
        path: the folder or file.
        kind: what it is, such as "lm-eval samples".
        rows: (place for error messages, row) of each item; see `evaluation` for the columns.
        settings: how the model was asked and scored; the names are those of config.yaml.
        name: of the run, where the file has one; "" otherwise.
        notes: what a reader of the comparison should know of the import.
        file: in the folder, with the rows; None where the path is the file.
    """

    path: Path
    kind: str
    rows: Iterable[tuple[str, Row]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    notes: tuple[str, ...] = ()
    file: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """What was asked and answered, as people read it; "" where the source has none."""

    prompt: str
    response: str
    prediction: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One item of a benchmark.

    Attributes:
        subset: such as `snarks`; "" where the benchmark has none.
        id: a hash of the item's content, or the name that the source gives it.
        score: finite; None where asking or scoring failed.
        metric: what the score is, with the filter of answers: `exact_match,strict-match`.
        higher_is_better: the direction of the score.
        prompt_hash: a hash of the prompt as the model got it; "" where the source has none.
        cluster: what the item belongs to, from the column that was asked for, or else `cluster`; "" without.
        num_samples: answers of which the score is the mean.
        error: why there is no score.
        texts: where they were asked for.
    """

    subset: str
    id: str
    score: float | None
    metric: str
    higher_is_better: bool
    prompt_hash: str
    cluster: str
    num_samples: int
    error: str
    texts: Texts | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A finished evaluation of one model.

    Attributes:
        path: where it was read.
        kind: what was read there.
        name: of the run, where the source has one.
        settings: how the model was asked and scored.
        items: by benchmark, by key, in the order of the source.
        notes: what a reader should know of the import.
    """

    path: Path
    kind: str
    name: str
    settings: Mapping[str, Any]
    items: Mapping[str, Mapping[Key, Item]]
    notes: tuple[str, ...]


def evaluation(source: Source, *, texts: bool = False, cluster: str | None = None) -> Evaluation:
    """Return the checked items of a source.

    A row has `benchmark`, `id` and `score` (a number, or null where the item failed), and may have `subset`,
    `metric`, `higher_is_better`, `prompt_hash`, `num_samples`, `cluster`, `error`, `prompt`, `response`, `prediction`,
    `target`.

    Args:
        source: what an importer found.
        texts: keep prompts and answers, too.
        cluster: the column that says what an item belongs to.

    Raises:
        EvalkitError: no items, a row that lacks a column or has a score that is no number, or an item that occurs
            twice.
    """
    items: dict[str, dict[Key, Item]] = {}
    for place, row in source.rows:
        benchmark, item = _item(place, row, texts=texts, cluster=cluster)
        known = items.setdefault(benchmark, {})
        if (item.subset, item.id) in known:
            raise EvalkitError(f"{place}: item {item.id} of {benchmark} occurs twice; an item has one score")
        known[item.subset, item.id] = item
    if not items:
        raise EvalkitError(f"{source.file or source.path}: no items; nothing was scored")
    return Evaluation(
        path=source.path,
        kind=source.kind,
        name=printable(source.name),
        settings=source.settings,
        items=items,
        notes=source.notes,
    )


def _item(place: str, row: Row, *, texts: bool, cluster: str | None) -> tuple[str, Item]:
    for column in ("benchmark", "id", "score"):
        if column not in row:
            raise EvalkitError(f"{place}: no '{column}'; an item has benchmark, subset, id and score")
    if cluster is not None and row.get(cluster) in (None, ""):
        raise EvalkitError(f"{place}: no '{cluster}'; --clusters names a column that every item has, or subset")
    return printable(str(row["benchmark"])), Item(
        subset=printable(str(row.get("subset") or "")),
        id=str(row["id"]),
        score=_score(place, row["score"]),
        metric=printable(str(row.get("metric") or "")),
        higher_is_better=bool(row.get("higher_is_better", True)),
        prompt_hash=str(row.get("prompt_hash") or ""),
        cluster="" if (named := row.get(cluster or "cluster")) is None else str(named),
        num_samples=_num_samples(place, row.get("num_samples")),
        error=str(row.get("error") or "") if row["score"] is None else "",
        texts=_texts(row) if texts else None,
    )


def _score(place: str, score: Any) -> float | None:
    if score is None:
        return None
    if isinstance(score, int | float) and not isinstance(score, bool) and abs(score) <= sys.float_info.max:
        return float(score)
    raise EvalkitError(
        f"{place}: the score {repr(score)[:40]} is not a finite number; score the item again, or write null where it "
        "failed"
    )


def _num_samples(place: str, number: Any) -> int:
    if number is None:
        return 1
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise EvalkitError(f"{place}: num_samples is {number!r}; it must be a whole number of at least 1")
    return number


def _texts(row: Row) -> Texts:
    return Texts(
        prompt=readable(row.get("prompt")),
        response=readable(row.get("response")),
        prediction=readable(row.get("prediction")),
        target=readable(row.get("target", row.get("baseline_response"))),  # the latter where a judge compares
    )


def readable(value: Any) -> str:
    """Return a prompt or an answer as people read it: a chat turn by turn, several answers one after another."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if value and all(isinstance(turn, dict) and "content" in turn for turn in value):
            return "\n\n".join(f"{turn.get('role', 'turn')}: {readable(turn['content'])}" for turn in value)
        if all(isinstance(part, int | float) and not isinstance(part, bool) for part in value):
            return ", ".join(f"{part:.4g}" for part in value)
        if len(value) > 1 and all(isinstance(part, str) for part in value):
            return "\n\n".join(f"[{number}] {part}" for number, part in enumerate(value, start=1))
        return "\n".join(map(readable, value))
    return str(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False, default=str)


def content_hash(content: Any) -> str:
    """Return 16 hexadecimal digits of SHA-256 over a text, or over the sorted JSON of anything else."""
    if not isinstance(content, str):
        content = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def averaged(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield one row per item from rows of repeated samples: the mean of those that have a score, all answers kept.

    An item none of whose samples has a score has none; where some have, `num_samples` counts those.
    """
    groups: dict[tuple[Any, ...], list[tuple[str, dict[str, Any]]]] = {}
    for place, row in rows:
        groups.setdefault((row["benchmark"], row.get("subset"), row["id"]), []).append((place, row))
    for group in groups.values():
        place, first = group[0]
        if len(group) == 1:
            yield place, first
            continue
        scores = [_score(at, row["score"]) for at, row in group]
        found = [score for score in scores if score is not None]
        errors = [str(row["error"]) for _, row in group if row.get("error")]
        yield (
            place,
            first
            | {
                "score": sum(found) / len(found) if found else None,
                "num_samples": max(1, len(found)),
                "error": errors[0] if errors and not found else None,
                "response": [readable(row.get("response")) for _, row in group],
                "prediction": [readable(row.get("prediction")) for _, row in group],
            },
        )
