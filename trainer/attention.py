"""Attention over a forest, registered with transformers: each tree apart, each branch blind to its siblings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor

from trainer import flash
from trainer.autocast import dtype_of
from trainer.forest import Forest, Tree

NAME = "halotheory_forest"

_UNREAD = ("s_aux", "sinks", "position_bias", "cache")
"""Arguments that change what attention computes, and that no tree can be given."""


class UnsupportedModelError(Exception):
    """The model attends in a way that trees do not reproduce."""


@dataclass(kw_only=True)
class Memory:
    """What one forward pass leaves to the next: detached keys, values and last hidden states of a forest's row.

    Attributes:
        keys: by layer, (1, heads, row, size); the values alike.
        hidden: the last hidden states, (row, width).
        open: whether a pass may still write to it.
    """

    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    hidden: Tensor | None = None
    open: bool = True

    def clear(self) -> None:
        """Let go of it all: what computes activations once more in the backward pass still holds the memory."""
        self.keys.clear()
        self.values.clear()
        self.hidden = None


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    forest: Forest | None = None,
    memory: Memory | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Return attention as transformers' models ask for it.

    Args:
        module: the layer, whose `layer_idx` names its keys in the memory.
        query: (1, heads, row, size); key and value alike, with as many heads or fewer.
        attention_mask: None: the forest tells what is seen.
        dropout: of the attention weights.
        scaling: of query times key.
        forest: what the row holds.
        memory: keys and values of borrowed prompts; written to while it is open.
        softcap: of the scores, as in Gemma 2.
        others: what else models hand to attention: a sliding window, wider than any sequence.

    Returns:
        (1, row, heads, size), and no weights.

    Raises:
        UnsupportedModelError: the model gives no forest, or asks for what trees do not reproduce.
    """
    if forest is None or any(others.get(name) is not None for name in _UNREAD):
        raise UnsupportedModelError(type(module).__name__)
    if memory is not None and memory.open:
        memory.keys[module.layer_idx], memory.values[module.layer_idx] = key.detach(), value.detach()
    heads = query.shape[1], key.shape[1], query.shape[3]
    if not dropout and softcap is None and flash.is_at_hand(query.device, dtype_of(value), *heads):
        lent = None
        if memory is not None and any(tree.borrowed is not None for tree in forest.trees):
            lent = memory.keys[module.layer_idx], memory.values[module.layer_idx]
        return flash.attend(query, key, value, forest.segments, lent=lent, scale=scaling), None
    attend = partial(_attend, scale=scaling, dropout=dropout, softcap=softcap)
    lengths = [tree.length for tree in forest.trees]
    parts = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    attended = []
    for at, (tree, states) in enumerate(zip(forest.trees, parts, strict=True)):
        if tree.stem:
            q, k, v = (part[:, :, : tree.stem] for part in states)
            attended.append(attend(q, k, v, None))
        if tree.length > tree.stem:
            q, k, v = (part[:, :, tree.stem :] for part in states)
            prompt = _prompt(tree, states, memory, module.layer_idx)
            if prompt is not None:
                k, v = torch.cat([prompt[0], k], dim=2), torch.cat([prompt[1], v], dim=2)
            attended.append(attend(q, k, v, partial(forest.mask, at)))
    return torch.cat([part.transpose(1, 2) for part in attended], dim=1), None


def _prompt(tree: Tree, states: Sequence[Tensor], memory: Memory | None, layer: int) -> tuple[Tensor, Tensor] | None:
    """Return keys and values of a tree's prompt, where its part of the row behind the stem has not got them."""
    if tree.borrowed is not None:
        assert memory is not None
        prompt = slice(tree.borrowed, tree.borrowed + tree.prompt)
        return memory.keys[layer][:, :, prompt], memory.values[layer][:, :, prompt]
    _, keys, values = states
    return (keys[:, :, : tree.prompt], values[:, :, : tree.prompt]) if tree.stem else None


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    """Return keys or values with as many heads as the query."""
    times = query.shape[1] // states.shape[1]
    return states if times == 1 else states.repeat_interleave(times, dim=1)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Callable[[torch.dtype], Tensor] | None,
    *,
    scale: float | None,
    dropout: float,
    softcap: float | None,
) -> Tensor:
    """Return attention under a mask of the scores' dtype, or causal attention where there is none."""
    key, value = _repeated(key, query), _repeated(value, query)
    if softcap is not None:
        return _capped(query, key, value, mask, scale, dropout, softcap)
    if query.device.type == "cpu" and value.dtype == torch.bfloat16:  # under autocast queries and keys may be float32
        with torch.autocast("cpu", enabled=False):  # in bfloat16 the kernel's backward pass takes thrice as long
            whole = partial(_attend, scale=scale, dropout=dropout, softcap=None)
            return whole(query.float(), key.float(), value.float(), mask).to(value.dtype)
    added = None if mask is None else mask(query.dtype)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=added, dropout_p=dropout, is_causal=mask is None, scale=scale
    )


def _capped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Callable[[torch.dtype], Tensor] | None,
    scale: float | None,
    dropout: float,
    softcap: float,
) -> Tensor:
    scores = query @ key.transpose(2, 3) * (scale if scale is not None else query.shape[-1] ** -0.5)
    scores = softcap * torch.tanh(scores / softcap)
    added = scores.new_full(scores.shape[2:], float("-inf")).triu(1) if mask is None else mask(scores.dtype)
    weights = (scores + added).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return F.dropout(weights, dropout) @ value


def register() -> str:
    """Make this attention known to transformers, and return its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
    return NAME
