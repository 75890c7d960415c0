"""Stored annotations of AlpacaEval, as rows: an instruction is an item, its score the preference less 1."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.comparing.evaluation import Row, Source, content_hash
from evalkit.errors import EvalkitError

BENCHMARK = "alpaca_eval"


def is_annotations(value: Any) -> bool:
    """Return whether the content of a JSON file is a list of AlpacaEval's annotations."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and {"instruction", "preference", "output_1", "output_2"} <= set(value[0])
    )


def read_annotations(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[Source]:
    """Return a source per model that is judged in the file; a file of one model is the usual case.

    AlpacaEval's preference is 1 for the baseline (output_1), 2 for the model (output_2), 0 or 1.5 for a tie, and
    between where the judge's probabilities were read; null or -1 where the judge gave no answer, which is a failed
    item here.

    Raises:
        EvalkitError: a row without a column, or several baselines or judges for one model.
    """
    models: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for number, row in enumerate(rows, start=1):
        place = f"{path}: annotation {number}"
        for column in ("instruction", "preference", "output_1", "output_2"):
            if not isinstance(row, dict) or column not in row:
                raise EvalkitError(f"{place}: no '{column}'; give the annotations.json that alpaca_eval writes")
        models.setdefault(str(row.get("generator_2") or ""), []).append((place, row))
    return [_source(path, model, own, several=len(models) > 1) for model, own in models.items()]


def _source(path: Path, model: str, rows: list[tuple[str, Mapping[str, Any]]], *, several: bool) -> Source:
    settings: dict[str, Any] = {"model": model}
    for key, column in (("judge", "annotator"), ("baseline", "generator_1")):
        values = list(dict.fromkeys(str(row[column]) for _, row in rows if row.get(column) is not None))
        if len(values) > 1:
            raise EvalkitError(f"{path}: {model} has several of '{column}': {', '.join(values[:3])}; split the file")
        if values:
            settings[key] = values[0]
    return Source(
        path=path,
        kind="AlpacaEval annotations",
        rows=_rows(rows),
        settings=settings,
        name=model if several else "",
    )


def _rows(rows: list[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, Row]]:
    for place, row in rows:
        score = _score(place, row["preference"])
        yield (
            place,
            {
                "benchmark": BENCHMARK,
                "subset": "",
                "id": content_hash(" ".join(str(row["instruction"]).split())),  # as `evalkit alpaca` names it
                "score": score,
                "error": "the judge gave no preference" if score is None else None,
                "metric": "preference",
                "prompt": row["instruction"],
                "response": row["output_2"],
                "target": row["output_1"],
                "dataset": row.get("dataset"),
            },
        )


def _score(place: str, preference: Any) -> float | None:
    if preference is None or preference != preference:  # a NaN is how pandas writes a missing one
        return None
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        raise EvalkitError(f"{place}: preference {preference!r}; it lies between 1 (the baseline) and 2 (the model)")
    if preference == -1:  # what AlpacaEval's cache writes for a reply that it could not read
        return None
    if preference != 0 and not 1 <= preference <= 2:
        raise EvalkitError(f"{place}: preference {preference!r}; it lies between 1 (the baseline) and 2 (the model)")
    return 0.5 if preference == 0 else float(preference) - 1
