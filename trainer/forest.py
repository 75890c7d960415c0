"""Sequences without padding and with every prompt once: a forest of trees, laid end to end in one row.

A tree is a prompt with the completions that follow it as branches. A branch sees the prompt and itself; two branches
do not see each other. What the model computes for a token is what it would compute in that token's own sequence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.batch import Sequences, Tokens
from trainer.on_device import on_device

APART = 384
"""Tokens of a tree from which on its stem is attended to apart, as a causal sequence: half of a long mask is empty."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One prompt and its branches, as lengths in tokens.

    Attributes:
        prompt: of the prompt, >= 1.
        branches: of the completions in the order of the row, without their last tokens, which predict nothing.
        borrowed: where another forest's row holds the prompt, or None.
    """

    prompt: int
    branches: tuple[int, ...]
    borrowed: int | None = None

    @property
    def length(self) -> int:
        """How many tokens of the row are this tree's."""
        return sum(self.branches) + (self.prompt if self.borrowed is None else 0)

    @property
    def stem(self) -> int:
        """How many of these stand as in a sequence of their own: prompt and first branch of a long tree."""
        return self.prompt + self.branches[0] if self.borrowed is None and self.length >= APART else 0

    @property
    def others(self) -> tuple[int, ...]:
        """The branches behind the stem."""
        return self.branches[1:] if self.stem else self.branches


@dataclass(frozen=True, kw_only=True)
class Segments:
    """A forest as causal sequences: a prompt with its first branch, and every other branch behind its prompt again.

    Queries stand as in the row. The last query of a segment sees all of its keys, the one before it all but one.

    Attributes:
        keys: of each key, its place in the row; the lending forest's row goes on behind this row's end, (keys,).
            None: as in the row.
        query_ends: where each segment's queries begin and end, int32, (segments + 1,); the keys' alike.
        longest_query: of a segment, in tokens; the longest of keys alike.
    """

    keys: Tensor | None
    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Sequences as one row.

    A completion's token is predicted by the hidden state before it: the prompt's last one for the first token.

    Attributes:
        input_ids: (1, row).
        positions: of each token in its own sequence, (1, row).
        trees: in the order of the row.
        sources: of each scored token, the place in the row of the hidden state that predicts it; the lending
            forest's row goes on behind this row's end, (scored,).
        targets: the scored tokens, (scored,).
        sequence: which sequence each belongs to, (scored,).
        offset: where in its completion each stands, (scored,).
        shape: (sequences, longest completion).
        prompts: where each prompt begins in the row, by its tokens.
    """

    input_ids: Tensor
    positions: Tensor
    trees: tuple[Tree, ...]
    sources: Tensor
    targets: Tensor
    sequence: Tensor
    offset: Tensor
    shape: tuple[int, int]
    prompts: Mapping[bytes, int]
    _masks: dict[tuple[int, torch.dtype], Tensor] = field(default_factory=dict, repr=False, compare=False)

    def mask(self, at: int, dtype: torch.dtype) -> Tensor:
        """Return what is added to the scores of a tree's tokens behind its stem, 0 or -inf.

        Args:
            at: which tree.
            dtype: of the scores.

        Returns:
            (tokens of the row behind the stem, prompt and branches behind the stem).
        """
        if (at, dtype) not in self._masks:
            unseen = on_device(~_seen(self.trees[at]), self.input_ids.device)
            mask = torch.zeros(unseen.shape, dtype=dtype, device=unseen.device)
            self._masks[at, dtype] = mask.masked_fill_(unseen, float("-inf"))
        return self._masks[at, dtype]

    @cached_property
    def segments(self) -> Segments:
        """The row as causal sequences."""
        keys, queries, at, row = [], [], 0, self.input_ids.shape[1]
        for tree in self.trees:
            prompt = np.arange(tree.prompt) + (at if tree.borrowed is None else row + tree.borrowed)
            stem = [tree.prompt + tree.branches[0]] if tree.borrowed is None else []
            for length in (*stem, *tree.branches[len(stem) :]):
                if length:
                    own = np.arange(at, at + length)
                    keys.append(own if stem and own[0] == prompt[0] else np.concatenate([prompt, own]))
                    queries.append(length)
                at += length
        device, places = self.input_ids.device, np.concatenate(keys)
        as_in_row = len(places) == row and bool((places == np.arange(row)).all())

        def ends(lengths: list[int]) -> Tensor:
            return on_device(np.cumsum([0, *lengths], dtype=np.int32), device)

        return Segments(
            keys=None if as_in_row else on_device(places, device),
            query_ends=ends(queries),
            key_ends=ends(list(map(len, keys))),
            longest_query=max(queries),
            longest_key=max(map(len, keys)),
        )

    def by_completion(self, values: Tensor) -> Tensor:
        """Return values of the scored tokens, (scored,), as (sequences, longest completion), 0 behind each."""
        return values.new_zeros(self.shape).index_put((self.sequence, self.offset), values)


def grow(sequences: Sequences, device: torch.device, borrowed: Mapping[bytes, int] | None = None) -> Forest:
    """Return sequences as a forest on a device.

    Args:
        sequences: those with one prompt become one tree.
        device: of the tensors.
        borrowed: the prompts of another forest, whose keys and values will be at hand: such a prompt is not in the row.
    """
    borrowed = borrowed or {}
    by_prompt: dict[bytes, list[int]] = {}
    for at, prompt in enumerate(sequences.prompts):
        by_prompt.setdefault(prompt.tobytes(), []).append(at)

    # a row of no tokens at all, which no model takes, would be left of borrowed prompts and one-token completions
    least = int(all(len(answer) == 1 for answer in sequences.completions) and by_prompt.keys() <= borrowed.keys())

    row: list[Tokens] = []
    positions, sources, sequence, offset = [], [], [], []
    trees, starts, end = [], {}, 0
    for key, members in by_prompt.items():
        prompt, answers = sequences.prompts[members[0]], [sequences.completions[at] for at in members]
        length, elsewhere = len(prompt), borrowed.get(key)
        if elsewhere is None:
            starts[key] = end
            row.append(prompt)
            positions.append(np.arange(length))
            end += length
        last = end - 1 if elsewhere is None else -1 - (elsewhere + length - 1)  # below 0 until the row's end is known
        branches = [answer[: max(len(answer) - 1, least)] for answer in answers]
        trees.append(Tree(prompt=length, branches=tuple(map(len, branches)), borrowed=elsewhere))
        for at, answer, branch in zip(members, answers, branches, strict=True):
            row.append(branch)
            positions.append(length + np.arange(len(branch)))
            sources.append(np.concatenate([[last], end + np.arange(len(answer) - 1)]))
            sequence.append(np.full(len(answer), at))
            offset.append(np.arange(len(answer)))
            end += len(branch)

    def put(parts: list[np.ndarray]) -> Tensor:
        return on_device(np.concatenate(parts).astype(np.int64), device)

    source = np.concatenate(sources)
    targets = [sequences.completions[at] for members in by_prompt.values() for at in members]
    return Forest(
        input_ids=put(row)[None],
        positions=put(positions)[None],
        trees=tuple(trees),
        sources=put([np.where(source < 0, end - 1 - source, source)]),
        targets=put(targets),
        sequence=put(sequence),
        offset=put(offset),
        shape=(len(sequences), int(sequences.completion_lengths.max())),
        prompts=starts,
    )


def _seen(tree: Tree) -> NDArray[np.bool_]:
    """Return which keys (the prompt, then the branches behind the stem) each token of the row behind it may see."""
    lengths = (tree.prompt, *tree.others)
    part = np.repeat(np.arange(len(lengths)), lengths)  # 0: the prompt; k: the k-th of these branches
    at = np.arange(len(part))
    seen = ((part == part[:, None]) | (part == 0)) & (at <= at[:, None])
    return seen[len(part) - (tree.length - tree.stem) :]
