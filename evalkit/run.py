"""An evaluation from a model and the names of benchmarks to a run folder."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import evalkit
from evalkit.benchmarks import Benchmark, Subtask, find_benchmarks
from evalkit.errors import EvalkitError
from evalkit.model import device_and_dtype, fingerprint, load_model, model_folder
from evalkit.progress import Progress
from evalkit.quiet import offline, quiet
from evalkit.run_folder import (
    clear_run,
    finish_run,
    read_config,
    read_part,
    read_results,
    start_run,
    write_part,
)
from evalkit.scoring import score
from evalkit.statistics import Estimate, estimate, is_binary

if TYPE_CHECKING:
    from lm_eval.api.model import LM

DEFAULT_SEED = 1234  # lm-eval's own, so that few-shot examples are those of a bare lm-eval run
LEVEL = 0.95
_NOT_COMPARED = ("evalkit", "model", "data_dir", "benchmarks", "batch_size")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is evaluated, and how."""

    folder: Path
    benchmarks: list[Benchmark]
    config: dict[str, Any]
    output: Path

    @property
    def subtasks(self) -> list[tuple[Benchmark, Subtask]]:
        return [(benchmark, subtask) for benchmark in self.benchmarks for subtask in benchmark.subtasks]


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
        benchmarks: names or task files, see `evalkit.benchmarks.find_benchmarks`.
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
    if backend != "hf":
        raise EvalkitError(f"--backend {backend}: not available yet; use --backend hf")
    if limit is not None and limit < 1:
        raise EvalkitError(f"--limit {limit}: must be at least 1")
    if batch_size != "auto" and int(batch_size) < 1:
        raise EvalkitError(f"--batch-size {batch_size}: must be at least 1, or auto")
    folder = Path(data_dir) if data_dir is not None else None
    with contextlib.ExitStack() as stack:
        warnings = stack.enter_context(quiet())
        found = find_benchmarks(benchmarks, folder)
        if Path(model).expanduser().is_dir() and all(benchmark.local for benchmark in found):
            stack.enter_context(offline())
        settings = {"limit": limit, "seed": seed, "chat_template": chat_template, "backend": backend}
        plan = _plan(model, found, Path(output), folder, settings, batch_size)
        finished = _open_folder(plan, overwrite=overwrite)
        total = sum(_expected(subtask, limit) for _, subtask in plan.subtasks)
        with Progress(total, show=show_progress) as progress:
            if finished is not None:
                progress.say(
                    f"{plan.output}: finished before; these are its results (--overwrite evaluates again)"
                )
                return finished
            progress.say(f"{plan.folder}: {total} items of {', '.join(b.name for b in found)} to {plan.output}")
            return _evaluate(plan, progress, warnings)


def _plan(
    model: str,
    benchmarks: list[Benchmark],
    output: Path,
    data_dir: Path | None,
    settings: Mapping[str, Any],
    batch_size: int | str,
) -> _Plan:
    folder = model_folder(model)
    device, dtype = device_and_dtype()
    config = {
        "evalkit": evalkit.__version__,
        "lm_eval": version("lm_eval"),
        "model": model,
        "model_fingerprint": fingerprint(folder),
        "benchmarks": [benchmark.name for benchmark in benchmarks],
        "data_dir": str(data_dir) if data_dir is not None else None,
        **settings,
        "batch_size": batch_size,
        "device": device,
        "dtype": dtype,
        "tasks": {
            f"{benchmark.name}/{subtask.task}": subtask.digest
            for benchmark in benchmarks
            for subtask in benchmark.subtasks
        },
    }
    return _Plan(folder=folder, benchmarks=benchmarks, config=config, output=output)


def _open_folder(plan: _Plan, *, overwrite: bool) -> dict[str, Any] | None:
    """Make the run folder ready, and return the results if this run is finished there.

    Raises:
        EvalkitError: it holds a run with other settings, or other files.
    """
    output, config = plan.output, plan.config
    if output.exists() and not output.is_dir():
        raise EvalkitError(f"{output}: a file; give a folder as --output")
    if overwrite:
        clear_run(output)
    stored = read_config(output)
    if stored is not None:
        changed = [key for key in {**config, **stored} if key not in _NOT_COMPARED]
        changed = [key for key in changed if stored.get(key) != config.get(key)]
        if changed:
            described = "; ".join(_change(key, stored.get(key), config.get(key)) for key in changed)
            raise EvalkitError(
                f"{output}: holds a run with other settings: {described}; use another --output, or --overwrite"
            )
        finished = read_results(output)
        if finished is not None:
            return finished
    elif output.is_dir() and any(output.iterdir()):
        raise EvalkitError(f"{output}: not empty, and not a run; use another --output")
    start_run(output, config)
    return None


def _change(key: str, before: Any, now: Any) -> str:
    if not isinstance(before, dict) or not isinstance(now, dict):
        return f"{key} was {before}, is {now}"
    names = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{key}: {', '.join(names[:3])}{more}"


def _expected(subtask: Subtask, limit: int | None) -> int:
    """Return the number of items to score; where the data is not local, the limit or a guess for the bar."""
    rows = subtask.num_rows if subtask.num_rows is not None else limit or 100
    return min(rows, limit or rows)


def _evaluate(plan: _Plan, progress: Progress, warnings: list[str]) -> dict[str, Any]:
    """Score every subtask that is not on disk yet, then write the run's results."""
    model: LM | None = None
    samples: list[dict[str, Any]] = []
    about: dict[str, dict[str, Any]] = {}
    for benchmark, subtask in plan.subtasks:
        part = read_part(plan.output, _part_name(benchmark, subtask))
        if part is None:
            if model is None:
                model = load_model(
                    plan.folder,
                    batch_size=plan.config["batch_size"],
                    chat_template=plan.config["chat_template"],
                )
            part = _score_part(model, plan, benchmark, subtask, progress)
        else:
            progress.skip(len(part) - 1)
        header, *rows = part
        about[f"{benchmark.name}/{subtask.task}"] = header
        samples += rows
    results = _results(plan, samples, about, warnings)
    finish_run(plan.output, results, samples)
    for warning in warnings:
        progress.say(f"warning: {warning}")
    return results


def _score_part(
    model: "LM", plan: _Plan, benchmark: Benchmark, subtask: Subtask, progress: Progress
) -> list[dict[str, Any]]:
    """Score a subtask, keep it on disk, and return a header and its rows."""
    import torch

    before, started = progress.done, time.monotonic()
    name = _part_name(benchmark, subtask)
    settings = {key: plan.config[key] for key in ("limit", "seed", "chat_template")}
    try:
        rows, header = score(
            model,
            benchmark,
            subtask,
            **settings,
            on_progress=lambda done: progress.reach(before + done, name),
        )
    except torch.OutOfMemoryError as error:
        raise EvalkitError(
            f"{subtask.task}: out of memory at --batch-size {plan.config['batch_size']}; use a smaller one "
            "(what is finished is kept)"
        ) from error
    part = [header | {"seconds": round(time.monotonic() - started, 3)}, *rows]
    write_part(plan.output, name, part)
    progress.reach(before + len(rows), name)
    return part


def _part_name(benchmark: Benchmark, subtask: Subtask) -> str:
    return f"{benchmark.name}--{subtask.subset}" if subtask.subset else benchmark.name


def _results(
    plan: _Plan, samples: list[dict[str, Any]], about: Mapping[str, Mapping[str, Any]], warnings: list[str]
) -> dict[str, Any]:
    by_benchmark = {
        benchmark.name: _benchmark_results(
            benchmark, [row for row in samples if row["benchmark"] == benchmark.name], about
        )
        for benchmark in plan.benchmarks
    }
    return {
        "model": plan.config["model"],
        "model_fingerprint": plan.config["model_fingerprint"],
        "chat_template": plan.config["chat_template"],
        "limit": plan.config["limit"],
        "benchmarks": by_benchmark,
        "warnings": warnings,
        "seconds": round(sum(header["seconds"] for header in about.values()), 3),
        "versions": {name: version(name) for name in ("lm_eval", "transformers", "torch", "datasets")},
    }


def _benchmark_results(
    benchmark: Benchmark, rows: list[dict[str, Any]], about: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the score of a benchmark: the mean over all of its items, as gsm8k, bbh and mmlu define it."""
    several = len(benchmark.subtasks) > 1
    strata = [row["subset"] for row in rows] if several else None
    scores = [row["score"] for row in rows]
    subsets = {}
    for subtask in benchmark.subtasks:
        own = [row["score"] for row in rows if row["subset"] == subtask.subset]
        header = about[f"{benchmark.name}/{subtask.task}"]
        subsets[subtask.subset] = _shown(estimate(own, level=LEVEL)) | {"task": subtask.task} | dict(header)
    whole = _shown(estimate(scores, strata=strata, level=LEVEL))
    other = {
        name: sum(row["other_scores"][name] for row in rows) / len(rows)
        for name in rows[0]["other_scores"]
        if all(name in row["other_scores"] for row in rows)
    }
    described = {
        "metric": rows[0]["metric"],
        "higher_is_better": rows[0]["higher_is_better"],
        "binary": is_binary(scores),
        "other_scores": other,
        "seconds": round(sum(subset["seconds"] for subset in subsets.values()), 3),
    }
    return whole | described | ({"subsets": subsets} if several else {"task": dict(subsets[""])})


def _shown(value: Estimate) -> dict[str, Any]:
    return {
        "score": value.score,
        "n": value.n,
        "interval": list(value.interval) if value.interval else None,
        "level": value.level,
        "method": value.method,
    }
