"""Benchmarks: the lm-eval tasks that a name, a task file or a data folder stands for."""

import difflib
import functools
import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError
from evalkit.running.data_folder import data_files
from evalkit.running.task_file import TaskFile, read_task_file

if TYPE_CHECKING:
    from lm_eval.api.task import Task


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An item with what the model wrote, for a scorer that is not lm-eval's.

    Attributes:
        doc: the item, a row of the data.
        prompt: as the model got it.
        responses: one text per sample, cut at the task's stop sequences.
    """

    doc: Mapping[str, Any]
    prompt: str
    responses: tuple[str, ...]


Scorer = Callable[[Sequence[Answered]], Sequence[Mapping[str, Any]]]
"""Returns, per answered item, what its line in samples.jsonl says: at least `score`, `metric` and `higher_is_better`,
and any other fields, such as `num_correct`; or `score: None` and `error` for an item that could not be scored. It is
called once for each subtask, after every answer is in the journal, and again when failed items are asked for anew."""


@dataclass(frozen=True, kw_only=True)
class Subtask:
    """One task of lm-eval within a benchmark: a subset of its items, scored alone.

    Attributes:
        subset: its name within the benchmark; "" where the benchmark is one task.
        task: lm-eval's name.
        digest: a hash of the settings, and of the data where it is local.
        num_rows: rows of the scored split, where it was counted beforehand.
        load: returns lm-eval's task; builds it, and reads the data, on the first call.
        rescore: scores the model's texts in place of lm-eval, whose metrics are then ignored (let the task have the
            metric `bypass`); None for lm-eval's own scoring.
    """

    subset: str
    task: str
    digest: str
    num_rows: int | None
    load: Callable[[], "Task"]
    rescore: Scorer | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A named list of subtasks whose items make one score.

    Attributes:
        name: as it stands in results.
        subtasks: in order.
        score_filter: the answer filter of lm-eval whose result is the score; None for the task's first.
        local: whether no part of it is read from the network.
        score_metric: lm-eval's metric that is the score; None for the task's first that is a mean over items.
        equal_subsets: whether every subset counts alike in the benchmark's score, whatever its number of items.
        note: what a reader of the score should know; "" for nothing.
    """

    name: str
    subtasks: tuple[Subtask, ...]
    score_filter: str | None
    local: bool
    score_metric: str | None = None
    equal_subsets: bool = False
    note: str = ""


@dataclass(frozen=True)
class _Packaged:
    """Where a benchmark's task files are, and the one filter that we score.

    Those of benchmarks that run code are ours: lm-eval's load a scorer from the hub, to run the code unprotected.
    """

    pattern: str
    num_subtasks: int
    prefix: str
    score_filter: str | None
    runs_code: bool = False


_OWN_TASKS = Path(__file__).parent / "tasks"

# The paper's settings: GSM8K 8-shot and BBH 3-shot chain of thought, MMLU and HumanEval 0-shot, as lm-eval has them.
# GSM8K's score is the number after "The answer is", the form that the eight examples show ("strict-match").
_PACKAGED = {
    "gsm8k": _Packaged("gsm8k/gsm8k-cot.yaml", 1, "", "strict-match"),
    "bbh": _Packaged("bbh/cot_fewshot/[!_]*.yaml", 27, "", "get-answer"),
    "mmlu": _Packaged("mmlu/default/mmlu_*.yaml", 57, "mmlu_", "none"),
    "humaneval": _Packaged("humaneval.yaml", 1, "", None, runs_code=True),
    "humaneval_instruct": _Packaged("humaneval_instruct.yaml", 1, "", None, runs_code=True),
}


def find_benchmarks(
    names: Sequence[str], data_dir: Path | None = None, run_code: Scorer | None = None
) -> list[Benchmark]:
    """Return the benchmarks that `names` stand for.

    Args:
        names: `gsm8k`, `bbh`, `mmlu`, `humaneval`, the path of a task file (`.yaml`), or any other task or group of
            lm-eval.
        data_dir: a folder that holds the first four; without it lm-eval loads them from the hub.
        run_code: scores completions that are code by running them; None where that is not allowed.

    Raises:
        EvalkitError: an unknown or repeated name, a file that is missing, partial or malformed, or code that may not
            run.
    """
    if not names:
        raise EvalkitError("no benchmark; name some, such as --benchmarks gsm8k,bbh,mmlu")
    if data_dir is not None and not data_dir.is_dir():
        raise EvalkitError(f"{data_dir}: no such folder")
    benchmarks = [_find(name, data_dir, run_code) for name in names]
    found = [benchmark.name for benchmark in benchmarks]
    if repeated := next((name for name in found if found.count(name) > 1), None):
        raise EvalkitError(f"benchmark '{repeated}' is named twice")
    return benchmarks


def _find(name: str, data_dir: Path | None, run_code: Scorer | None) -> Benchmark:
    if name in _PACKAGED:
        return _packaged(name, data_dir, run_code)
    if name.startswith("humaneval"):
        raise EvalkitError(
            f"benchmark '{name}' is scored in lm-eval by running code unprotected: refused; use humaneval or "
            "humaneval_instruct, with --samples K for pass@k"
        )
    if name.endswith((".yaml", ".yml")):
        return _from_task_file(Path(name))
    if data_dir is not None:
        raise EvalkitError(
            f"benchmark '{name}' has no place in a data folder{_did_you_mean(name, _PACKAGED)}; "
            f"{', '.join(_PACKAGED)} and task files (.yaml) have; for others leave --data-dir out"
        )
    return _from_index(name)


def _packaged(name: str, data_dir: Path | None, run_code: Scorer | None) -> Benchmark:
    known = _PACKAGED[name]
    if known.runs_code and run_code is None:
        raise EvalkitError(f"benchmark '{name}' runs code that the model writes; allow it with --allow-code-execution")
    paths = sorted((_OWN_TASKS if known.runs_code else _lm_eval_tasks()).glob(known.pattern))
    if len(paths) != known.num_subtasks:
        raise EvalkitError(
            f"{name}: expected {known.num_subtasks} task files {known.pattern} in lm-eval, found {len(paths)}; "
            "install a version of lm-eval that has them all"
        )
    subtasks = []
    for path in paths:
        overrides: dict[str, Any] = {}
        subset = "" if known.num_subtasks == 1 else path.stem.removeprefix(known.prefix)
        if data_dir is not None:
            files = data_files(data_dir, name, subset)
            absolute = {split: [str(file.resolve())] for split, file in files.items()}
            overrides = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": absolute}}
        rescore = run_code if known.runs_code else None
        subtasks.append(_subtask(read_task_file(path, overrides), subset, rescore))
    return Benchmark(name=name, subtasks=tuple(subtasks), score_filter=known.score_filter, local=data_dir is not None)


def _from_task_file(path: Path) -> Benchmark:
    task_file = read_task_file(path)
    subtask = _subtask(task_file, "")
    return Benchmark(name=task_file.name, subtasks=(subtask,), score_filter=None, local=bool(task_file.data))


def _subtask(file: TaskFile, subset: str, rescore: Scorer | None = None) -> Subtask:
    split = file.config.get("test_split") or file.config.get("validation_split")
    return Subtask(
        subset=subset,
        task=file.name,
        digest=file.digest(),
        num_rows=file.num_rows(str(split)),
        load=functools.cache(lambda: _load_task_file(file)),
        rescore=rescore,
    )


def _load_task_file(file: TaskFile) -> "Task":
    """Return lm-eval's task of a task file, with the paths of its data made absolute."""
    import yaml
    from lm_eval.tasks import TaskManager

    keys = ("dataset_path", "dataset_kwargs")
    found = {key: file.config[key] for key in keys if key in file.config} | file.overrides
    with tempfile.TemporaryDirectory() as folder:
        if file.data:  # read afresh: the cache of `datasets` takes a file of the same name and time for the same
            found["dataset_kwargs"] = found["dataset_kwargs"] | {"cache_dir": folder, "keep_in_memory": True}
        generated = Path(folder) / "task.yaml"
        generated.write_text(yaml.safe_dump({"include": str(file.path.resolve()), **found}), encoding="utf-8")
        try:
            loaded = TaskManager(include_defaults=False).load([str(generated)])
        except Exception as error:  # lm-eval runs the user's templates and functions here
            raise _cannot_build(str(file.path), error) from error
    return loaded["tasks"][file.name]


def _from_index(name: str) -> Benchmark:
    """Return a benchmark by its name in lm-eval's index, which takes seconds to read."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager()
    if name not in manager.all_tasks:
        near = _did_you_mean(name, [*_PACKAGED, *manager.all_tasks])
        raise EvalkitError(
            f"unknown benchmark '{name}'{near}; give {', '.join(_PACKAGED)}, a task of lm-eval, or a .yaml file"
        )
    try:
        loaded: dict[str, Any] = manager.load([name])
    except Exception as error:  # lm-eval runs the task's own code here, and loads its data
        raise _cannot_build(f"benchmark '{name}'", error) from error
    tasks: dict[str, Task] = loaded["tasks"]
    if not tasks:
        raise EvalkitError(f"benchmark '{name}' has no tasks in lm-eval")
    subtasks = [_indexed_subtask(task_name, task, single=len(tasks) == 1) for task_name, task in tasks.items()]
    aggregation = _aggregation(name, loaded.get("groups", {}).get(name)) if len(tasks) > 1 else _NO_AGGREGATION
    return Benchmark(name=name, subtasks=tuple(subtasks), local=False, **aggregation)


_NO_AGGREGATION: dict[str, Any] = {"score_filter": None}


def _aggregation(name: str, group: Any) -> dict[str, Any]:
    """Return how lm-eval makes one score of a group's tasks: its first metric over all leaves, weighted by size or not.

    A group or tag without an aggregation has no score in lm-eval; the mean over its items stands in, with a note.
    """
    listed = getattr(group, "aggregate_metric_list", None) or []
    if not listed:
        return _NO_AGGREGATION | {
            "note": f"{name}: lm-eval gives this group no score of its own; the score is the mean over all items"
        }
    first = listed[0]
    filters = getattr(first, "filter_list", None) or [None]
    score_filter = filters if isinstance(filters, str) else filters[0]
    return {"score_metric": first.metric, "score_filter": score_filter, "equal_subsets": not first.weight_by_size}


def _indexed_subtask(name: str, task: "Task", *, single: bool) -> Subtask:
    import hashlib
    import json

    settings = {key: value for key, value in task.dump_config().items() if key != "metadata"}
    text = json.dumps([settings, str(task.VERSION)], sort_keys=True, default=str)
    return Subtask(
        subset="" if single else name,
        task=name,
        digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
        num_rows=len(task.eval_docs),
        load=lambda: task,
    )


def _cannot_build(what: str, error: Exception) -> EvalkitError:
    text = " ".join(str(error).split())
    problem = f"{what}: lm-eval cannot build the task: {type(error).__name__}: {text}"
    if isinstance(error, ConnectionError):
        problem += (
            f"; without a network {', '.join(_PACKAGED)} take --data-dir, and others a task file (.yaml) that names "
            "data on this machine"
        )
    return EvalkitError(problem)


def _lm_eval_tasks() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise EvalkitError("lm-eval is not installed; install it with: pip install 'halotheory[eval]'")
    return Path(spec.submodule_search_locations[0]) / "tasks"


def _did_you_mean(name: str, known: "Sequence[str] | dict[str, Any]") -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
