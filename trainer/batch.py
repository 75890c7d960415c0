"""From examples to padded tensors: sequences of prompt and completion, padded on the right."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.tokens import Ints, TokenTable

IGNORED = -100
"""The target of a position that is not scored."""


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Prompts with completions, ready for a causal model.

    Attributes:
        input_ids: (batch, time), padded on the right with 0.
        attention_mask: (batch, time), 1 on tokens, 0 on padding.
        targets: (batch, time - first): from position `first` on, the token where it belongs to the completion,
            otherwise IGNORED.
        first: the least prompt length: no earlier position holds a completion's token.
        lengths: completion lengths, (batch,), float32.
        tokens: how many tokens, padding left out.
    """

    input_ids: Tensor
    attention_mask: Tensor
    targets: Tensor
    first: int
    lengths: Tensor
    tokens: int

    def mask(self) -> Tensor:
        """Return where completions have tokens, counted from their own first one: bool, (batch, longest)."""
        return torch.arange(int(self.lengths.max()), device=self.lengths.device) < self.lengths[:, None]

    def to(self, device: torch.device) -> "Sequences":
        """Return the same on a device."""
        return Sequences(
            input_ids=self.input_ids.to(device, non_blocking=True),
            attention_mask=self.attention_mask.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            first=self.first,
            lengths=self.lengths.to(device, non_blocking=True),
            tokens=self.tokens,
        )


def matched(table: TokenTable, examples: Ints) -> Sequences:
    """Return each example's prompt with its completions: all first ones (chosen), then all second (rejected)."""
    columns = table.completion_length.shape[1]
    return pad(table, np.tile(examples, columns), np.tile(examples, columns), np.repeat(range(columns), len(examples)))


def mismatched(table: TokenTable, examples: Ints, others: Ints) -> Sequences:
    """Return each example's prompt with another example's completion, for the reference point z0."""
    return pad(table, examples, others, np.zeros(len(examples), np.int64))


def pad(table: TokenTable, prompts: Ints, completions: Ints, columns: NDArray[np.integer]) -> Sequences:
    """Return prompt i followed by completion j for each (i, j) of `prompts`, `completions`.

    A prompt that is too long before another's completion loses its first tokens, BOS excepted.
    """
    completion_length = table.completion_length[completions, columns]
    whole = table.prompt_length[prompts]
    prompt_length = np.minimum(whole, table.max_length - completion_length)
    length = prompt_length + completion_length
    time = np.arange(length.max())
    cut = (whole - prompt_length)[:, None] * (time >= np.minimum(table.bos_length, prompt_length - 1)[:, None])
    in_prompt = table.prompt_start[prompts][:, None] + time + cut
    in_completion = (table.completion_start[completions, columns] - prompt_length)[:, None] + time
    is_token = time < length[:, None]
    is_completion = is_token & (time >= prompt_length[:, None])
    where = np.where(is_completion, in_completion, in_prompt)
    input_ids = np.where(is_token, table.tokens[np.where(is_token, where, 0)], 0)
    first = int(prompt_length.min())
    return Sequences(
        input_ids=torch.from_numpy(input_ids.astype(np.int64)),
        attention_mask=torch.from_numpy(is_token.astype(np.int64)),
        targets=torch.from_numpy(np.where(is_completion, input_ids, IGNORED)[:, first:].astype(np.int64)),
        first=first,
        lengths=torch.from_numpy(completion_length.astype(np.float32)),
        tokens=int(length.sum()),
    )
