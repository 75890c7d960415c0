"""One benchmark scored by lm-eval: from its tasks to one row per item."""

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from evalkit.errors import EvalkitError
from evalkit.running.benchmarks import Benchmark, Subtask
from evalkit.running.recorder import Recorder
from evalkit.running.rows import Pass, subtask_rows

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a benchmark is asked.

    Attributes:
        limit: only the first so many items of each subtask; None for all.
        seed: of few-shot examples drawn at random, and of sampling.
        chat_template: whether prompts are rendered by the tokenizer's template.
        num_fewshot: examples before each question; None for the task's own number.
        generation: settings of generation that replace the task's, such as `{"temperature": 0.7, "do_sample": True}`.
        samples: answers per item of tasks that generate text, when they are sampled.
        prompt_suffix: text at the end of every prompt, such as a control token.
    """

    limit: int | None
    seed: int
    chat_template: bool
    num_fewshot: int | None
    generation: Mapping[str, Any]
    samples: int
    prompt_suffix: str


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What became of a benchmark.

    Attributes:
        rows: one per item, in the order of the data; a failed item has `score: None` and `error`.
        subsets: by subset, what is known of its task: its name, version, number of examples, cut prompts, failures.
    """

    rows: list[dict[str, Any]]
    subsets: dict[str, dict[str, Any]]


def score(recorder: Recorder, benchmark: Benchmark, settings: Settings) -> Scored:
    """Return the scored items of a benchmark.

    The model is asked as `lm_eval.simple_evaluate` asks it when it is given this benchmark alone, with one seed for
    every generator. Each sample of an item is scored by lm-eval as if it were the only one; the item's score is
    their mean.

    Args:
        recorder: the model, with its journal.
        benchmark: what to score.
        settings: how.

    Raises:
        EvalkitError: a task without a score per item, or more tokens to generate than the model has places for.
    """
    from lm_eval.evaluator import evaluate

    tasks = {subtask.task: cast("ConfigurableTask", subtask.load()) for subtask in benchmark.subtasks}
    for subtask in benchmark.subtasks:
        prepare(tasks[subtask.task], subtask, settings)
    rooms = {name: _room_for_prompt(task, recorder) for name, task in tasks.items()}
    passes: list[Pass] = []
    truncated: dict[str, int] = {}
    with _suffixed(tasks.values(), settings.prompt_suffix):
        for sample in range(settings.samples):
            asked = {name: task for name, task in tasks.items() if sample == 0 or task.OUTPUT_TYPE == "generate_until"}
            if not asked:
                break
            _seed_generators(asked.values(), settings.seed)
            recorder.start_pass(sample)
            with _enough_examples(settings):
                outcome = evaluate(
                    lm=cast("Any", recorder),
                    task_dict={"tasks": asked},
                    limit=settings.limit,
                    bootstrap_iters=0,
                    apply_chat_template=settings.chat_template,
                    fewshot_as_multiturn=True,
                )
            passes.append(Pass(samples=cast("Any", outcome)["samples"], failures=dict(recorder.failures)))
            truncated = truncated or {name: _num_truncated(recorder, tasks[name], rooms[name]) for name in tasks}
    rows: list[dict[str, Any]] = []
    subsets = {}
    for subtask in benchmark.subtasks:
        task = tasks[subtask.task]
        own = subtask_rows(passes, benchmark, subtask, task)
        _check_complete(own, subtask, task, settings)
        rows += own
        subsets[subtask.subset] = {
            "task": subtask.task,
            "version": task.VERSION,
            "num_fewshot": task.get_config("num_fewshot"),
            "truncated": truncated[subtask.task],
            "failed": sum(row["score"] is None for row in own),
        }
    return Scored(rows=rows, subsets=subsets)


@contextlib.contextmanager
def _enough_examples(settings: Settings) -> Iterator[None]:
    """Say in one line that a task has fewer examples than are asked for, which lm-eval asserts."""
    try:
        yield
    except AssertionError as error:
        if "fewshot" not in str(error):
            raise
        reason = " ".join(str(error).split()).removeprefix("Error: ")
        raise EvalkitError(f"--num-fewshot {settings.num_fewshot}: {reason}") from error


def _check_complete(
    rows: Sequence[Mapping[str, Any]], subtask: Subtask, task: "ConfigurableTask", settings: Settings
) -> None:
    expected = min(len(task.eval_docs), settings.limit or len(task.eval_docs))
    if len(rows) != expected:
        raise EvalkitError(f"{subtask.task}: lm-eval scored {len(rows)} of {expected} items; nothing was written")


def prepare(task: "ConfigurableTask", subtask: Subtask, settings: Settings) -> None:
    """Set on a task what `simple_evaluate` sets, and check that it can be run.

    Raises:
        EvalkitError: a task that runs code, data that lm-eval reads only in part, or examples that it has not.
    """
    if getattr(task, "UNSAFE_CODE", False) and subtask.rescore is None:
        raise EvalkitError(f"benchmark '{subtask.task}' runs code that a model wrote, without a sandbox: refused")
    if subtask.num_rows is not None and len(task.eval_docs) != subtask.num_rows:
        raise EvalkitError(
            f"{subtask.task}: the data has {subtask.num_rows} rows, and lm-eval reads {len(task.eval_docs)}"
        )
    if settings.num_fewshot is not None:
        task.set_config(key="num_fewshot", value=settings.num_fewshot)
    elif task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    if settings.generation and task.OUTPUT_TYPE == "generate_until":
        task.set_config(key="generation_kwargs", value=dict(settings.generation), update=True)


def _seed_generators(tasks: Any, seed: int) -> None:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (lm-eval's tasks use the global generator)
    torch.manual_seed(seed)
    for task in tasks:
        task.set_fewshot_seed(seed)


@contextlib.contextmanager
def _suffixed(tasks: Any, suffix: str) -> Iterator[None]:
    """Let lm-eval end every prompt with a text, before it hashes, logs or asks it."""
    if not suffix:
        yield
        return
    tasks = list(tasks)
    for task in tasks:
        task.fewshot_context = _ending_with(task, suffix)
    try:
        yield
    finally:
        for task in tasks:
            del task.fewshot_context


def _ending_with(task: "ConfigurableTask", suffix: str) -> Any:
    original = task.fewshot_context

    def context(*arguments: Any, **named: Any) -> str:
        prompt = original(*arguments, **named)
        if type(prompt) is not str:
            raise EvalkitError(
                f"{task.config.task}: its prompts are not plain text, so --prompt-suffix cannot end them"
            )
        return prompt + suffix

    return context


def _room_for_prompt(task: "ConfigurableTask", recorder: Recorder) -> int | None:
    """Return how many tokens a prompt may have before lm-eval cuts off its beginning; None where it never does.

    Raises:
        EvalkitError: no room at all.
    """
    max_length = recorder.backend.max_length
    if max_length is None or task.OUTPUT_TYPE != "generate_until":
        return max_length
    wanted = (task.get_config("generation_kwargs") or {}).get("max_gen_toks", recorder.max_gen_toks)
    if wanted >= max_length:
        raise EvalkitError(
            f"{task.config.task}: generates up to {wanted} tokens, and the model has {max_length} places for prompt "
            "and answer; use a model with a longer context"
        )
    return max_length - wanted


def _num_truncated(recorder: Recorder, task: "ConfigurableTask", room: int | None) -> int:
    """Return the number of items with a prompt (and, where it is given, an answer) of more than `room` tokens."""
    if room is None:
        return 0
    too_long: set[Any] = set()
    for instance in task.instances:
        text = "".join(part for part in instance.args if isinstance(part, str))
        # a token is at least a byte, so most texts need not be tokenized again; 8 for what a tokenizer adds
        if len(text.encode("utf-8", "replace")) + 8 > room and len(recorder.tok_encode(text)) > room:
            too_long.add(instance.doc_id)
    return len(too_long)
