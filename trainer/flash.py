"""Attention over all trees of a forest in one kernel: FlashAttention for sequences of many lengths, on a GPU."""

from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of PyTorch knows
from torch import Tensor

from trainer.autocast import dtype_of
from trainer.forest import Segments


@cache
def is_at_hand(device: torch.device, dtype: torch.dtype, heads: int, kv_heads: int, size: int) -> bool:
    """Return whether the kernel takes heads of this number and size, and finds what it should; it is tried once."""
    if device.type != "cuda" or dtype not in {torch.float16, torch.bfloat16}:
        return False
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, number, 5, size, generator=draw).to(device, dtype) for number in (heads, kv_heads, kv_heads)
    )
    try:
        with torch.no_grad():
            found = attend(query, key, value, _example(device))
            expected = _one_by_one(*_laid_out(query, key, value, _example(device)), _example(device), None)
    except Exception:  # an older PyTorch or GPU, or a size that the kernel does not take
        return False
    return torch.allclose(found[0].float(), expected.float(), rtol=0.05, atol=0.05)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    *,
    lent: tuple[Tensor, Tensor] | None = None,
    scale: float | None = None,
) -> Tensor:
    """Return causal attention within each segment.

    Args:
        query: (1, heads, row, size); key and value alike, with as many heads or fewer.
        segments: of the row.
        lent: keys and values of another row, which borrowed prompts are in, as key and value.
        scale: of query times key; None: 1 over the root of size.

    Returns:
        (1, row, heads, size), in the dtype of `autocast.dtype_of`.
    """
    if lent is not None and segments.keys is not None:
        key, value = torch.cat([key, lent[0]], dim=2), torch.cat([value, lent[1]], dim=2)
    return _in_one_kernel(*_laid_out(query, key, value, segments), segments, scale)[None]


def _laid_out(query: Tensor, key: Tensor, value: Tensor, segments: Segments) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values segment by segment, (tokens, heads, size)."""
    q, k, v = (states[0].transpose(0, 1).to(dtype_of(value)) for states in (query, key, value))
    if segments.keys is None:
        return q, k, v
    return q, k.index_select(0, segments.keys), v.index_select(0, segments.keys)


def _in_one_kernel(q: Tensor, k: Tensor, v: Tensor, segments: Segments, scale: float | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    attended = varlen_attn(
        q,
        k,
        v,
        segments.query_ends,
        segments.key_ends,
        segments.longest_query,
        segments.longest_key,
        scale=scale,
        window_size=(-1, 0),  # causal
        enable_gqa=q.shape[1] != k.shape[1],
    )
    assert isinstance(attended, Tensor)  # no tuple, which it returns when asked for more
    return attended


def _one_by_one(q: Tensor, k: Tensor, v: Tensor, segments: Segments, scale: float | None) -> Tensor:
    """Return the same in plain PyTorch; what the kernel is held against."""
    counts = [ends.diff().tolist() for ends in (segments.query_ends, segments.key_ends, segments.key_ends)]
    attended = []
    for parts in zip(*(states.split(count) for states, count in zip((q, k, v), counts, strict=True)), strict=True):
        query, key, value = (part.transpose(0, 1)[None] for part in parts)
        seen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=q.device)
        seen = seen.tril(key.shape[2] - query.shape[2])  # the last query sees all keys
        grouped = query.shape[1] != key.shape[1]
        part = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale, enable_gqa=grouped)
        attended.append(part[0].transpose(0, 1))
    return torch.cat(attended)


def _example(device: torch.device) -> Segments:
    """Return a prompt of two tokens with branches of two and one."""
    return Segments(
        keys=torch.tensor([0, 1, 2, 3, 0, 1, 4], device=device),
        query_ends=torch.tensor([0, 4, 5], dtype=torch.int32, device=device),
        key_ends=torch.tensor([0, 4, 7], dtype=torch.int32, device=device),
        longest_query=4,
        longest_key=4,
    )
