"""A run on disk: its settings, the items scored so far, and the finished results."""

import contextlib
import fcntl
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines, write_json, write_json_lines, write_text

CONFIG, RESULTS, SAMPLES, PARTS = "config.yaml", "results.json", "samples.jsonl", "parts"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One scored item of a run.

    Attributes:
        benchmark: such as `bbh`.
        subset: such as `snarks`; "" where the benchmark has none.
        id: a hash of the item's content; a repeated item within a subset has "#2", "#3", ... after it.
        score: finite.
        metric: what the score is, with the filter of answers: `exact_match,strict-match`.
        higher_is_better: the direction of the score.
        prompt_hash: a hash of the prompt as the model got it; "" where the file has none.
    """

    benchmark: str
    subset: str
    id: str
    score: float
    metric: str
    higher_is_better: bool
    prompt_hash: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        config: the settings.
        items: every scored item, by benchmark, in the order of the file.
        failed: by benchmark, the number of items without a score, because asking the model or the scorer failed.
    """

    path: Path
    config: Mapping[str, Any]
    items: Mapping[str, tuple[Item, ...]]
    failed: Mapping[str, int] = field(default_factory=dict)


def read_run(path: Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        EvalkitError: not a run, not finished, empty, or an item that cannot be used.
    """
    if not path.is_dir():
        raise EvalkitError(f"{path}: no such folder; give the --output of evalkit run")
    if not (path / RESULTS).is_file():
        if (path / CONFIG).is_file():
            raise EvalkitError(f"{path}: the run is not finished; start the same evalkit run again")
        raise EvalkitError(f"{path}: not a run: it has no {RESULTS}; give the --output of evalkit run")
    items: dict[str, list[Item]] = {}
    failed: Counter[str] = Counter()
    seen: set[tuple[str, str, str]] = set()
    for line, row in read_json_lines(path / SAMPLES):
        if row.get("score", 0) is None and row.get("error"):
            failed[str(row.get("benchmark"))] += 1
            continue
        item = _item(path / SAMPLES, line, row)
        key = (item.benchmark, item.subset, item.id)
        if key in seen:
            raise EvalkitError(f"{path / SAMPLES}:{line}: item {item.id} of {item.benchmark} occurs twice")
        seen.add(key)
        items.setdefault(item.benchmark, []).append(item)
    if not items:
        raise EvalkitError(f"{path / SAMPLES}: no items; nothing was scored")
    found = {name: tuple(rows) for name, rows in items.items()}
    return Run(path=path, config=read_config(path) or {}, items=found, failed=dict(failed))


def _item(file: Path, line: int, row: Mapping[str, Any]) -> Item:
    for column in ("benchmark", "id", "score"):
        if column not in row:
            raise EvalkitError(f"{file}:{line}: no '{column}'; an item has benchmark, subset, id and score")
    score = row["score"]
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise EvalkitError(f"{file}:{line}: the score {score!r} is not a finite number; score the item again")
    return Item(
        benchmark=str(row["benchmark"]),
        subset=str(row.get("subset") or ""),
        id=str(row["id"]),
        score=float(score),
        metric=str(row.get("metric") or ""),
        higher_is_better=bool(row.get("higher_is_better", True)),
        prompt_hash=str(row.get("prompt_hash") or ""),
    )


def read_config(path: Path) -> dict[str, Any] | None:
    """Return the settings of the run in a folder, or None where none was started.

    Raises:
        EvalkitError: a config.yaml that is not YAML.
    """
    import yaml

    file = path / CONFIG
    if not file.is_file():
        return None
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise EvalkitError(f"{file}: not YAML; restore it, or use another --output") from error
    if not isinstance(config, dict):
        raise EvalkitError(f"{file}: not the settings of a run; use another --output")
    return config


def is_finished(path: Path) -> bool:
    """Return whether a folder holds the results of a run."""
    return (path / RESULTS).is_file()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing to a run folder, which is made if it is not there.

    Raises:
        EvalkitError: another process is writing to it, or it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError as error:
            raise EvalkitError(f"{path}: another evalkit run is writing to it; wait for its end") from error
        yield
    finally:
        os.close(folder)


def start_run(path: Path, config: Mapping[str, Any]) -> None:
    """Write the settings of a run that begins or goes on."""
    import yaml

    write_text(path / CONFIG, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def read_results(path: Path) -> dict[str, Any] | None:
    """Return the results of a finished run, or None.

    Raises:
        EvalkitError: a results.json that is not JSON.
    """
    file = path / RESULTS
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise EvalkitError(f"{file}:{error.lineno}: not JSON; use --overwrite to evaluate again") from error


def write_part(path: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep the samples of one finished benchmark."""
    write_json_lines(path / PARTS / f"{name}.jsonl", rows)


def read_part(path: Path, name: str) -> list[dict[str, Any]] | None:
    """Return the samples of a benchmark that an earlier start of the run has finished, or None."""
    file = path / PARTS / f"{name}.jsonl"
    return [row for _, row in read_json_lines(file)] if file.is_file() else None


def journal_path(path: Path, name: str) -> Path:
    """Return the file in which a benchmark's answers are kept until the run is finished."""
    return path / PARTS / f"{name}.answers.jsonl"


def finish_run(
    path: Path, results: Mapping[str, Any], samples: Iterable[Mapping[str, Any]], *, keep_parts: bool = False
) -> None:
    """Write samples, then results (their presence says that the run is finished), and drop the parts.

    Args:
        path: the run folder.
        results: what results.json holds.
        samples: every item.
        keep_parts: whether items failed, for which the same command asks again.
    """
    write_json_lines(path / SAMPLES, samples)
    write_json(path / RESULTS, results)
    if not keep_parts:
        shutil.rmtree(path / PARTS, ignore_errors=True)


def clear_run(path: Path) -> None:
    """Remove what an earlier run left in a folder, and nothing else."""
    for name in (RESULTS, SAMPLES, CONFIG):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / PARTS, ignore_errors=True)
