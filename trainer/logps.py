"""The tensors that a loss names, from the log-probabilities of policy and reference."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from halotheory.contract import Loss
from trainer.attention import Memory
from trainer.batch import Sequences
from trainer.on_device import on_device
from trainer.policy import Layout


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
        policy: log pi of the tokens of a layout, with gradient, (len, longest).
        layout: of sequences, which may borrow the prompts of another layout.
        reference: log pi_ref of sequences, (len,), of their tokens for a token-level loss; only called for a loss that
            names a reference argument.
        mean: the mean over all processes of the values that count: f(values, 1 or 0 for each) -> ().
        device: where the policy is.
        arithmetic: the context of the policy's forward passes, which they enter themselves, too.
    """

    loss: Loss
    policy: Callable[[Layout, Memory | None], Tensor]
    layout: Callable[[Sequences, Layout | None], Layout]
    reference: Callable[[Sequences], Tensor]
    mean: Callable[[Tensor, Tensor], Tensor]
    device: torch.device
    arithmetic: Callable[[], AbstractContextManager[Any]] = nullcontext

    def scores(
        self,
        own: Sequences,
        other: Sequences | None,
        desirable: Tensor,
        *,
        counts: bool = True,
        kl_raw: Tensor | None = None,
    ) -> Scores:
        """Return what the loss is told.

        The mismatched completions follow prompts whose keys and values the first pass has left in a memory.

        Args:
            own: each prompt with its own completions.
            other: each prompt with its neighbour's completion, for z0; None where z0 is told, or is the mean of the
                examples' own log-ratios, or where the loss names no `kl`.
            desirable: bool, (batch,).
            counts: whether these examples enter the step and its means.
            kl_raw: z0 before its clamp, where it is known, ().
        """
        with self.arithmetic():  # around both passes: what autocast casts, it casts once
            return self._scores(own, other, desirable, counts, kl_raw)

    def _scores(
        self, own: Sequences, other: Sequences | None, desirable: Tensor, counts: bool, kl_raw: Tensor | None
    ) -> Scores:
        layout, memory = self.layout(own, None), None if other is None else Memory()
        tokens = self.policy(layout, memory)
        policy = tokens if self.loss.kind == "token" else tokens.sum(dim=1)
        tensors = self._arguments(policy, own, desirable)
        if not self.loss.needs_kl:
            return Scores(policy=policy, tensors=tensors, kl_raw=None, sequences=own, counts=counts)
        if kl_raw is None:
            with torch.no_grad():
                if other is not None and memory is not None:
                    memory.open = False
                    ratios = self.policy(self.layout(other, layout), memory).sum(dim=1) - self._reference(other)
                    memory.clear()
                else:
                    ratios = policy - self._reference(own)
                kl_raw = self.mean(ratios, torch.full_like(ratios, counts))
        tensors["kl"] = kl_raw.clamp(min=0).expand(len(policy))
        return Scores(policy=policy, tensors=tensors, kl_raw=kl_raw, sequences=own, counts=counts)

    def ratios(self, sequences: Sequences) -> Tensor:
        """Return log pi/pi_ref of sequences, nats, without gradient, (len,)."""
        with torch.no_grad():
            return self.policy(self.layout(sequences, None), None).sum(dim=1) - self._reference(sequences)

    def _reference(self, sequences: Sequences) -> Tensor:
        return on_device(self.reference(sequences), self.device)

    def _arguments(self, policy: Tensor, own: Sequences, desirable: Tensor) -> dict[str, Tensor]:
        reference, lengths = None, own.lengths(policy.device)
        if any(name.startswith("reference_") for name in self.loss.arguments):
            reference = self._reference(own)
        if self.loss.kind == "paired":
            names = ("policy_chosen_logps", "policy_rejected_logps", "chosen_lengths", "rejected_lengths")
            tensors: dict[str, Tensor] = dict(zip(names, (*policy.chunk(2), *lengths.chunk(2)), strict=True))
            if reference is not None:
                tensors["reference_chosen_logps"], tensors["reference_rejected_logps"] = reference.chunk(2)
            return tensors
        if self.loss.kind == "token":
            advantages = torch.where(desirable, 1.0, -1.0).to(policy.dtype)[:, None].expand_as(policy)
            tensors = {"policy_token_logps": policy, "advantages": advantages, "mask": own.mask(policy.device)}
            tensors["desirable"] = desirable
            return tensors if reference is None else {**tensors, "reference_token_logps": reference}
        tensors = {"policy_logps": policy, "desirable": desirable, "lengths": lengths}
        return tensors if reference is None else {**tensors, "reference_logps": reference}


def policy_of(model: Callable[..., Any]) -> Callable[[Layout, Memory | None], Tensor]:
    """Return a module's forward pass as a scorer calls it: without a memory where there is none."""
    return lambda layout, memory: model(layout) if memory is None else model(layout, memory)
