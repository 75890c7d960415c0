"""A causal model as a function from sequences to log-probabilities of their completions' tokens."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from trainer import attention
from trainer.attention import Memory, UnsupportedModelError
from trainer.batch import Sequences
from trainer.forest import Forest, grow
from trainer.head import target_logps
from trainer.lean import make_lean
from trainer.padded import IGNORED, Padded, by_completion, pad

Layout = Forest | Padded
"""Sequences as a model reads them."""


CAPPED = 2**27
"""Capped logits that are computed at a time; without gradient no more are held."""


class Policy(nn.Module):
    """A causal model of transformers, wrapped or adapted by peft or not, that returns log-probabilities.

    It is one module, head included, so that whatever wraps modules (DDP, FSDP2) wraps all that is computed.

    Attributes:
        model: the model.
        dtype: float32, or bfloat16 for a forward pass under autocast.
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, layout: Layout, memory: Memory | None = None) -> Tensor:
        """Return log pi(y_t|x, y_<t) of the completions' tokens, stop token included; 0 after the last.

        Args:
            layout: the sequences.
            memory: of the prompts that a forest borrows; while it is open, this pass writes to it.

        Returns:
            nats, float32, (sequences, longest completion), <= 0: a completion's first token is at 0 in every row.
        """
        with self.arithmetic(layout.input_ids.device.type):
            return self._forest(layout, memory) if isinstance(layout, Forest) else self._padded(layout)

    def _forest(self, forest: Forest, memory: Memory | None) -> Tensor:
        whole, head = self.causal_model, self.causal_model.get_output_embeddings()
        if type(head) is not nn.Linear:
            raise UnsupportedModelError(f"its head is a {type(head).__name__}")
        states = whole.base_model(
            input_ids=forest.input_ids, position_ids=forest.positions, use_cache=False, forest=forest, memory=memory
        ).last_hidden_state[0]
        if memory is not None and memory.open:
            memory.hidden = states.detach()
        elif memory is not None:
            assert memory.hidden is not None
            states = torch.cat([states, memory.hidden])
        hidden, softcap = states.index_select(0, forest.sources), getattr(whole.config, "final_logit_softcapping", None)
        if softcap:
            return forest.by_completion(_capped_logps(hidden, head, softcap, forest.targets))
        return forest.by_completion(target_logps(hidden, head.weight, head.bias, forest.targets))

    def _padded(self, padded: Padded) -> Tensor:
        """Project to the vocabulary from the first completion on, by the model's own forward pass."""
        kept = padded.targets.shape[1] + 1
        projected = {"logits_to_keep": kept} if _can_keep(type(self.causal_model)) else {}
        output = self.model(
            input_ids=padded.input_ids, attention_mask=padded.attention_mask, use_cache=False, **projected
        )
        logits_BTV = output.logits[:, -kept:-1].float()  # noqa: N806 - batch, time, vocabulary
        nll = F.cross_entropy(
            logits_BTV.flatten(0, 1), padded.targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        return by_completion(-nll.view_as(padded.targets), padded)

    @property
    def causal_model(self) -> Any:
        """The model with its head, below what peft put around it."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def _no_split_modules(self) -> list[str]:
        """The classes of the layers that are sharded one by one; accelerate asks for them by this name."""
        return sorted(self.causal_model._no_split_modules or ())

    def tie_weights(self) -> None:
        """Make tied weights one again; accelerate calls this after it has put weights in their place."""
        self.causal_model.tie_weights()

    def layout(self, sequences: Sequences, borrowed: Layout | None = None) -> Layout:
        """Return sequences as this model reads them.

        Args:
            sequences: to be scored.
            borrowed: a layout whose keys and values a memory will hold.
        """
        device = next(self.parameters()).device
        if not self.packs:
            return pad(sequences, device)
        return grow(sequences, device, borrowed.prompts if isinstance(borrowed, Forest) else None)

    @property
    def packs(self) -> bool:
        """Whether the model attends by trees."""
        return self.causal_model.config._attn_implementation == attention.NAME

    def arithmetic(self, device: str) -> AbstractContextManager[Any]:
        """Return the context of a forward pass; in one around several, autocast keeps its casts of weights."""
        return torch.autocast(device, dtype=self.dtype, enabled=self.dtype != torch.float32)


def _capped_logps(hidden: Tensor, head: nn.Linear, softcap: float, targets: Tensor) -> Tensor:
    """Return log softmax(softcap tanh(head(hidden) / softcap))[target] for each row, as Gemma 2 has it."""
    logps, rows = [], max(1, CAPPED // head.weight.shape[0])
    for some, wanted in zip(hidden.split(rows), targets.split(rows), strict=True):
        logits = softcap * torch.tanh(head(some) / softcap)
        logps.append(-F.cross_entropy(logits.float(), wanted, reduction="none"))
    return torch.cat(logps)


def pack_if_exact(policy: Policy, forward: Callable[..., Tensor], some: Sequences, longest: int) -> str | None:
    """Let a policy read forests if they give it the log-probabilities that padded rows do; return why not, or None.

    Recurrent layers, windows of attention and heads of their own make do with padded rows.

    Args:
        policy: which attends as it was loaded to.
        forward: the policy, as it is wrapped for several processes.
        some: two prompts and completions at least.
        longest: tokens of the longest sequence of the data.
    """
    if known := known_obstacle(policy.causal_model, longest):
        return known
    device, own = next(policy.parameters()).device, policy.causal_model.config.get_text_config()._attn_implementation
    dtypes = {policy.dtype, torch.float32 if _held_in_float32(policy) else policy.dtype}
    with torch.no_grad():
        expected = {dtype: _in(dtype, policy, lambda: _on_rows(forward, some, device)) for dtype in dtypes}
        policy.causal_model.set_attn_implementation(attention.register())
        undo = make_lean(policy.causal_model)

        def exact() -> bool:
            return all(
                _alike(_in(dtype, policy, lambda: _on_trees(forward, some, device)), rows, dtype)
                for dtype, rows in expected.items()
            )

        try:
            if not policy.packs:
                reason = "its attention cannot be replaced"
            elif exact():
                return None
            else:
                undo()
                if exact():
                    return None
                reason = "its log-probabilities differ when sequences share a row"
        except Exception as error:  # whatever a model raises at a layout that it cannot read, padded rows remain
            reason = " ".join(str(error).split())[:120] or type(error).__name__
    undo()
    policy.causal_model.set_attn_implementation(own)
    return reason


def known_obstacle(model: Any, longest: int) -> str | None:
    """Return why a model cannot read forests, where beginnings of sequences or coarse numbers would not show it.

    Args:
        model: a causal model of transformers.
        longest: tokens of the longest sequence of the data.
    """
    config = model.config.get_text_config()
    for name in ("sliding_window", "attention_chunk_size"):
        if getattr(config, name, None) and getattr(config, name) < longest:
            return f"its {name} of {getattr(config, name)} is shorter than the longest sequence of {longest} tokens"
    for name in ("logits_scaling", "logit_scale", "lm_head_multiplier"):
        if getattr(config, name, None) not in {None, 1.0}:
            return f"its {name} of {getattr(config, name)} belongs to a head of its own"
    if "position_ids" not in inspect.signature(type(model.base_model).forward).parameters:
        return "it cannot be told the positions of tokens"
    if any(isinstance(module, nn.Conv1d) for module in model.modules()):
        return "its convolutions run on from one sequence to the next"
    return None


def _held_in_float32(policy: Policy) -> bool:
    """Whether the forward pass can be tried in float32, where rounding hides less."""
    return all(weight.dtype == torch.float32 and not isinstance(weight, DTensor) for weight in policy.parameters())


def _in(dtype: torch.dtype, policy: Policy, compute: Callable[[], list[Tensor]]) -> list[Tensor]:
    own, policy.dtype = policy.dtype, dtype
    try:
        return compute()
    finally:
        policy.dtype = own


def _crossed(some: Sequences) -> Sequences:
    return Sequences(prompts=some.prompts, completions=(*some.completions[1:], some.completions[0]))


def _on_rows(forward: Callable[..., Tensor], some: Sequences, device: torch.device) -> list[Tensor]:
    """Return log-probabilities of sequences and of crossed ones, each in a row of its own."""
    return [forward(pad(sequences, device)) for sequences in (some, _crossed(some))]


def _on_trees(forward: Callable[..., Tensor], some: Sequences, device: torch.device) -> list[Tensor]:
    """Return log-probabilities of sequences and of crossed ones, whose prompts are borrowed.

    Third, how much the log-probabilities after the first completion change with its tokens, which is 0: the state of a
    recurrent or convolutional layer that runs on from tree to tree may move them by less than rounding would.
    """
    memory, forest = Memory(), grow(some, device)
    found = forward(forest, memory)
    memory.open = False
    crossed = forward(grow(_crossed(some), device, forest.prompts), memory)
    known = max(int(part.max()) for sequence in some for part in sequence)
    other = (known - some.completions[0]).astype(some.completions[0].dtype)
    changed = forward(grow(Sequences(prompts=some.prompts, completions=(other, *some.completions[1:])), device))
    return [found, crossed, changed[1:] - found[1:]]


def _alike(found: list[Tensor], expected: list[Tensor], dtype: torch.dtype) -> bool:
    """Whether trees give what rows do, and no tree sees another."""
    tolerance, leak = (1e-4, 1e-5) if dtype == torch.float32 else (0.1, 0.03)
    *values, change = found
    return bool((change.abs() <= leak).all()) and all(
        torch.allclose(*both, rtol=tolerance, atol=tolerance) for both in zip(values, expected, strict=True)
    )


@cache
def _can_keep(kind: type) -> bool:
    """Whether a model's forward pass takes `logits_to_keep`."""
    return "logits_to_keep" in inspect.signature(kind.forward).parameters
