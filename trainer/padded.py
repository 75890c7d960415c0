"""One row per sequence, padded on the right: the layout that every causal model can read."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.batch import Sequences
from trainer.on_device import on_device

IGNORED = -100
"""The target of a position that is not scored."""


@dataclass(frozen=True, kw_only=True)
class Padded:
    """Sequences as a rectangle.

    Attributes:
        input_ids: (batch, time), padded on the right with 0.
        attention_mask: (batch, time), 1 on tokens, 0 on padding.
        targets: (batch, time - first): from position `first` on, the token where it belongs to the completion,
            otherwise IGNORED.
        first: the least prompt length: no earlier position holds a completion's token.
        mask: where completions have tokens, counted from their own first one, bool, (batch, longest).
    """

    input_ids: Tensor
    attention_mask: Tensor
    targets: Tensor
    first: int
    mask: Tensor


def pad(sequences: Sequences, device: torch.device) -> Padded:
    """Return sequences as a rectangle on a device."""
    prompt_length = np.array([len(prompt) for prompt in sequences.prompts])
    length, first = prompt_length + sequences.completion_lengths, int(prompt_length.min())
    time = np.arange(length.max())
    is_token = time < length[:, None]
    input_ids = np.zeros(is_token.shape, np.int64)
    input_ids[is_token] = np.concatenate([part for sequence in sequences for part in sequence])
    targets = np.where(is_token & (time >= prompt_length[:, None]), input_ids, IGNORED)[:, first:]

    return Padded(
        input_ids=on_device(input_ids, device),
        attention_mask=on_device(is_token.astype(np.int64), device),
        targets=on_device(np.ascontiguousarray(targets), device),
        first=first,
        mask=sequences.mask(device),
    )


def by_completion(values_BT: Tensor, padded: Padded) -> Tensor:  # noqa: N803 - batch, time
    """Return values of target positions moved so that each completion begins at 0: (batch, longest), 0 behind it."""
    first = (padded.targets != IGNORED).int().argmax(dim=1, keepdim=True)
    at = first + torch.arange(padded.mask.shape[1], device=values_BT.device)
    return values_BT.gather(1, at.clamp(max=values_BT.shape[1] - 1)) * padded.mask
