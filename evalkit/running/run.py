"""An evaluation from a model and the names of benchmarks to a run folder."""

import contextlib
import functools
import hashlib
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
    journal_path,
    locked,
    read_config,
    read_part,
    read_results,
    start_run,
    write_part,
)
from evalkit.running import model as on_disk
from evalkit.running.backends import ModelChoice, check_choice, checked_url, load
from evalkit.running.benchmarks import Benchmark, Subtask, find_benchmarks
from evalkit.running.humaneval import CodeExecution, score_items
from evalkit.running.journal import Journal
from evalkit.running.notes import notes
from evalkit.running.recorder import Backend, Recorder
from evalkit.running.results import benchmark_results
from evalkit.running.scoring import Scored, Settings, prepare, score
from evalkit.running.server import Server
from evalkit.sandbox import find_sandbox

DEFAULT_SEED = 1234  # lm-eval's own, so that few-shot examples are those of a bare lm-eval run

# settings that may change between the start of a run and its resumption: they do not decide what is measured
_NOT_COMPARED = ("evalkit", "model", "adapter", "data_dir", "benchmarks", "batch_size", "tokenizer")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is evaluated, and how; `config` is what config.yaml holds."""

    choice: ModelChoice
    benchmarks: list[Benchmark]
    settings: Settings
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
    num_fewshot: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    samples: int = 1,
    backend: str = "hf",
    adapter: str | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    batch_size: int | str = 8,
    base_url: str | None = None,
    tokenizer: str | None = None,
    concurrency: int = 8,
    timeout: float = 300.0,
    max_retries: int = 5,
    model_args: Mapping[str, Any] | None = None,
    seed: int = DEFAULT_SEED,
    chat_template: bool = False,
    prompt_suffix: str | None = None,
    allow_code_execution: bool = False,
    sandbox: str = "auto",
    code_workers: int | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score a model on benchmarks, and return what `output/results.json` then holds.

    Every answer is on disk as soon as it is there; the same call goes on from there, asks again for what failed, and
    returns the stored results when the run is finished.

    Args:
        model: a folder (config, tokenizer, safetensors), a name on the hub, or a server's name of it.
        benchmarks: names or task files, see `evalkit.running.benchmarks.find_benchmarks`.
        output: the run folder.
        data_dir: a folder with the benchmarks' data, for machines without a network.
        limit: only the first so many items of each subtask.
        num_fewshot: examples before each question, in place of the benchmark's own number.
        temperature: of generation, 0 for greedy; None for the benchmark's own, which is greedy for the four.
        top_p: the share of probability that is sampled from, in (0, 1]; all of it by default.
        samples: answers per item of benchmarks that generate text; the item's score is their mean.
        backend: `hf`, `vllm`, or `openai` for an OpenAI-compatible server.
        adapter: folder of a LoRA adapter for the model.
        revision: branch, tag or commit of a model on the hub.
        dtype: precision of the weights; by default the model's own on a GPU, float32 elsewhere.
        device: such as `cuda:1`; by default the GPU, if there is one.
        batch_size: prompts at a time, or `auto`.
        base_url: of the server, such as `http://localhost:8000/v1`; its key is in the environment.
        tokenizer: of a server's model, a folder or a name on the hub; needed for log-likelihoods alone.
        concurrency: requests at a time to a server.
        timeout: seconds to wait for a server's reply.
        max_retries: of a request to a server.
        model_args: further arguments of lm-eval's model class, such as `{"parallelize": True}`.
        seed: of few-shot examples drawn at random, and of sampling.
        chat_template: whether prompts are rendered by the tokenizer's chat template, or sent as conversations.
        prompt_suffix: text at the end of every prompt; None for what the model card says, "" for nothing.
        allow_code_execution: whether code that the model writes may be run, which humaneval needs.
        sandbox: where it runs: `auto`, `bubblewrap`, `namespaces`, or `none`, which isolates nothing.
        code_workers: completions that run at a time; one per processor by default.
        overwrite: drop what another run left in `output`.
        show_progress: whether progress is shown on standard error.

    Raises:
        EvalkitError: bad input; or another run, with other settings, in `output`.
    """
    with contextlib.ExitStack() as stack:
        warnings = stack.enter_context(quiet())
        choice = ModelChoice(
            name=model,
            backend=backend,
            folder=None,
            adapter=on_disk.adapter_folder(adapter) if adapter is not None else None,
            device=device or "",
            dtype=dtype or "",
            batch_size=batch_size,
            chat_template=chat_template,
            seed=seed,
            base_url=checked_url(base_url) if base_url else "",
            tokenizer=tokenizer or "",
            concurrency=concurrency,
            timeout=timeout,
            max_retries=max_retries,
            arguments=dict(model_args or {}),
        )
        check_choice(choice)
        settings = Settings(
            limit=limit,
            seed=seed,
            chat_template=chat_template,
            num_fewshot=num_fewshot,
            generation=_generation(temperature, top_p, samples),
            samples=samples,
            prompt_suffix=prompt_suffix or "",
        )
        _check_settings(settings)
        progress = stack.enter_context(Progress(show=show_progress))
        execution = CodeExecution(
            sandbox=sandbox,
            workers=code_workers,
            journal=journal_path(Path(output), "humaneval.verdicts"),
            say=progress.say,
        )
        run_code = functools.partial(score_items, execution=execution) if allow_code_execution else None
        found = find_benchmarks(benchmarks, Path(data_dir) if data_dir is not None else None, run_code)
        if Path(model).expanduser().is_dir() and all(benchmark.local for benchmark in found):
            stack.enter_context(offline())
        choice = _located(choice, revision)
        if prompt_suffix is None:
            settings = _with_control_token(settings, choice)
        plan = _Plan(
            choice=choice,
            benchmarks=found,
            settings=settings,
            config=_config(choice, settings, found, data_dir),
            output=Path(output),
            overwrite=overwrite,
        )
        finished = _finished_before(plan)
        if finished is not None:
            progress.say(f"{plan.output}: finished before; these are its results (--overwrite evaluates again)")
            return finished
        if any(subtask.rescore is not None for benchmark in found for subtask in benchmark.subtasks):
            find_sandbox(sandbox)  # fails before the model is asked anything
        return _evaluate(plan, progress, warnings)


def _generation(temperature: float | None, top_p: float | None, samples: int) -> dict[str, Any]:
    """Return the settings of generation that replace a task's own.

    Raises:
        EvalkitError: a temperature or top-p that is none, or several samples of one greedy answer.
    """
    if temperature is not None and not 0 <= temperature < float("inf"):
        raise EvalkitError(f"--temperature {temperature}: must be 0 (greedy) or above")
    if samples > 1 and not temperature:
        raise EvalkitError(f"--samples {samples}: greedy answers are all the same; give a --temperature above 0")
    if top_p is not None and not (temperature and 0 < top_p <= 1):
        raise EvalkitError(f"--top-p {top_p}: must lie in (0, 1], and needs a --temperature above 0")
    if temperature is None:
        return {}
    chosen: dict[str, Any] = {"temperature": float(temperature), "do_sample": temperature > 0}
    return chosen | ({"top_p": float(top_p)} if top_p is not None else {})


def _check_settings(settings: Settings) -> None:
    if settings.limit is not None and settings.limit < 1:
        raise EvalkitError(f"--limit {settings.limit}: must be at least 1")
    if settings.samples < 1:
        raise EvalkitError(f"--samples {settings.samples}: must be at least 1")
    if settings.num_fewshot is not None and settings.num_fewshot < 0:
        raise EvalkitError(f"--num-fewshot {settings.num_fewshot}: must be at least 0")
    if not 0 <= settings.seed < 2**32:
        raise EvalkitError(f"--seed {settings.seed}: must lie between 0 and {2**32 - 1}")
    if settings.prompt_suffix.encode("utf-8", "replace").decode() != settings.prompt_suffix:
        raise EvalkitError("--prompt-suffix: not UTF-8 text")


def _located(choice: ModelChoice, revision: str | None) -> ModelChoice:
    """Return the choice with its model's folder, device and precision filled in."""
    from dataclasses import replace

    if choice.backend == "openai":
        if choice.adapter is not None or choice.device or choice.dtype or revision:
            raise EvalkitError("--adapter, --device, --dtype and --revision are for local models, not --backend openai")
        return choice
    device, dtype = _device_and_dtype() if choice.backend == "hf" else ("", "auto")
    _check_device(choice.device)
    folder = on_disk.model_folder(choice.name, revision)
    return replace(choice, folder=folder, device=choice.device or device, dtype=choice.dtype or dtype)


def _check_device(device: str) -> None:
    """Refuse a GPU that is not there, in whose place lm-eval would take the processor.

    Raises:
        EvalkitError: no such GPU.
    """
    import torch

    kind, _, index = device.partition(":")
    number = int(index) if index.isdecimal() else 0
    if kind == "cuda" and number >= torch.cuda.device_count():
        raise EvalkitError(f"--device {device}: this machine has {torch.cuda.device_count()} GPUs; use another, or cpu")


def _device_and_dtype() -> tuple[str, str]:
    """Return where and in which precision a model is evaluated: the model's own on a GPU, float32 elsewhere."""
    import torch

    return ("cuda", "auto") if torch.cuda.is_available() else ("cpu", "float32")


def _with_control_token(settings: Settings, choice: ModelChoice) -> Settings:
    from dataclasses import replace

    folders = [folder for folder in (choice.adapter, choice.folder) if folder is not None]
    token = next((token for folder in folders if (token := on_disk.control_token(folder))), "")
    return replace(settings, prompt_suffix=token)


def _config(
    choice: ModelChoice, settings: Settings, benchmarks: list[Benchmark], data_dir: Path | str | None
) -> dict[str, Any]:
    """Return what config.yaml holds: the settings, and a hash of everything that they name."""
    template = ""
    if choice.folder is not None:
        fingerprint = on_disk.fingerprint(choice.folder, choice.adapter)
        template = on_disk.chat_template(on_disk.tokenizer_folder(choice.folder, choice.adapter))
    else:
        fingerprint = f"server:{choice.base_url} {choice.name}"  # what it runs behind that name cannot be seen
    return {
        "evalkit": evalkit.__version__,
        "lm_eval": version("lm_eval"),
        "model": choice.name,
        "adapter": str(choice.adapter) if choice.adapter is not None else None,
        "revision": on_disk.commit(choice.folder) if choice.folder is not None else None,
        "model_fingerprint": fingerprint,
        "backend": choice.backend,
        "base_url": choice.base_url or None,
        "tokenizer": choice.tokenizer or None,
        "device": choice.device or None,
        "dtype": choice.dtype or None,
        "model_args": dict(choice.arguments),
        "benchmarks": [benchmark.name for benchmark in benchmarks],
        "data_dir": str(data_dir) if data_dir is not None else None,
        "limit": settings.limit,
        "num_fewshot": settings.num_fewshot,
        "generation": dict(settings.generation) or "the benchmarks' own",
        "samples": settings.samples,
        "seed": settings.seed,
        "chat_template": settings.chat_template,
        "chat_template_hash": f"sha256:{hashlib.sha256(template.encode()).hexdigest()}" if template else None,
        "prompt_suffix": settings.prompt_suffix,
        "batch_size": choice.batch_size,
        "tasks": {
            _task_key(benchmark, subtask): subtask.digest for benchmark in benchmarks for subtask in benchmark.subtasks
        },
    }


def _task_key(benchmark: Benchmark, subtask: Subtask) -> str:
    return f"{benchmark.name}--{subtask.subset}" if subtask.subset else benchmark.name


def _finished_before(plan: _Plan) -> dict[str, Any] | None:
    """Return the results that the run folder holds if this very run is finished there, with nothing failed.

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
    results = None if plan.overwrite else read_results(output)
    return None if results is None or results.get("failed") else results


def _changes(stored: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    keys = [key for key in {**config, **stored} if key not in _NOT_COMPARED]
    return [_change(key, stored.get(key), config.get(key)) for key in keys if stored.get(key) != config.get(key)]


def _change(key: str, before: Any, now: Any) -> str:
    if key != "tasks" or not isinstance(before, dict) or not isinstance(now, dict):
        return f"{key} was {before}, is {now}"
    names = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{key}: {', '.join(names[:3])}{more}"


def _evaluate(plan: _Plan, progress: Progress, warnings: list[str]) -> dict[str, Any]:
    """Score every benchmark that is not on disk yet, then write the run's results."""
    fresh = plan.overwrite and not _unfinished_before(plan)
    parts = {one.name: None if fresh else _complete_part(plan.output, one.name) for one in plan.benchmarks}
    missing = [benchmark for benchmark in plan.benchmarks if parts[benchmark.name] is None]
    _announce(plan, progress, missing, {name: part for name, part in parts.items() if part is not None})
    if missing:
        backend = load(plan.choice)
        _preflight(backend, plan.choice, missing)
        with locked(plan.output):
            if fresh:
                clear_run(plan.output)
            start_run(plan.output, plan.config)
            for benchmark in missing:
                parts[benchmark.name] = _score_part(backend, plan, benchmark, progress, warnings)
    finished = {name: part for name, part in parts.items() if part is not None}
    results = _results(plan, finished)
    rows = [row for part in finished.values() for row in part[1:]]
    finish_run(plan.output, results, rows, keep_parts=bool(results["failed"]))
    for warning in results["warnings"]:
        progress.say(f"warning: {warning}")
    return results


def _complete_part(output: Path, name: str) -> list[dict[str, Any]] | None:
    """Return the header and rows of a benchmark that is finished with nothing failed, or None."""
    part = read_part(output, name)
    return part if part and all(row["score"] is not None for row in part[1:]) else None


def _unfinished_before(plan: _Plan) -> bool:
    """Return whether the folder holds an unfinished run with the same settings: even --overwrite goes on with it."""
    stored = read_config(plan.output)
    return stored is not None and not _changes(stored, plan.config) and not is_finished(plan.output)


def _announce(
    plan: _Plan, progress: Progress, missing: Sequence[Benchmark], finished: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Say what is to be done; every task is built here, so that a broken one fails before the model loads."""
    for subtask in (subtask for benchmark in missing for subtask in benchmark.subtasks):
        prepare(subtask.load(), subtask, plan.settings)
    left = sum(_num_items(plan, benchmark) for benchmark in missing)
    done = sum(len(part) - 1 for part in finished.values())
    names = ", ".join(plan.config["benchmarks"])
    resumed = f"; {done} were finished before" if done else ""
    progress.start(done + left, done)
    progress.say(f"{plan.config['model']}: {done + left} items of {names} to {plan.output}{resumed}")


def _num_items(plan: _Plan, benchmark: Benchmark) -> int:
    rows = [len(subtask.load().eval_docs) for subtask in benchmark.subtasks]
    return sum(min(number, plan.settings.limit or number) for number in rows)


def _preflight(backend: Backend, choice: ModelChoice, missing: Sequence[Benchmark]) -> None:
    """Let a server show that it can do what the benchmarks need, before anything is paid.

    Raises:
        EvalkitError: log-likelihoods that are needed and not to be had, or a server that does not answer.
    """
    if not isinstance(backend, Server):
        return
    kinds = {one.name: {str(subtask.load().OUTPUT_TYPE) for subtask in one.subtasks} for one in missing}
    for name, needed in kinds.items():
        if needed == {"generate_until"}:
            continue
        if choice.chat_template:
            raise EvalkitError(f"{name}: needs log-likelihoods, which no chat server gives; use --no-chat-template")
        if not choice.tokenizer:
            raise EvalkitError(f"{name}: needs log-likelihoods, which take --tokenizer, a folder or a name on the hub")
        backend.preflight(log_likelihoods=True)
    if any("generate_until" in needed for needed in kinds.values()):
        backend.preflight(log_likelihoods=False)


def _score_part(
    backend: Backend, plan: _Plan, benchmark: Benchmark, progress: Progress, warnings: list[str]
) -> list[dict[str, Any]]:
    """Score a benchmark, keep it on disk, and return its header and rows."""
    import torch

    before, started, items = progress.done, time.monotonic(), _num_items(plan, benchmark)

    def show(known: int, fresh: int, total: int) -> None:
        done = items * (recorder.sample + (known + fresh) / max(1, total)) / plan.settings.samples
        if known and not fresh:
            progress.skip(round(items * known / total / plan.settings.samples))
        progress.reach(before + min(items, int(done)), benchmark.name)

    with Journal(journal_path(plan.output, benchmark.name)) as journal:
        recorder = Recorder(backend, journal, _context(plan, benchmark), seed=plan.settings.seed, on_answers=show)
        try:
            scored = score(recorder, benchmark, plan.settings)
        except torch.OutOfMemoryError as error:
            raise EvalkitError(
                f"{benchmark.name}: out of memory at --batch-size {plan.choice.batch_size}; use a smaller one "
                "(what is finished is kept)"
            ) from error
    said = [*warnings, *notes(benchmark, scored, plan.config), *([benchmark.note] if benchmark.note else [])]
    warnings.clear()
    header = {"subsets": scored.subsets, "seconds": round(time.monotonic() - started, 3), "warnings": said}
    if all(row["score"] is None for row in scored.rows):
        raise EvalkitError(f"{benchmark.name}: every item failed, the first with: {scored.rows[0]['error']}")
    write_part(plan.output, benchmark.name, [header, *scored.rows])
    progress.reach(before + items, benchmark.name)
    return [header, *scored.rows]


def _context(plan: _Plan, benchmark: Benchmark) -> dict[str, Any]:
    """Return, by task, what decides its answers beside the requests themselves: part of the key of each."""
    names = ("model_fingerprint", "backend", "device", "dtype", "model_args", "chat_template", "chat_template_hash")
    shared = {name: plan.config[name] for name in names}
    return {
        subtask.task: shared | {"digest": subtask.digest, "version": str(subtask.load().VERSION)}
        for subtask in benchmark.subtasks
    }


def _results(plan: _Plan, parts: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Return what results.json holds, from the header and the rows of every benchmark."""
    by_benchmark, warnings = {}, []
    for benchmark in plan.benchmarks:
        header, *rows = parts[benchmark.name]
        warnings += header["warnings"]
        found = benchmark_results(benchmark, Scored(rows=rows, subsets=header["subsets"]))
        by_benchmark[benchmark.name] = found | {"seconds": header["seconds"]}
    shown = ("model", "adapter", "model_fingerprint", "backend", "chat_template", "prompt_suffix", "limit", "samples")
    return {
        **{key: plan.config[key] for key in shown},
        "benchmarks": by_benchmark,
        "failed": sum(found["failed"] for found in by_benchmark.values()),
        "warnings": list(dict.fromkeys(warnings)),
        "seconds": round(sum(found["seconds"] for found in by_benchmark.values()), 3),
        "versions": {name: version(name) for name in ("lm_eval", "transformers", "torch", "datasets")},
    }
