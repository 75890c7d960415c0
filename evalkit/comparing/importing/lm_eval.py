"""What `lm_eval --log_samples` writes, as rows."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.comparing.evaluation import Row, Source, content_hash
from evalkit.errors import EvalkitError
from evalkit.files import read_json_lines

_FILE = re.compile(r"^samples_(?P<task>.+)_(?P<date>\d{4}-\d{2}-\d{2}T[\d.\-]+)\.jsonl$")

# tasks of lm-eval that `evalkit run` has under a shorter name
_NAMES = {"gsm8k_cot": "gsm8k", "bbh_cot_fewshot": "bbh"}

# columns of a logged sample that are not metrics, for versions of lm-eval that do not list the metrics
_NO_METRICS = {"doc_id", "doc_hash", "prompt_hash", "target_hash"}


# parts of a results file that are read as dictionaries
_TABLES = {"group_subtasks", "versions", "higher_is_better", "config"}


def is_lm_eval(path: Path) -> bool:
    """Return whether a path is a file of logged samples, or a folder that has some, at most one folder deep."""
    return bool(_FILE.match(path.name) and path.is_file()) or bool(path.is_dir() and _folders(path))


def read_lm_eval(path: Path, *, metric: str | None = None, answer_filter: str | None = None) -> Source:
    """Return the rows of one lm-eval run: the newest in the folder, one row per item.

    Groups (`mmlu`) are benchmarks and their tasks subsets, as the results file beside the samples says; without it
    each task is a benchmark, and so is the task of a single file. The item's id is the hash that `evalkit run` gives
    it, so that both can be compared.

    Args:
        path: the output folder, the model's folder in it, or one samples file.
        metric: such as `acc_norm`; by default each task's first.
        answer_filter: such as `flexible-extract`; by default each task's first.

    Raises:
        EvalkitError: several models in the folder, or a file that cannot be used.
    """
    files, notes = _newest(path)
    date = next(iter(files.values()))[0]
    folder = next(iter(files.values()))[1].parent
    results = _results(folder / f"results_{date}.json")
    groups = {} if path.is_file() else _groups(results)
    return Source(
        path=path,
        kind="lm-eval samples",
        rows=_rows({task: file for task, (_, file) in files.items()}, groups, results, metric, answer_filter),
        settings=_settings(results, groups),
        notes=tuple(notes + _choices({task: file for task, (_, file) in files.items()}, metric, answer_filter)),
    )


def _folders(path: Path) -> list[Path]:
    candidates = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
    return [folder for folder in candidates if any(_FILE.match(file.name) for file in folder.glob("samples_*.jsonl"))]


def _newest(path: Path) -> tuple[dict[str, tuple[str, Path]], list[str]]:
    """Return (date, file) by task, of the newest run that logged the task, and notes on what is left out."""
    if path.is_file():
        match = _FILE.match(path.name)
        assert match is not None
        return {match["task"]: (match["date"], path)}, []
    folders = _folders(path)
    if len(folders) > 1:
        shown = ", ".join(str(folder) for folder in folders[:4])
        raise EvalkitError(f"{path}: samples of several models; name one of {shown}")
    found: dict[str, tuple[str, Path]] = {}
    dates: set[str] = set()
    for file in sorted(folders[0].glob("samples_*.jsonl")):
        match = _FILE.match(file.name)
        if match:
            dates.add(match["date"])
            found[match["task"]] = max(found.get(match["task"], ("", file)), (match["date"], file))
    used = max(date for date, _ in found.values())
    newest = {task: entry for task, entry in found.items() if entry[0] == used}
    if len(dates) > 1:
        return newest, [f"{path}: of {len(dates)} lm-eval runs in the folder, the newest is read ({used})."]
    return newest, []


def _results(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise EvalkitError(f"{file}: not JSON: {error}; move it away to read the samples alone") from error
    if not isinstance(value, dict):
        raise EvalkitError(f"{file}: not the results of lm-eval; move it away to read the samples alone")
    return {key: part for key, part in value.items() if key not in _TABLES or isinstance(part, dict)}


def _groups(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the outermost group of every task that is in one."""
    members: dict[str, list[str]] = results.get("group_subtasks") or {}
    parents = {child: group for group, children in members.items() for child in children}

    def root(name: str, depth: int = 0) -> str:
        return root(parents[name], depth + 1) if name in parents and depth < 20 else name

    return {task: root(task) for task in parents}


def _settings(results: Mapping[str, Any], groups: Mapping[str, str]) -> dict[str, Any]:
    config = results.get("config") or {}
    template = results.get("chat_template") or config.get("chat_template")
    shown: dict[str, Any] = {"versions": {_place(task, groups): str(v) for task, v in _tasks(results, "versions")}}
    if results:
        shown |= {
            "model": results.get("model_name") or config.get("model"),
            "chat_template": bool(template),
            "limit": config.get("limit"),
            "lm_eval": results.get("lm_eval_version"),
        }
    return {key: value for key, value in shown.items() if value is not None}


def _tasks(results: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    groups = results.get("group_subtasks") or {}
    return [(task, value) for task, value in (results.get(key) or {}).items() if not groups.get(task)]


def _place(task: str, groups: Mapping[str, str]) -> str:
    benchmark, subset = _named(task, groups)
    return f"{benchmark}/{subset}" if subset else benchmark


def _named(task: str, groups: Mapping[str, str]) -> tuple[str, str]:
    """Return benchmark and subset of a task, under the names that `evalkit run` has for them."""
    if task not in groups:
        return _NAMES.get(task, task), ""
    group = groups[task]
    return _NAMES.get(group, group), task.removeprefix(f"{group}_") if group in {"mmlu", "bbh_cot_fewshot"} else task


def _choices(files: Mapping[str, Path], metric: str | None, answer_filter: str | None) -> list[str]:
    """Return a note on each choice of filter or metric that was made for the reader."""
    said: dict[str, list[str]] = {}
    for task, file in files.items():
        samples = _first_samples(file)
        filters, metrics = list(dict.fromkeys(map(_filter, samples))), _metrics(samples[0]) if samples else []
        for chosen, names, option in ((answer_filter, filters, "--filter"), (metric, metrics, "--metric")):
            if chosen is None and len(names) > 1:
                said.setdefault(f"{names[0]}; also there: {', '.join(names[1:])} ({option})", []).append(task)
    return [
        f"lm-eval: {tasks[0]}{f' and {len(tasks) - 1} more' if tasks[1:] else ''} scored by {what}."
        for what, tasks in said.items()
    ]


def _first_samples(file: Path) -> list[Row]:
    """Return the samples of the first item, one per filter; lm-eval writes the items of a filter together."""
    samples = [row for _, row in read_json_lines(file)]
    return [row for row in samples if row.get("doc_id") == samples[0].get("doc_id")]


def _rows(
    files: Mapping[str, Path],
    groups: Mapping[str, str],
    results: Mapping[str, Any],
    metric: str | None,
    answer_filter: str | None,
) -> Iterator[tuple[str, Row]]:
    directions = results.get("higher_is_better") or {}
    for task, file in files.items():
        samples = [(f"{file}:{line}", row) for line, row in read_json_lines(file)]
        filters = list(dict.fromkeys(_filter(row) for _, row in samples))
        if not samples:
            raise EvalkitError(f"{file}: no samples; nothing was logged")
        if answer_filter is not None and answer_filter not in filters:
            raise EvalkitError(f"{file}: no filter '{answer_filter}'; it has {', '.join(filters)}")
        chosen = answer_filter or filters[0]
        benchmark, subset = _named(task, groups)
        occurrences: Counter[str] = Counter()
        for place, sample in samples:
            if _filter(sample) != chosen:
                continue
            row = _row(place, sample, metric, directions.get(task) or {})
            occurrences[row["id"]] += 1
            if occurrences[row["id"]] > 1:  # as `evalkit run` tells equal items of one task apart
                row["id"] = f"{row['id']}#{occurrences[row['id']]}"
            yield place, {"benchmark": benchmark, "subset": subset} | row


def _filter(sample: Row) -> str:
    return str(sample.get("filter") or "none")


def _metrics(sample: Row) -> list[str]:
    named = sample.get("metrics")
    if isinstance(named, list):
        return [name for name in named if name in sample]
    return [
        name
        for name, value in sample.items()
        if isinstance(value, int | float) and name not in _NO_METRICS  # older versions of lm-eval do not list them
    ]


def _row(place: str, sample: Row, metric: str | None, directions: Mapping[str, Any]) -> dict[str, Any]:
    metrics = _metrics(sample)
    if "doc" not in sample or not metrics:
        raise EvalkitError(f"{place}: not a sample of lm-eval: it has no doc, or no metric; run it with --log_samples")
    name = metric or metrics[0]
    if name not in metrics:
        raise EvalkitError(f"{place}: no metric '{name}'; it has {', '.join(metrics)}")
    score = sample[name]
    if not isinstance(score, int | float):  # a boolean is 0 or 1
        raise EvalkitError(f"{place}: {name} is {score!r}, not a number per item; choose another with --metric")
    return {
        "id": content_hash(sample["doc"]),
        "score": int(score) if isinstance(score, bool) else score,
        "metric": f"{name},{_filter(sample)}",
        "higher_is_better": directions.get(name) is not False,
        "prompt": _prompt(sample.get("arguments")),
        "response": _response(sample.get("resps")),
        "prediction": _flat(sample.get("filtered_resps")),
        "target": sample.get("target"),
        "prompt_hash": sample.get("prompt_hash"),
    }


def _prompt(arguments: Any) -> Any:
    """Return the text of the first request; lm-eval has written lists, and written dictionaries."""
    if isinstance(arguments, dict):
        first: Any = next(iter(arguments.values()), None)
        return first.get("arg_0") if isinstance(first, dict) else first
    if isinstance(arguments, list) and arguments:
        return arguments[0][0] if isinstance(arguments[0], list) and arguments[0] else arguments[0]
    return None


def _response(responses: Any) -> Any:
    """Return the texts of an answer, or the log-likelihoods of choices."""
    if not isinstance(responses, list):
        return responses
    flat = [_flat(reply) for reply in responses]
    return flat[0] if len(flat) == 1 else flat


def _flat(value: Any) -> Any:
    while isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
        value = value[0]
    return value
