"""What is watched during training: sums over examples, and the lines of metrics.jsonl."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.files import write_text, writing
from trainer.logps import Scores

NAMES = (
    "loss",
    "reward_desirable",
    "reward_undesirable",
    "reward_accuracy",
    "kl",
    "kl_raw",
    "logps_desirable",
    "logps_undesirable",
    "nats_per_token",
)
"""The means of a line of metrics.jsonl; a mean of nothing is left out."""


def statistics(losses: Tensor, scores: Scores) -> Tensor:
    """Return the sum and the count behind each of NAMES, for one microbatch.

    A reward is log pi/pi_ref, nats; a pair's chosen output is desirable, its rejected one undesirable.

    Args:
        losses: one per example, (batch,).
        scores: what the loss was told.

    Returns:
        float32, (len(NAMES), 2).
    """
    with torch.no_grad():
        found = {"loss": _summed(losses), **_outputs(scores.tensors)}
        if scores.kl_raw is not None:
            found["kl"], found["kl_raw"] = (
                _summed(scores.tensors["kl"]),
                _summed(scores.kl_raw.expand(len(losses))),
            )
        if set(scores.tensors) == {"policy_logps", "desirable", "lengths"}:
            found["nats_per_token"] = torch.stack([-scores.policy.sum(), scores.tensors["lengths"].sum()])
        nothing = losses.new_zeros(2)
        return torch.stack([found.get(name, nothing) for name in NAMES]) * scores.counts


def _outputs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the sums and counts of desirable and undesirable outputs."""
    if "policy_chosen_logps" in tensors:
        chosen, rejected = tensors["policy_chosen_logps"], tensors["policy_rejected_logps"]
        found = {"logps_desirable": _summed(chosen), "logps_undesirable": _summed(rejected)}
        if "reference_chosen_logps" in tensors:
            up, down = chosen - tensors["reference_chosen_logps"], rejected - tensors["reference_rejected_logps"]
            found["reward_desirable"], found["reward_undesirable"] = _summed(up), _summed(down)
            found["reward_accuracy"] = _summed((up > down).float())
        return found
    if "policy_token_logps" in tensors:
        tensors = _over_tokens(tensors)
    logps, desirable = tensors["policy_logps"], tensors["desirable"]
    found = {"logps_desirable": _summed(logps, desirable), "logps_undesirable": _summed(logps, ~desirable)}
    if "reference_logps" in tensors:
        reward = logps - tensors["reference_logps"]
        found["reward_desirable"], found["reward_undesirable"] = (
            _summed(reward, desirable),
            _summed(reward, ~desirable),
        )
    return found


def _over_tokens(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what an unpaired loss would be told of the completions, behind which log-probabilities are 0."""
    names = [name for name in tensors if name.endswith("_token_logps")]
    summed = {name.replace("_token", ""): tensors[name].sum(dim=1) for name in names}
    return {**summed, "desirable": tensors["desirable"]}


def _summed(values: Tensor, where: Tensor | None = None) -> Tensor:
    if where is None:
        return torch.stack([values.sum(), values.new_tensor(len(values))])
    return torch.stack([torch.where(where, values, 0.0).sum(), where.sum().to(values.dtype)])


@dataclass(kw_only=True)
class Window:
    """The sums since the last line, and the totals since the start; a checkpoint holds it as JSON.

    Attributes:
        sums: the sum and the count of each of NAMES since the last line.
        grad_norms: the sum and the count of the steps' gradient norms since the last line.
        examples: since the start of the run.
        tokens: prompt and completion tokens of the policy's sequences, since the start.
        seconds: since the start, interruptions left out.
    """

    sums: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0] for _ in NAMES])
    grad_norms: list[float] = field(default_factory=lambda: [0.0, 0.0])
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, sums: list[list[float]], *, grad_norm: float, examples: int, tokens: int) -> None:
        """Add a step's sums over all processes."""
        self.sums = [[a + b for a, b in zip(old, new, strict=True)] for old, new in zip(self.sums, sums, strict=True)]
        self.grad_norms = [self.grad_norms[0] + grad_norm, self.grad_norms[1] + 1]
        self.examples += examples
        self.tokens += tokens

    def line(self, *, step: int, epoch: float, learning_rate: float) -> dict[str, Any]:
        """Return a line of metrics.jsonl and begin a new window."""
        means = {name: total / count for name, (total, count) in zip(NAMES, self.sums, strict=True) if count}
        if "reward_desirable" in means and "reward_undesirable" in means:
            means["reward_margin"] = means["reward_desirable"] - means["reward_undesirable"]
        line = {
            "step": step,
            "epoch": round(epoch, 6),
            "loss": means.pop("loss"),
            "learning_rate": learning_rate,
            "grad_norm": self.grad_norms[0] / self.grad_norms[1],
            "examples": self.examples,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            **means,
        }
        fresh = Window()
        self.sums, self.grad_norms = fresh.sums, fresh.grad_norms
        return line


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append one line to a JSONL file."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; a last line that was cut short by a kill is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def cut_after(path: Path, step: int) -> None:
    """Remove the lines of later steps than the checkpoint that a run continues from."""
    kept = [line for line in read(path) if line["step"] <= step]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
