"""Which prompts and completions are scored together, whatever layout a model reads them in."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.on_device import on_device
from trainer.tokens import Ints, TokenTable

Tokens = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Prompts with completions, in the order in which a loss is told of them.

    Attributes:
        prompts: the tokens of each sequence's prompt, at least one.
        completions: the tokens of each sequence's completion, at least one, stop token included.
    """

    prompts: tuple[Tokens, ...]
    completions: tuple[Tokens, ...]

    def __len__(self) -> int:
        return len(self.completions)

    def __iter__(self) -> Iterator[tuple[Tokens, Tokens]]:
        return zip(self.prompts, self.completions, strict=True)

    @cached_property
    def completion_lengths(self) -> Ints:
        """How many tokens each completion has, (len,)."""
        return np.array([len(completion) for completion in self.completions], np.int64)

    @property
    def tokens(self) -> int:
        """How many tokens the sequences have, each prompt counted with every completion of it."""
        return sum(map(len, self.prompts)) + int(self.completion_lengths.sum())

    def lengths(self, device: torch.device) -> Tensor:
        """Return the completions' lengths as a loss is told them, float32, (len,)."""
        return on_device(self.completion_lengths.astype(np.float32), device)

    def mask(self, device: torch.device) -> Tensor:
        """Return where completions have tokens, counted from their own first one: bool, (len, longest)."""
        at = np.arange(self.completion_lengths.max())
        return on_device(at < self.completion_lengths[:, None], device)


def matched(table: TokenTable, examples: Ints) -> Sequences:
    """Return each example's prompt with its completions: all first ones (chosen), then all second (rejected)."""
    columns = table.completion_length.shape[1]
    return _sequences(
        table, np.tile(examples, columns), np.tile(examples, columns), np.repeat(range(columns), len(examples))
    )


def mismatched(table: TokenTable, examples: Ints, others: Ints) -> Sequences:
    """Return each example's prompt with another example's completion, for the reference point z0."""
    return _sequences(table, examples, others, np.zeros(len(examples), np.int64))


def _sequences(table: TokenTable, prompts: Ints, completions: Ints, columns: NDArray[np.integer]) -> Sequences:
    """Return prompt i followed by completion j for each (i, j) of `prompts`, `completions`."""
    spans = zip(
        table.completion_start[completions, columns], table.completion_length[completions, columns], strict=True
    )
    answers = tuple(table.tokens[start : start + length] for start, length in spans)
    asked = tuple(_prompt(table, prompt, len(answer)) for prompt, answer in zip(prompts, answers, strict=True))
    return Sequences(prompts=asked, completions=answers)


def _prompt(table: TokenTable, example: int, completion_length: int) -> Tokens:
    """Return an example's prompt; one too long before another's completion loses its first tokens, BOS excepted."""
    start, whole = int(table.prompt_start[example]), int(table.prompt_length[example])
    tokens, length = table.tokens[start : start + whole], min(whole, table.max_length - completion_length)
    if length == whole:
        return tokens
    kept = min(table.bos_length, length - 1)
    return np.concatenate([tokens[:kept], tokens[whole - length + kept :]])
