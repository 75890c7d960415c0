"""From what lm-eval logs to one row per item."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvalkitError
from evalkit.running.benchmarks import Answered, Benchmark, Subtask

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

Sample = Mapping[str, Any]
"""What lm-eval logs of one item under one filter."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One answer to every item.

    Attributes:
        samples: by lm-eval's name of a task, what it logged: one entry per item and filter.
        failures: by task and number of the item in its data, why there is no answer.
    """

    samples: Mapping[str, Sequence[Sample]]
    failures: Mapping[tuple[str, int], str]


def subtask_rows(
    passes: Sequence[Pass], benchmark: Benchmark, subtask: Subtask, task: "ConfigurableTask"
) -> list[dict[str, Any]]:
    """Return one row per item of a subtask, in the order of its data.

    Raises:
        EvalkitError: no metric that is a mean over items, or a score that is not finite.
    """
    own = [one for one in passes if subtask.task in one.samples]
    metric, filter_name = _scored(own[0].samples[subtask.task], benchmark, subtask, task)
    chosen = [_by_item(one.samples[subtask.task], filter_name) for one in own]
    failures = [one.failures for one in own]
    head = {
        "benchmark": benchmark.name,
        "subset": subtask.subset,
        "metric": f"{metric},{filter_name}",
        "higher_is_better": (task.higher_is_better() or {}).get(metric) is not False,
    }
    others = _other_scores([one.samples[subtask.task] for one in own], metric, filter_name)
    occurrences: Counter[str] = Counter()
    rows = []
    for number, first in chosen[0].items():
        content = _content_hash(first["doc"])
        occurrences[content] += 1
        name = content if occurrences[content] == 1 else f"{content}#{occurrences[content]}"
        row = {key: head[key] for key in ("benchmark", "subset")} | {"id": name, "score": None} | head
        error = next((failed[subtask.task, number] for failed in failures if (subtask.task, number) in failed), None)
        samples = [one[number] for one in chosen]
        if error is not None:
            row |= {"error": error} | _asked(samples[0])
        elif subtask.rescore is None:
            row |= _lm_eval_score(samples, metric, subtask) | {"other_scores": others.get(number, {})}
            row |= _answer(samples, task)
        else:
            row |= _answer(samples, task)
        rows.append(row | {"task": subtask.task} | _identity(first))
    if subtask.rescore is not None:
        _rescore(rows, chosen, subtask)
    return rows


def _by_item(samples: Sequence[Sample], filter_name: str) -> dict[int, Sample]:
    chosen = (sample for sample in samples if sample["filter"] == filter_name)
    return {sample["doc_id"]: sample for sample in sorted(chosen, key=lambda sample: sample["doc_id"])}


def _scored(
    samples: Sequence[Sample], benchmark: Benchmark, subtask: Subtask, task: "ConfigurableTask"
) -> tuple[str, str]:
    """Return the metric and the filter whose value is the score: the first that is a mean over items."""
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    filter_name = benchmark.score_filter or filters[0]
    if subtask.rescore is not None:
        return "bypass", filters[0]
    aggregations = dict(task.aggregation() or {})
    means = [name for name, how in aggregations.items() if getattr(how, "__name__", "") in {"mean", "nanmean"}]
    wanted = [name for name in means if benchmark.score_metric in (None, name)]
    metric = next((name for name in wanted if name in samples[0]["metrics"]), None)
    if metric is None or filter_name not in filters:
        raise EvalkitError(
            f"{task.config.task}: no metric that is a mean over items; comparisons need a score per item, "
            f"and this task has {', '.join(aggregations) or 'no metric'}"
        )
    return metric, filter_name


def _lm_eval_score(samples: Sequence[Sample], metric: str, subtask: Subtask) -> dict[str, Any]:
    """Return the score of an item; with several samples their mean, and each of theirs."""
    values = [sample[metric] for sample in samples]
    for value in values:
        if not _is_number(value):
            raise EvalkitError(f"{subtask.task}: item {samples[0]['doc_id']} has no finite {metric}, but {value!r}")
    scores = [float(value) for value in values]
    if len(scores) == 1:
        return {"score": scores[0]}
    return {"score": sum(scores) / len(scores), "num_samples": len(scores), "sample_scores": scores}


def _rescore(rows: Sequence[dict[str, Any]], chosen: Sequence[Mapping[int, Sample]], subtask: Subtask) -> None:
    """Let the subtask's own scorer fill in the rows of answered items, in place."""
    assert subtask.rescore is not None
    answered = [row for row in rows if "error" not in row]
    failed = [row for row in rows if "error" in row]
    items = [
        Answered(
            doc=chosen[0][row["doc_id"]]["doc"],
            prompt=str(row["prompt"]),
            responses=tuple(str(text) for one in chosen for text in one[row["doc_id"]]["resps"][0]),
        )
        for row in answered
    ]
    found = subtask.rescore(items) if items else []
    for row, fields in zip(answered, found, strict=True):
        row.update(fields)
    for row in failed if answered else ():  # what failed before it was scored would have had this metric
        row["metric"] = answered[0]["metric"]


def _other_scores(passes: Sequence[Sequence[Sample]], metric: str, filter_name: str) -> dict[int, dict[str, float]]:
    """Return, by item, the numbers of every other metric and filter, each the mean over the item's samples."""
    found: dict[int, dict[str, list[float]]] = {}
    for sample in (sample for samples in passes for sample in samples):
        for name in sample["metrics"]:
            if (name, sample["filter"]) != (metric, filter_name) and _is_number(sample[name]):
                values = found.setdefault(sample["doc_id"], {}).setdefault(f"{name},{sample['filter']}", [])
                values.append(float(sample[name]))
    return {
        number: {name: sum(values) / len(values) for name, values in named.items()} for number, named in found.items()
    }


def _asked(sample: Sample) -> dict[str, Any]:
    return {"target": _plain(sample["target"]), "prompt": _plain(sample["arguments"][0][0])}


def _answer(samples: Sequence[Sample], task: "ConfigurableTask") -> dict[str, Any]:
    """Return what was asked and answered; for multiple choice, log-likelihoods (nats) and the likeliest choice."""
    if task.OUTPUT_TYPE == "generate_until":
        texts = [text for sample in samples for response in sample["resps"] for text in response]
        response: Any = texts[0] if len(texts) == 1 else texts
        predictions = [sample["filtered_resps"][0] for sample in samples]
        prediction: Any = predictions[0] if len(samples) == 1 else predictions
    else:
        replies = [reply[0] for reply in samples[0]["resps"]]
        response = [float(reply[0]) if isinstance(reply, tuple) else float(reply) for reply in replies]
        prediction = max(range(len(response)), key=response.__getitem__) if len(response) > 1 else None
    asked = _asked(samples[0])
    return {
        "target": asked["target"],
        "prediction": _plain(prediction),
        "response": _plain(response),
        "prompt": asked["prompt"],
    }


def _identity(sample: Sample) -> dict[str, Any]:
    return {key: sample[key] for key in ("doc_id", "doc_hash", "prompt_hash", "target_hash")}


def _content_hash(doc: Any) -> str:
    text = json.dumps(doc, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _plain(value: Any) -> Any:
    """Return the value as JSON can hold it; a number that is not finite becomes text."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, int | float):
        return value
    return str(value).encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8
