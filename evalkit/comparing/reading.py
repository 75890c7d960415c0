"""From paths to evaluations: what a path is, its items, and a name for each."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.comparing.evaluation import Evaluation, Source, evaluation
from evalkit.comparing.importing.alpaca_eval import is_annotations, read_annotations
from evalkit.comparing.importing.inspect_ai import is_log, read_eval_file, read_log
from evalkit.comparing.importing.lm_eval import is_lm_eval, read_lm_eval
from evalkit.comparing.importing.run_folder import is_run_folder, read_run_folder
from evalkit.comparing.importing.table import SUFFIXES, read_table
from evalkit.errors import EvalkitError

SUBSET = "subset"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How files of other tools are read.

    Attributes:
        metric: of lm-eval or the scorer of inspect_ai; by default each task's first.
        answer_filter: of lm-eval; by default each task's first.
        columns: a table's names for fields, where they differ.
        clusters: the column that says what an item belongs to; None without, `subset` for the subset.
        texts: keep prompts and answers.
    """

    metric: str | None = None
    answer_filter: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    clusters: str | None = None
    texts: bool = False


def read_sources(path: Path, options: ReadOptions) -> list[Source]:
    """Return what a path holds: one evaluation, or several where a file has several models.

    A path is a run folder, the output of `lm_eval --log_samples`, AlpacaEval's annotations (or a folder with
    annotations.json), a log of inspect_ai, or a table.

    Raises:
        EvalkitError: none of these, or one that cannot be read.
    """
    if not path.exists():
        raise EvalkitError(f"{path}: no such folder or file; give the --output of an evaluation")
    if path.is_dir():
        return _read_folder(path, options)
    if path.suffix == ".eval":
        return [read_eval_file(path, metric=options.metric)]
    if is_lm_eval(path):
        return [read_lm_eval(path, metric=options.metric, answer_filter=options.answer_filter)]
    if path.suffix.lower() == ".json":
        return _read_json(path, options)
    if path.suffix.lower() in SUFFIXES:
        return read_table(path, options.columns)
    known = ", ".join(["a folder", ".eval", *SUFFIXES])
    raise EvalkitError(f"{path}: not an evaluation that can be read; it may be {known}")


def _read_folder(path: Path, options: ReadOptions) -> list[Source]:
    if is_run_folder(path):
        return [read_run_folder(path)]
    if is_lm_eval(path):
        return [read_lm_eval(path, metric=options.metric, answer_filter=options.answer_filter)]
    if (path / "annotations.json").is_file():
        return _read_json(path / "annotations.json", options)
    logs = sorted(path.glob("*.eval"))
    if logs:
        raise EvalkitError(f"{path}: a folder of inspect_ai logs; name one of them, such as {logs[-1]}")
    raise EvalkitError(
        f"{path}: not a run: it has no results.json, samples_*.jsonl or annotations.json; give the --output of an "
        "evaluation"
    )


def _read_json(path: Path, options: ReadOptions) -> list[Source]:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise EvalkitError(f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError, OSError) as error:
        raise EvalkitError(f"{path}: cannot be read: {error}") from error
    if is_annotations(value):
        return read_annotations(path, value)
    if is_log(value):
        return [read_log(path, value, metric=options.metric)]
    if isinstance(value, list) and value:
        return read_table(path, options.columns)
    raise EvalkitError(
        f"{path}: neither AlpacaEval's annotations, nor a log of inspect_ai, nor a list of scored items; "
        "give one of these, or a run folder"
    )


def read_evaluations(runs: Sequence[Path | str], options: ReadOptions) -> dict[str, Evaluation]:
    """Return the evaluations at some paths by name, in their order.

    A name is what stands before the path in `NAME=PATH`, or else the model's name in a file of several, or else the
    file's or folder's, with as many of its parents as it takes to tell the names apart.

    Raises:
        EvalkitError: a path that cannot be read, or one that is named twice.
    """
    given = [_split(run) for run in runs]
    resolved = [path.resolve() for _, path in given]
    if len(set(resolved)) != len(resolved):
        raise EvalkitError("a run is named twice; name each run once")
    column = None if options.clusters == SUBSET else options.clusters
    read = [
        (name, evaluation(source, texts=options.texts, cluster=column))
        for name, path in given
        for source in read_sources(path, options)
    ]
    own = [name or found.name for name, found in read]
    paths = [found.path for (_, found), name in zip(read, own, strict=True) if not name]
    shown = iter(_path_names(paths))
    names = [name or next(shown) for name in own]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise EvalkitError(f"two runs are called '{repeated}'; name them: NAME=PATH")
    return dict(zip(names, [found for _, found in read], strict=True))


def _split(run: Path | str) -> tuple[str, Path]:
    """Return name and path of `NAME=PATH`; a path that is there is never split."""
    name, equals, rest = str(run).partition("=")
    if isinstance(run, Path) or not equals or not name or Path(run).exists():
        return "", Path(run)
    return name, Path(rest)


def _path_names(paths: Sequence[Path]) -> list[str]:
    parts = [(*path.resolve().parts[:-1], _stem(path)) for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = [os.sep.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _stem(path: Path) -> str:
    return (
        path.resolve().stem if path.is_file() and path.suffix.lower() in {".eval", *SUFFIXES} else path.resolve().name
    )


def baseline_name(runs: Mapping[str, Evaluation], baseline: Path | str | None) -> str:
    """Return the name of the run that the others are compared with: given by name or path; the first by default.

    Raises:
        EvalkitError: no such run.
    """
    if baseline is None:
        return next(iter(runs))
    if str(baseline) in runs:
        return str(baseline)
    where = Path(baseline).resolve()
    for name, found in runs.items():
        if found.path.resolve() == where:
            return name
    raise EvalkitError(
        f"--baseline {baseline}: no such folder or file, and none of the runs {', '.join(runs)}; name one of them"
    )
