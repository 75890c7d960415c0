"""A run folder of evalkit, as rows."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.comparing.evaluation import Row, Source
from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines
from evalkit.run_folder import CONFIG, RESULTS, SAMPLES, read_config, read_results


def is_run_folder(path: Path) -> bool:
    """Return whether a folder was written by evalkit, finished or not, or by the trainer of the same distribution."""
    return path.is_dir() and ((path / CONFIG).is_file() or (path / SAMPLES).is_file())


def read_run_folder(path: Path) -> Source:
    """Return the rows of a finished run.

    Raises:
        EvalkitError: a run that is not finished, or the folder of a training run.
    """
    config = read_config(path) or {}
    if "loss" in config or (path / "checkpoints").is_dir():
        model = path / "model"
        remedy = f"score its model first: evalkit run --model {model} --output RUN" if model.is_dir() else "score it"
        raise EvalkitError(f"{path}: a training run, not an evaluation; {remedy}")
    if not (path / RESULTS).is_file():
        raise EvalkitError(f"{path}: the run is not finished; start the same evalkit run again")
    results = read_results(path)
    if not isinstance(results, dict):
        raise EvalkitError(f"{path / RESULTS}: not the results of a run; evaluate again")
    return Source(
        path=path,
        kind="evalkit run",
        rows=_rows(path / SAMPLES),
        settings={**config, "versions": _versions(results), "equal_subsets": _equal_subsets(results)},
        file=path / SAMPLES,
    )


def _rows(file: Path) -> Iterator[tuple[str, Row]]:
    for line, row in read_json_lines(file):
        yield f"{file}:{line}", row


def _versions(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of every task, by its name."""
    found: dict[str, str] = {}
    benchmarks = results.get("benchmarks")
    for name, benchmark in benchmarks.items() if isinstance(benchmarks, dict) else ():
        if not isinstance(benchmark, dict):
            continue
        subsets = benchmark.get("subsets")
        parts = {"": benchmark, **(subsets if isinstance(subsets, dict) else {})}
        for subset, part in parts.items():
            if isinstance(part, dict) and part.get("version") is not None:
                found[f"{name}/{subset}" if subset else name] = str(part["version"])
    return found


def _equal_subsets(results: Mapping[str, Any]) -> list[str]:
    """Return the benchmarks whose score is the mean of their subsets' means."""
    benchmarks = results.get("benchmarks")
    return [
        name
        for name, found in (benchmarks.items() if isinstance(benchmarks, dict) else ())
        if isinstance(found, dict) and "macro average" in str(found.get("method"))
    ]
