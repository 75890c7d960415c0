"""An evaluation from a model and the names of benchmarks to a run folder."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import evalkit
from evalkit.errors import EvalkitError
from evalkit.progress import Progress
from evalkit.quiet import offline, quiet
from evalkit.run_folder import (
    clear_run,
    finish_run,
    is_finished,
    read_config,
    read_part,
    read_results,
    start_run,
    write_part,
)
from evalkit.running.benchmarks import Benchmark, Subtask, find_benchmarks
from evalkit.running.model import Model, device_and_dtype, fingerprint, load_model, model_folder
from evalkit.running.results import benchmark_results
from evalkit.running.scoring import score

DEFAULT_SEED = 1234  # lm-eval's own, so that few-shot examples are those of a bare lm-eval run

# settings that may change between the start of a run and its resumption: they do not decide what is measured
_NOT_COMPARED = ("evalkit", "model", "data_dir", "benchmarks", "batch_size")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is evaluated, and how; `config` is what config.yaml holds."""

    folder: Path
    benchmarks: list[Benchmark]
    config: dict[str, Any]
    output: Path
    overwrite: bool


def run(
    model: str,
    benchmarks: Sequence[str],
    output: Path | str,
    *,
    data_dir: Path | str | None = None,
    limit: int | None = None,
    backend: str = "hf",
    batch_size: int | str = 8,
    seed: int = DEFAULT_SEED,
    chat_template: bool = False,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score a model on benchmarks, and return what `output/results.json` then holds.

    Finished subtasks are on disk; the same call goes on from there, and returns the stored results when the run is
    finished.

    Args:
        model: a folder (config, tokenizer, safetensors) or a name on the hub.
        benchmarks: names or task files, see `evalkit.running.benchmarks.find_benchmarks`.
        output: the run folder.
        data_dir: a folder with the benchmarks' data, for machines without a network.
        limit: only the first so many items of each subtask.
        backend: `hf`.
        batch_size: prompts at a time, or `auto`.
        seed: of everything random; greedy benchmarks use none but for few-shot examples drawn at random.
        chat_template: whether prompts are rendered by the tokenizer's chat template.
        overwrite: drop what another run left in `output`.
        show_progress: whether progress is shown on standard error.

    Raises:
        EvalkitError: bad input; or another run, with other settings, in `output`.
    """
    _check_settings(backend=backend, limit=limit, batch_size=batch_size)
    folder = Path(data_dir) if data_dir is not None else None
    with contextlib.ExitStack() as stack:
        warnings = stack.enter_context(quiet())
        found = find_benchmarks(benchmarks, folder)
        if Path(model).expanduser().is_dir() and all(benchmark.local for benchmark in found):
            stack.enter_context(offline())
        settings = {"limit": limit, "seed": seed, "chat_template": chat_template, "backend": backend}
        config = _config(model, found, folder, settings | {"batch_size": batch_size})
        plan = _Plan(
            folder=model_folder(model), benchmarks=found, config=config, output=Path(output), overwrite=overwrite
        )
        finished = _finished_before(plan)
        progress = stack.enter_context(Progress(show=show_progress))
        if finished is not None:
            progress.say(f"{plan.output}: finished before; these are its results (--overwrite evaluates again)")
            return finished
        return _evaluate(plan, progress, warnings)


def _check_settings(*, backend: str, limit: int | None, batch_size: int | str) -> None:
    if backend != "hf":
        raise EvalkitError(f"--backend {backend}: not available yet; use --backend hf")
    if limit is not None and limit < 1:
        raise EvalkitError(f"--limit {limit}: must be at least 1")
    if batch_size != "auto" and (not isinstance(batch_size, int) or batch_size < 1):
        raise EvalkitError(f"--batch-size {batch_size}: must be a number of at least 1, or auto")


def _config(
    model: str, benchmarks: list[Benchmark], data_dir: Path | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what config.yaml holds: the settings, and a hash of everything that they name."""
    device, dtype = device_and_dtype()
    return {
        "evalkit": evalkit.__version__,
        "lm_eval": version("lm_eval"),
        "model": model,
        "model_fingerprint": fingerprint(model_folder(model)),
        "benchmarks": [benchmark.name for benchmark in benchmarks],
        "data_dir": str(data_dir) if data_dir is not None else None,
        **settings,
        "device": device,
        "dtype": dtype,
        "tasks": {
            _part_name(benchmark, subtask): subtask.digest for benchmark in benchmarks for subtask in benchmark.subtasks
        },
    }


def _finished_before(plan: _Plan) -> dict[str, Any] | None:
    """Return the results that the run folder holds if this very run is finished there.

    Raises:
        EvalkitError: the folder holds a run with other settings, or other files.
    """
    output, stored = plan.output, read_config(plan.output)
    if output.exists() and not output.is_dir():
        raise EvalkitError(f"{output}: a file; give a folder as --output")
    if stored is None:
        if output.is_dir() and any(output.iterdir()):
            raise EvalkitError(f"{output}: not empty, and not a run; use another --output")
        return None
    changed = _changes(stored, plan.config)
    if changed and not plan.overwrite:
        raise EvalkitError(
            f"{output}: holds a run with other settings: {'; '.join(changed)}; use another --output, or --overwrite"
        )
    return None if plan.overwrite else read_results(output)


def _changes(stored: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    keys = [key for key in {**config, **stored} if key not in _NOT_COMPARED]
    return [_change(key, stored.get(key), config.get(key)) for key in keys if stored.get(key) != config.get(key)]


def _change(key: str, before: Any, now: Any) -> str:
    if not isinstance(before, dict) or not isinstance(now, dict):
        return f"{key} was {before}, is {now}"
    names = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{key}: {', '.join(names[:3])}{more}"


def _evaluate(plan: _Plan, progress: Progress, warnings: list[str]) -> dict[str, Any]:
    """Score every subtask that is not on disk yet, then write the run's results."""
    subtasks = [(benchmark, subtask) for benchmark in plan.benchmarks for subtask in benchmark.subtasks]
    fresh = plan.overwrite and not _unfinished_before(plan)
    parts = {_part_name(*pair): None if fresh else read_part(plan.output, _part_name(*pair)) for pair in subtasks}
    missing = [pair for pair in subtasks if parts[_part_name(*pair)] is None]
    _announce(plan, progress, missing, {name: part for name, part in parts.items() if part is not None})
    if missing:
        settings = {key: plan.config[key] for key in ("batch_size", "chat_template")}
        model = load_model(plan.folder, **settings)
        if fresh:
            clear_run(plan.output)
        start_run(plan.output, plan.config)
        for benchmark, subtask in missing:
            part = _score_part(model, plan, benchmark, subtask, progress, warnings)
            parts[_part_name(benchmark, subtask)] = part
    finished = {name: part for name, part in parts.items() if part is not None}
    results = _results(plan, finished)
    finish_run(plan.output, results, [row for part in finished.values() for row in part[1:]])
    for warning in results["warnings"]:
        progress.say(f"warning: {warning}")
    return results


def _unfinished_before(plan: _Plan) -> bool:
    """Return whether the folder holds an unfinished run with the same settings: even --overwrite goes on with it."""
    stored = read_config(plan.output)
    return stored is not None and not _changes(stored, plan.config) and not is_finished(plan.output)


def _announce(
    plan: _Plan,
    progress: Progress,
    missing: Sequence[tuple[Benchmark, Subtask]],
    finished: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Say what is to be done; every task is built here, so that a broken one fails before the model loads."""
    limit = plan.config["limit"]
    rows = [len(subtask.load().eval_docs) for _, subtask in missing]
    left = sum(min(number, limit or number) for number in rows)
    done = sum(len(part) - 1 for part in finished.values())
    names = ", ".join(plan.config["benchmarks"])
    resumed = f"; {done} were finished before" if done else ""
    progress.start(done + left, done)
    progress.say(f"{plan.config['model']}: {done + left} items of {names} to {plan.output}{resumed}")


def _score_part(
    model: Model, plan: _Plan, benchmark: Benchmark, subtask: Subtask, progress: Progress, warnings: list[str]
) -> list[dict[str, Any]]:
    """Score a subtask, keep it on disk, and return its header and rows."""
    import torch

    name, before, started = _part_name(benchmark, subtask), progress.done, time.monotonic()
    settings = {key: plan.config[key] for key in ("limit", "seed", "chat_template")}
    try:
        rows, header = score(
            model, benchmark, subtask, **settings, on_progress=lambda done: progress.reach(before + done, name)
        )
    except torch.OutOfMemoryError as error:
        raise EvalkitError(
            f"{subtask.task}: out of memory at --batch-size {plan.config['batch_size']}; use a smaller one "
            "(what is finished is kept)"
        ) from error
    header |= {"seconds": round(time.monotonic() - started, 3), "warnings": list(warnings)}
    warnings.clear()
    write_part(plan.output, name, [header, *rows])
    progress.reach(before + len(rows), name)
    return [header, *rows]


def _part_name(benchmark: Benchmark, subtask: Subtask) -> str:
    return f"{benchmark.name}--{subtask.subset}" if subtask.subset else benchmark.name


def _results(plan: _Plan, parts: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Return what results.json holds, from the header and the rows of every subtask."""
    by_benchmark, warnings = {}, []
    for benchmark in plan.benchmarks:
        own = {subtask.subset: parts[_part_name(benchmark, subtask)] for subtask in benchmark.subtasks}
        headers = {subset: dict(part[0]) for subset, part in own.items()}
        warnings += [message for header in headers.values() for message in header.pop("warnings")]
        found = benchmark_results(benchmark, [row for part in own.values() for row in part[1:]], headers)
        if found["truncated"]:
            warnings.append(
                f"{benchmark.name}: {found['truncated']} of {found['n']} prompts are longer than the model's "
                "context and lost their beginning"
            )
        by_benchmark[benchmark.name] = found
    return {
        **{key: plan.config[key] for key in ("model", "model_fingerprint", "chat_template", "limit")},
        "benchmarks": by_benchmark,
        "warnings": list(dict.fromkeys(warnings)),
        "seconds": round(sum(found["seconds"] for found in by_benchmark.values()), 3),
        "versions": {name: version(name) for name in ("lm_eval", "transformers", "torch", "datasets")},
    }
