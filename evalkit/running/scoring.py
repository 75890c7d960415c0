"""One subtask scored by lm-eval: from its task to one row per item."""

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from evalkit.errors import EvalkitError
from evalkit.running.benchmarks import Benchmark, Subtask
from evalkit.running.model import Model

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

Sample = Mapping[str, Any]
"""What lm-eval logs of one item under one filter."""


def score(
    model: Model,
    benchmark: Benchmark,
    subtask: Subtask,
    *,
    limit: int | None,
    seed: int,
    chat_template: bool,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the scored items of a subtask, one row each in the order of its data, and what is known of the task.

    The model is asked as `lm_eval.simple_evaluate` asks it, with one seed for every generator.

    Args:
        model: lm-eval's interface to the model.
        benchmark: what the subtask belongs to.
        subtask: what to score.
        limit: only the first so many items.
        seed: of few-shot sampling, and of generation where a task samples.
        chat_template: whether prompts are rendered by the tokenizer's template.
        on_progress: called with the number of finished items.

    Raises:
        EvalkitError: a task without a score per item, or more tokens to generate than the model has places for.
    """
    from lm_eval.evaluator import evaluate

    task = cast("ConfigurableTask", subtask.load())
    _prepare(task, seed)
    room = _room_for_prompt(model, task, subtask)
    expected = min(len(task.eval_docs), limit or len(task.eval_docs))
    previous = model.cache_hook
    model.set_cache_hook(_progress_hook(task, expected, on_progress))
    try:
        outcome = evaluate(
            lm=model,
            task_dict={"tasks": {subtask.task: task}},
            limit=limit,
            bootstrap_iters=0,
            apply_chat_template=chat_template,
            fewshot_as_multiturn=True,
        )
    finally:
        model.set_cache_hook(previous)
    assert outcome is not None
    rows = _rows(cast("dict[str, Any]", outcome)["samples"][subtask.task], benchmark, subtask, task)
    if len(rows) != expected:
        raise EvalkitError(f"{subtask.task}: lm-eval scored {len(rows)} of {expected} items; nothing was written")
    header = {
        "task": subtask.task,
        "version": task.VERSION,
        "num_fewshot": task.get_config("num_fewshot"),
        "truncated": _num_truncated(model, task, room),
    }
    return rows, header


def _prepare(task: "ConfigurableTask", seed: int) -> None:
    """Seed every generator, and set what `simple_evaluate` sets on a task."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (lm-eval's tasks use the global generator)
    torch.manual_seed(seed)
    task.set_fewshot_seed(seed)
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)


def _room_for_prompt(model: Model, task: "ConfigurableTask", subtask: Subtask) -> int:
    """Return how many tokens a prompt may have before lm-eval cuts off its beginning.

    Raises:
        EvalkitError: a task that runs code, data that lm-eval reads only in part, or no room at all.
    """
    if getattr(task, "UNSAFE_CODE", False):
        raise EvalkitError(f"benchmark '{subtask.task}' needs code execution in a sandbox; not available yet")
    if subtask.num_rows is not None and len(task.eval_docs) != subtask.num_rows:
        raise EvalkitError(
            f"{subtask.task}: the data has {subtask.num_rows} rows, and lm-eval reads {len(task.eval_docs)}"
        )
    places = model.max_length
    if task.OUTPUT_TYPE != "generate_until":
        return places
    wanted = (task.get_config("generation_kwargs") or {}).get("max_gen_toks", model.max_gen_toks)
    if wanted >= places:
        raise EvalkitError(
            f"{subtask.task}: generates up to {wanted} tokens, and the model has {places} places for prompt "
            "and answer; use a model with a longer context"
        )
    return places - wanted


def _num_truncated(model: Model, task: "ConfigurableTask", room: int) -> int:
    """Return the number of items with a prompt (and, where it is given, an answer) of more than `room` tokens."""
    too_long: set[Any] = set()
    for instance in task.instances:
        text = "".join(part for part in instance.args if isinstance(part, str))
        # a token is at least a byte, so most texts need not be tokenized again; 8 for what a tokenizer adds
        if len(text.encode()) + 8 > room and len(model.tok_encode(text)) > room:
            too_long.add(instance.doc_id)
    return len(too_long)


def _progress_hook(task: "ConfigurableTask", items: int, on_progress: Callable[[int], None]) -> Any:
    """Return a hook that lm-eval calls after each request; a multiple-choice item has a request per choice."""
    from lm_eval.api.model import CacheHook

    class Hook(CacheHook):
        """Counts finished requests."""

        done = 0

        def add_partial(self, attr: str, req: Any, res: Any) -> None:
            self.done += 1
            on_progress(min(items, self.done * items // max(1, len(task.instances))))

    return Hook(None)


def _rows(
    samples: Sequence[Sample], benchmark: Benchmark, subtask: Subtask, task: "ConfigurableTask"
) -> list[dict[str, Any]]:
    """Return one row per item from lm-eval's samples, which have one entry per item and filter."""
    metric, filter_name = _scored(samples, benchmark, task)
    higher_is_better = (task.higher_is_better() or {}).get(metric) is not False
    others = _other_scores(samples, metric, filter_name)
    occurrences: Counter[str] = Counter()
    rows = []
    for sample in sorted((s for s in samples if s["filter"] == filter_name), key=lambda s: s["doc_id"]):
        content = _content_hash(sample["doc"])
        occurrences[content] += 1
        value = sample[metric]
        if not _is_number(value):
            raise EvalkitError(f"{subtask.task}: item {sample['doc_id']} has no finite {metric}, but {value!r}")
        rows.append(
            {
                "benchmark": benchmark.name,
                "subset": subtask.subset,
                "id": content if occurrences[content] == 1 else f"{content}#{occurrences[content]}",
                "score": float(value),
                "metric": f"{metric},{filter_name}",
                "higher_is_better": higher_is_better,
                "other_scores": others.get(sample["doc_id"], {}),
                **_answer(sample, task),
                "task": subtask.task,
                **{key: sample[key] for key in ("doc_id", "doc_hash", "prompt_hash", "target_hash")},
            }
        )
    return rows


def _scored(samples: Sequence[Sample], benchmark: Benchmark, task: "ConfigurableTask") -> tuple[str, str]:
    """Return the metric and the filter whose value is the score: the first that is a mean over items."""
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    filter_name = benchmark.score_filter or filters[0]
    aggregations = dict(task.aggregation() or {})
    means = [name for name, how in aggregations.items() if getattr(how, "__name__", "") in {"mean", "nanmean"}]
    metric = next((name for name in means if name in samples[0]["metrics"]), None)
    if metric is None or filter_name not in filters:
        raise EvalkitError(
            f"{task.task_name}: no metric that is a mean over items; comparisons need a score per item, "
            f"and this task has {', '.join(aggregations) or 'no metric'}"
        )
    return metric, filter_name


def _other_scores(samples: Sequence[Sample], metric: str, filter_name: str) -> dict[int, dict[str, float]]:
    """Return, by item, the numbers of every other metric and filter."""
    others: dict[int, dict[str, float]] = {}
    for sample in samples:
        for name in sample["metrics"]:
            if (name, sample["filter"]) != (metric, filter_name) and _is_number(sample[name]):
                others.setdefault(sample["doc_id"], {})[f"{name},{sample['filter']}"] = float(sample[name])
    return others


def _answer(sample: Sample, task: "ConfigurableTask") -> dict[str, Any]:
    """Return what was asked and answered; for multiple choice, log-likelihoods (nats) and the likeliest choice."""
    arguments, responses = sample["arguments"], sample["resps"]
    if task.OUTPUT_TYPE == "generate_until":
        texts = [text for response in responses for text in response]
        response: Any = texts[0] if len(texts) == 1 else texts
        prediction: Any = sample["filtered_resps"][0]
    else:
        response = [float(reply[0][0]) if isinstance(reply[0], tuple) else float(reply[0]) for reply in responses]
        prediction = max(range(len(response)), key=response.__getitem__) if len(response) > 1 else None
    return {
        "target": _plain(sample["target"]),
        "prediction": _plain(prediction),
        "response": _plain(response),
        "prompt": _plain(arguments[0][0]),
    }


def _content_hash(doc: Any) -> str:
    text = json.dumps(doc, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
    return value if value is None or isinstance(value, str | int | float) else str(value)
