"""An evaluation of another tool, written as a run folder of evalkit."""

import math
from pathlib import Path
from typing import Any

import evalkit
from evalkit.comparing.compare import score
from evalkit.comparing.evaluation import Row, Source, evaluation
from evalkit.comparing.procedure import Procedure
from evalkit.comparing.reading import ReadOptions, read_sources
from evalkit.errors import EvalkitError
from evalkit.run_folder import finish_run, start_run


def import_runs(path: Path, output: Path, *, read: ReadOptions = ReadOptions()) -> list[Path]:  # noqa: B008 (frozen)
    """Write what another tool evaluated as a run folder, so that every command of evalkit reads it; return where.

    A file of several models becomes a folder for each, in `output`. Everything is read before anything is written.

    Args:
        path: as `evalkit.comparing.reading.read_sources` takes it.
        output: the run folder; it must not hold anything yet.
        read: how files of other tools are read.

    Raises:
        EvalkitError: a path that cannot be read, a run of evalkit itself, or an output folder that is not empty.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise EvalkitError(f"{output}: not empty; use another --output")
    sources = read_sources(path, read)
    if sources[0].kind == "evalkit run":
        raise EvalkitError(f"{path}: a run folder already; compare it as it is")
    folders = [output / _folder(source.name) if len(sources) > 1 else output for source in sources]
    if len(set(folders)) < len(folders):
        shown = ", ".join(str(folder) for folder in folders)
        raise EvalkitError(f"{path}: two runs would be written to one folder ({shown}); rename them in the file")
    read_whole = [_read(source) for source in sources]
    for source, (rows, results), folder in zip(sources, read_whole, folders, strict=True):
        settings = {key: value for key, value in source.settings.items() if key != "versions"}
        start_run(folder, {"evalkit": evalkit.__version__, **_origin(source), **settings})
        finish_run(folder, results, rows)
    return folders


def _folder(name: str) -> str:
    kept = "".join(character if character.isalnum() or character in "-_." else "_" for character in name)
    return kept.strip(".") or "run"


def _origin(source: Source) -> dict[str, str]:
    return {"imported_from": str(source.path), "kind": source.kind}


def _read(source: Source) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of a source, each found to be an item, and what results.json holds of them."""
    rows = list(source.rows)
    found = evaluation(Source(path=source.path, kind=source.kind, rows=rows))
    versions = source.settings.get("versions") or {}
    benchmarks = {}
    for name in found.items:
        one = score(found, "", name, Procedure())
        benchmarks[name] = {
            "score": one.estimate.score,
            "n": one.estimate.n,
            "interval": None if one.estimate.interval is None else list(one.estimate.interval),
            "level": one.estimate.level,
            "method": one.estimate.method,
            "failed": one.failed,
            **({"version": versions[name]} if name in versions else {}),
        }
    results = {**_origin(source), "benchmarks": benchmarks, "warnings": list(source.notes)}
    return [_plain(row) for _, row in rows], results


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; a number that is not finite, in a column that nobody scores, is text."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
