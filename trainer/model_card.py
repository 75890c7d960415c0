"""The README of a trained model: what it was made from, how, how far it came, and how to make it again."""

import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from halotheory import __version__
from halotheory.contract import Loss
from trainer.config import AlignConfig
from trainer.tokens import DataReport

_MARKUP = re.compile(r"[\\`*\[\]<>|&~]|(?<![^\W_])_|_(?![^\W_])")
"""What begins something in Markdown or HTML; an underscore only at the edge of a word."""

_TOLD_ELSEWHERE = ("model", "data", "output", "loss", "hyperparameters", "tracker", "reference_cache")


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a model was made by.

    Attributes:
        config: the run's settings.
        loss: with the hyperparameters in force.
        report: what became of the data.
        held_out: what became of the data for evaluation, if any.
        last: the last line of metrics.jsonl.
        evaluation: the last line of eval.jsonl, if any.
        processes: that took part.
        base: the model that it is an adapter of, if it is one.
    """

    config: AlignConfig
    loss: Loss
    report: DataReport
    held_out: DataReport | None
    last: Mapping[str, Any]
    evaluation: Mapping[str, Any] | None
    processes: int
    base: str | None = None


def model_card(made: Made, verdict: Sequence[str]) -> str:
    """Return the model card, Markdown with the hub's front matter.

    Args:
        made: what the model was made by.
        verdict: what halotheory says of the loss, as lines of Markdown.
    """
    config, loss = made.config, made.loss
    reference = (config.reference_model or config.model) if loss.needs_reference else "none"
    hyperparameters = "".join(f"| `{name}` | {value:g} |\n" for name, value in loss.hyperparameters.items())
    settings = "".join(
        f"| `{one.name}` | {plain(value)} |\n"
        for one in fields(config)
        if one.name not in _TOLD_ELSEWHERE and (value := getattr(config, one.name)) is not None
    )
    said = list(verdict)
    if loss.needs_kl:
        said.append(f"in this run z0 is the estimate `{config.reference_point}`, over a {config.reference_point_over}")
    return f"""---
{_front_matter(made)}---

# {plain(config.model)}, trained with {plain(loss.name)}

| | |
|---|---|
| starting model | {plain(config.model)} |
| reference model | {plain(reference)} |
| loss | {plain(loss.name)} ({loss.kind}) |
{hyperparameters}
## The loss

{_listed(said)}

What the words mean is in halotheory's documentation; `halotheory check` shows the proof or the counterexample.

## Data

{_data(made.report)}
{_evaluation(made)}
## Training

| setting | value |
|---|---|
{settings}| `processes` | {made.processes} |

## Last line of metrics.jsonl

{_numbers(made.last)}
## The same model again

{_shell(command(made))}

Made with {_software()}.
"""


def plain(value: object) -> str:
    """Return one line of Markdown that reads as the value does, in a heading, a list or a cell of a table."""
    visible = "".join(character if character.isprintable() else " " for character in str(value))
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(visible.split()))


def command(made: Made) -> str:
    """Return the command that makes the same model, with every setting that is not the default."""
    config, launcher = made.config, "trainer"
    if made.processes > 1:
        launcher = f"torchrun --nproc-per-node {made.processes} -m trainer"
    words: list[str] = []
    for one in fields(config):
        value, flag = getattr(config, one.name), "--" + one.name.replace("_", "-")
        required = one.default is MISSING and one.default_factory is MISSING
        if one.name in ("hyperparameters", "tracker", "reference_cache"):
            continue
        if not required and one.name != "loss" and value == one.default:
            continue
        words += [flag] if value is True else [flag, str(value)]
    if not config.balance:
        words += [word for name, value in made.loss.hyperparameters.items() for word in ("--set", f"{name}={value!r}")]
    else:
        words += [word for name, value in config.hyperparameters.items() for word in ("--set", f"{name}={value!r}")]
    return f"{launcher} align {shlex.join(words)}"


def _shell(line: str) -> str:
    """Return a block of code, in a fence that no backticks in it can close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}sh\n{line}\n{fence}"


def _data(report: DataReport) -> str:
    said = [plain(line.removeprefix("data: ")) for line in report.lines()]
    return f"{plain(report.data)}, {report.examples} examples an epoch ({report.tokens} tokens).\n\n{_listed(said)}"


def _evaluation(made: Made) -> str:
    if made.held_out is None or made.evaluation is None:
        return ""
    where = "prompts held out of the data" if made.config.eval_share is not None else plain(made.held_out.data)
    return f"""
## Evaluation

{made.held_out.examples} examples ({made.held_out.tokens} tokens) of {where}, after the last step:

{_numbers(made.evaluation)}"""


def _numbers(line: Mapping[str, Any]) -> str:
    rows = (f"| {name} | {'not finite' if value is None else f'{value:.6g}'} |\n" for name, value in line.items())
    return "| | |\n|---|---|\n" + "".join(rows)


def _front_matter(made: Made) -> str:
    import yaml

    named, name = made.base is not None and not Path(made.base).is_absolute(), made.loss.name
    values = {
        "library_name": "transformers" if made.base is None else "peft",
        **({"base_model": made.base} if named else {}),  # the hub knows no folders
        "pipeline_tag": "text-generation",
        "tags": ["halotheory", name if name.isidentifier() else "custom-loss"],
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000)


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _software() -> str:
    named = [f"halotheory {__version__}", f"Python {platform.python_version()}"]
    for name in ("torch", "transformers", "accelerate", "peft"):
        try:
            named.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(named)
