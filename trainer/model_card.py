"""The README of a trained model: what it was made from, how, and how far it came."""

from collections.abc import Mapping
from typing import Any

from halotheory.contract import Loss
from trainer.config import AlignConfig
from trainer.tokens import DataReport

_SHOWN = (
    "learning_rate",
    "schedule",
    "warmup_ratio",
    "optimizer",
    "weight_decay",
    "max_grad_norm",
    "batch_size",
    "micro_batch_size",
    "epochs",
    "max_steps",
    "max_length",
    "dtype",
    "dropout",
    "seed",
)


def model_card(config: AlignConfig, loss: Loss, report: DataReport, last: Mapping[str, Any], processes: int) -> str:
    """Return the model card, Markdown with the hub's front matter.

    Args:
        config: the run's settings.
        loss: with the hyperparameters in force.
        report: what became of the data.
        last: the last line of metrics.jsonl.
        processes: that took part.
    """
    told = "\n".join(f"- {line.removeprefix('data: ')}" for line in report.lines())
    hyperparameters = "".join(f"| `{name}` | {value:g} |\n" for name, value in loss.hyperparameters.items())
    settings = "".join(f"| `{name}` | {getattr(config, name)} |\n" for name in _SHOWN)
    metrics = "".join(f"| {name} | {value:.6g} |\n" for name, value in last.items())
    reference = (config.reference_model or config.model) if loss.needs_reference else "none"
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [halotheory, {loss.name if loss.name.isidentifier() else "custom-loss"}]
---

# {config.model}, trained with {loss.name}

| | |
|---|---|
| starting model | `{config.model}` |
| reference model | `{reference}` |
| loss | `{loss.name}` ({loss.kind}) |
{hyperparameters}
## Data

`{report.data}`, {report.examples} examples an epoch ({report.tokens} tokens).

{told}

## Training

| setting | value |
|---|---|
{settings}| `processes` | {processes} |

## Last line of metrics.jsonl

| | |
|---|---|
{metrics}"""
