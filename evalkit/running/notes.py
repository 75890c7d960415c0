"""What a reader of a benchmark's score should know of how it came about."""

from collections.abc import Mapping
from typing import Any

from evalkit.published import ITEMS
from evalkit.running.benchmarks import Benchmark
from evalkit.running.scoring import Scored

_CHATTY = 0.2  # share of answers without the form that the score looks for, above which it is said


def notes(benchmark: Benchmark, scored: Scored, config: Mapping[str, Any]) -> list[str]:
    """Return a line for each: part of a test set, failures, prompts cut, a template not used, answers unread."""
    said = []
    total, failed = len(scored.rows), sum(row["score"] is None for row in scored.rows)
    published = ITEMS.get(benchmark.name.removesuffix("_instruct"), total)
    if total != published:
        said.append(
            f"{benchmark.name}: {total} items, and the published test set has {published}: not a score of the benchmark"
        )
    if failed:
        said.append(
            f"{benchmark.name}: {failed} of {total} items failed and have no score; the same command asks them again"
        )
    cut = sum(header["truncated"] for header in scored.subsets.values())
    if cut:
        said.append(
            f"{benchmark.name}: {cut} of {total} prompts are longer than the model's context and lost their beginning"
        )
    if config["chat_template_hash"] and not config["chat_template"]:
        said.append("the model has a chat template, and prompts were plain text; --chat-template renders them by it")
    unread = sum(_is_unread(row.get("prediction")) for row in scored.rows)
    if unread > _CHATTY * total:
        stop = "; its stop string 'Q' cuts answers of models that talk" if benchmark.name == "bbh" else ""
        said.append(
            f"{benchmark.name}: {unread} of {total} answers do not have the form that the score looks for{stop}; "
            "read some in samples.jsonl"
        )
    return said


def _is_unread(prediction: Any) -> bool:
    """Return whether lm-eval's filters found no answer in a text."""
    return "[invalid]" in prediction if isinstance(prediction, list) else prediction == "[invalid]"
