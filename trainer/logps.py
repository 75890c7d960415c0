"""Log-probabilities of completions, and the tensors that a loss names."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor

from halotheory.contract import Loss
from trainer.batch import IGNORED, Sequences


def completion_logps(model: Any, sequences: Sequences, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return log pi(y|x) summed over the completion's tokens, stop token included, for each sequence.

    Args:
        model: a causal model of transformers, wrapped for several processes or not.
        sequences: (batch, time).
        dtype: float32, or bfloat16 for a forward pass under autocast.

    Returns:
        nats, float32, (batch,), <= 0.
    """
    return _target_logps(model, sequences, dtype).sum(dim=1)


def token_logps(model: Any, sequences: Sequences, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return log pi(y_t|x, y_<t) of the completions' tokens, stop token included; 0 after the last.

    Args:
        model: a causal model of transformers, wrapped for several processes or not.
        sequences: (batch, time).
        dtype: float32, or bfloat16 for a forward pass under autocast.

    Returns:
        nats, float32, (batch, longest completion), <= 0: a completion's first token is at 0 in every row.
    """
    logps_BT, mask = _target_logps(model, sequences, dtype), sequences.mask()  # noqa: N806 - batch, time
    first = (sequences.targets != IGNORED).int().argmax(dim=1, keepdim=True)
    at = first + torch.arange(mask.shape[1], device=mask.device)
    return logps_BT.gather(1, at.clamp(max=logps_BT.shape[1] - 1)) * mask


def _target_logps(model: Any, sequences: Sequences, dtype: torch.dtype) -> Tensor:
    """Return the log-probability of each target, 0 where there is none, (batch, time - first).

    The model projects to the vocabulary only from the first completion on. It is log softmax(logits)[token], in
    float32 whatever `dtype` the forward pass computes in.
    """
    kept = sequences.targets.shape[1] + 1
    projected = {"logits_to_keep": kept} if _can_keep(type(_unwrapped(model))) else {}
    with _autocast(sequences.input_ids.device.type, dtype):
        output = model(
            input_ids=sequences.input_ids, attention_mask=sequences.attention_mask, use_cache=False, **projected
        )
    logits_BTV = output.logits[:, -kept:-1].float()  # noqa: N806 - batch, time, vocabulary
    nll = F.cross_entropy(logits_BTV.flatten(0, 1), sequences.targets.flatten(), ignore_index=IGNORED, reduction="none")
    return -nll.view_as(sequences.targets)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a loss is told about the examples of a microbatch.

    Attributes:
        policy: log pi of every sequence, nats, with gradient, (k * batch,); of pairs the chosen come first. For a
            token-level loss log pi of every token, (batch, time).
        tensors: the arguments that the loss may name, by name.
        kl_raw: the reference point before its clamp at 0, (); None without `kl`.
        sequences: what was scored.
        counts: whether the examples enter the step (a process with none of a microbatch is lent one).
    """

    policy: Tensor
    tensors: Mapping[str, Tensor]
    kl_raw: Tensor | None
    sequences: Sequences
    counts: bool


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Computes the arguments of a loss, those that it names and no others.

    Attributes:
        loss: whose arguments.
        policy: log pi of sequences, with gradient; of their tokens for a token-level loss.
        reference: log pi_ref, alike; only called for a loss that names a reference argument.
        mean: the mean over all processes of the values that count: f(values, counting) -> ().
    """

    loss: Loss
    policy: Callable[[Sequences], Tensor]
    reference: Callable[[Sequences], Tensor]
    mean: Callable[[Tensor, bool], Tensor]

    def scores(self, own: Sequences, other: Sequences | None, desirable: Tensor, *, counts: bool = True) -> Scores:
        """Return what the loss is told.

        Args:
            own: each prompt with its own completions.
            other: each prompt with its neighbour's completion; None where the loss names no `kl`.
            desirable: bool, (batch,).
            counts: whether these examples enter the step and its means.
        """
        policy = self.policy(own)
        tensors = self._arguments(policy, own, desirable)
        kl_raw = None
        if other is not None:
            with torch.no_grad():
                kl_raw = self.mean(self.policy(other) - self.reference(other), counts)
            tensors["kl"] = kl_raw.clamp(min=0).expand(len(policy))
        return Scores(policy=policy, tensors=tensors, kl_raw=kl_raw, sequences=own, counts=counts)

    def _arguments(self, policy: Tensor, own: Sequences, desirable: Tensor) -> dict[str, Tensor]:
        reference = None
        if any(name.startswith("reference_") for name in self.loss.arguments):
            with torch.no_grad():
                reference = self.reference(own)
        if self.loss.kind == "paired":
            names = ("policy_chosen_logps", "policy_rejected_logps", "chosen_lengths", "rejected_lengths")
            tensors: dict[str, Tensor] = dict(zip(names, (*policy.chunk(2), *own.lengths.chunk(2)), strict=True))
            if reference is not None:
                tensors["reference_chosen_logps"], tensors["reference_rejected_logps"] = reference.chunk(2)
            return tensors
        if self.loss.kind == "token":
            advantages = torch.where(desirable, 1.0, -1.0).to(policy.dtype)[:, None].expand_as(policy)
            tensors = {"policy_token_logps": policy, "advantages": advantages, "mask": own.mask()}
            tensors["desirable"] = desirable
            return tensors if reference is None else {**tensors, "reference_token_logps": reference}
        tensors = {"policy_logps": policy, "desirable": desirable, "lengths": own.lengths}
        return tensors if reference is None else {**tensors, "reference_logps": reference}


def _autocast(device: str, dtype: torch.dtype) -> AbstractContextManager[Any]:
    return torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32)


def _unwrapped(model: Any) -> Any:
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model


@cache
def _can_keep(kind: type) -> bool:
    """Whether a model's forward pass takes `logits_to_keep`."""
    return "logits_to_keep" in inspect.signature(kind.forward).parameters
