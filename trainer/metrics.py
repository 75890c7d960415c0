"""What is watched during training: sums over examples, and the lines of metrics.jsonl."""

import json
import sys
from collections.abc import Mapping, Sequence
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
    "completion_length",
    "desirable_share",
)
"""The means of a line of metrics.jsonl; a mean of nothing is left out."""

CLOCKED = ("seconds", "tokens_per_second", "memory_gb")
"""What differs between runs that are otherwise the same to the last bit."""

SATURATED = 0.01
"""An example is saturated when its loss has at most this share of the largest slope that the run has met."""


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
        lengths = scores.sequences.completion_lengths
        found = {"loss": _summed(losses), **_outputs(scores.tensors)}
        found["completion_length"] = _pair(losses, float(lengths.sum()), len(lengths))
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
    found["desirable_share"] = _summed(desirable.to(logps.dtype))
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
        return torch.stack([values.sum(), values.new_full((), len(values))])
    return torch.stack([torch.where(where, values, 0.0).sum(), where.sum().to(values.dtype)])


def _pair(like: Tensor, total: float, count: int) -> Tensor:
    """Return two numbers on a tensor's device, written there: a copy to a GPU would wait for it."""
    return torch.stack([like.new_full((), total), like.new_full((), count)])


def slopes(scores: Scores, examples: int) -> Tensor:
    """Return |d loss/d log pi| of each example, summed over its outputs or tokens, as the backward pass left it.

    Args:
        scores: of a microbatch, whose `policy` kept its gradient.
        examples: of the microbatch; a pair is one.

    Returns:
        (examples,), >= 0.
    """
    gradient = scores.policy.grad
    assert gradient is not None
    sizes = gradient.abs()
    return (sizes.sum(dim=1) if sizes.dim() == 2 else sizes).view(-1, examples).sum(dim=0)


def peak_memory_gb(device: torch.device) -> float:
    """Return the most memory that this process has held so far, 10^9 bytes.

    On a GPU what PyTorch has allocated there, else the process's resident memory; 0 where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


@dataclass(frozen=True, kw_only=True)
class StepTotals:
    """What a step came to, over all processes.

    Attributes:
        sums: the sum and the count of each of NAMES.
        slopes: |d loss/d log pi| of each example.
        tokens: prompt and completion tokens of the policy's sequences.
        memory_gb: the most that any process has held so far.
    """

    sums: list[list[float]]
    slopes: list[float]
    tokens: int
    memory_gb: float


@dataclass(kw_only=True)
class Window:
    """The sums since the last line, and the totals since the start; a checkpoint holds it as JSON.

    Attributes:
        sums: the sum and the count of each of NAMES since the last line.
        grad_norms: the sum and the count of the steps' gradient norms since the last line.
        saturated: how many examples were saturated since the last line, and of how many.
        pace: the tokens of the steps since the last line, and the seconds that these took.
        largest_slope: |d loss/d log pi| of the example with the largest, since the start.
        examples: since the start of the run.
        tokens: prompt and completion tokens of the policy's sequences, since the start.
        seconds: since the start, interruptions left out.
    """

    sums: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0] for _ in NAMES])
    grad_norms: list[float] = field(default_factory=lambda: [0.0, 0.0])
    saturated: list[int] = field(default_factory=lambda: [0, 0])
    pace: list[float] = field(default_factory=lambda: [0.0, 0.0])
    largest_slope: float = 0.0
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, totals: StepTotals, *, grad_norm: float, seconds: float) -> None:
        """Add a step, which took so many seconds."""
        self.sums = [_added(*both) for both in zip(self.sums, totals.sums, strict=True)]
        self.grad_norms = _added(self.grad_norms, [grad_norm, 1])
        self.pace = _added(self.pace, [totals.tokens, seconds])
        self.largest_slope = max(self.largest_slope, *totals.slopes)
        flat = sum(slope <= SATURATED * self.largest_slope for slope in totals.slopes)
        self.saturated = [self.saturated[0] + flat, self.saturated[1] + len(totals.slopes)]
        self.examples += len(totals.slopes)
        self.tokens += totals.tokens

    def line(self, *, step: int, epoch: float, learning_rate: float, memory_gb: float) -> dict[str, Any]:
        """Return a line of metrics.jsonl and begin a new window."""
        found = means(self.sums)
        line = {
            "step": step,
            "epoch": round(epoch, 6),
            "loss": found.pop("loss"),
            "learning_rate": learning_rate,
            "grad_norm": self.grad_norms[0] / self.grad_norms[1],
            "examples": self.examples,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            **found,
            "saturation": self.saturated[0] / self.saturated[1],
        }
        if self.pace[1] > 0:
            line["tokens_per_second"] = round(self.pace[0] / self.pace[1], 1)
        if memory_gb > 0:
            line["memory_gb"] = round(memory_gb, 3)
        fresh = Window()
        self.sums, self.grad_norms, self.saturated, self.pace = (
            fresh.sums,
            fresh.grad_norms,
            fresh.saturated,
            fresh.pace,
        )
        return line


def shown(line: Mapping[str, Any]) -> str:
    """Return what a person watches of a line of metrics.jsonl; what rounds to zero has no sign."""
    said = [f"loss {line['loss']:z.4f}"]
    said += [f"{word} {line[name]:z.3f}" for word, name in _WATCHED if name in line]
    if "tokens_per_second" in line:
        said.append(f"{line['tokens_per_second']:,.0f} tokens/s")
    return "  ".join(said)


_WATCHED = (("margin", "reward_margin"), ("kl", "kl"))


def means(sums: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the means that the sums and counts of NAMES give, and the reward margin."""
    found = {name: total / count for name, (total, count) in zip(NAMES, sums, strict=True) if count}
    if "reward_desirable" in found and "reward_undesirable" in found:
        found["reward_margin"] = found["reward_desirable"] - found["reward_undesirable"]
    return found


def _added(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]


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
