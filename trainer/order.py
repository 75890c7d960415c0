"""The order of an epoch: which examples share a microbatch, and which stand side by side in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Order:
    """A deterministic order of the examples: a function of seed and epoch alone.

    A step takes `batch_size` examples, the last of an epoch what is left. A step's examples are cut into
    microbatches of nearly equal size, at most `micro_batch_size`. With `mismatched`, no microbatch has one
    example: an epoch's last example joins the step before it, and a rest of one joins the microbatch before it.

    Attributes:
        prompt_group: equal numbers for examples of one prompt, (n,).
        batch_size: examples per optimizer step.
        micro_batch_size: examples per microbatch, over all processes.
        seed: of the shuffling.
        mismatched: whether each example's neighbour (cyclically) is to answer another prompt, for z0.
        scattered: whether examples are shuffled one by one; otherwise those of one prompt come together, at most half
            a microbatch of them, so that their prompt is computed once.
    """

    prompt_group: Indices
    batch_size: int
    micro_batch_size: int
    seed: int
    mismatched: bool
    scattered: bool = False
    _latest: list[Any] = field(default_factory=lambda: [None, None], init=False, repr=False, compare=False)

    @property
    def steps_per_epoch(self) -> int:
        """How many steps an epoch has."""
        full, rest = divmod(len(self.prompt_group), self.batch_size)
        joins = self.mismatched and rest == 1
        return max(1, full + (rest > 0 and not joins))

    def epoch(self, epoch: int) -> list[list[Indices]]:
        """Return the steps of an epoch, each a list of microbatches, each the indices of its examples."""
        order = self._shuffled(np.random.default_rng([self.seed, epoch]))
        cuts = np.arange(1, self.steps_per_epoch) * self.batch_size
        steps = [self._microbatches(step) for step in np.split(order, cuts)]
        if self.mismatched and len(np.unique(self.prompt_group)) < len(order):
            every = [microbatch for step in steps for microbatch in step]
            _part_crowds(every, self.prompt_group, np.random.default_rng([self.seed, epoch, 1]))
            for microbatch in every:
                microbatch[:] = apart(microbatch, self.prompt_group)
        return steps

    def _shuffled(self, rng: np.random.Generator) -> Indices:
        """Return all examples in a random order, in which those of one prompt stand together in small pieces."""
        order = rng.permutation(len(self.prompt_group))
        if self.scattered or len(np.unique(self.prompt_group)) == len(order):
            return order
        _, group = np.unique(self.prompt_group[order], return_inverse=True)
        by_group = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[by_group], prepend=-1))
        within = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
        piece = np.cumsum(within % max(1, self.micro_batch_size // 2) == 0) - 1
        return order[by_group[np.argsort(rng.permutation(piece[-1] + 1)[piece], kind="stable")]]

    def step(self, epoch: int, at: int) -> list[Indices]:
        """Return the microbatches of one step of an epoch."""
        if self._latest[0] != epoch:
            self._latest[:] = [epoch, self.epoch(epoch)]
        return self._latest[1][at]

    def steps(self, count: int) -> Iterator[list[Indices]]:
        """Yield the microbatches of the first `count` steps, through as many epochs as they take."""
        for step in range(count):
            yield self.step(*divmod(step, self.steps_per_epoch))

    def clashes(self, steps: list[list[Indices]]) -> int:
        """Return how many examples have a neighbour that answers their own prompt."""
        groups = [self.prompt_group[microbatch] for step in steps for microbatch in step]
        return sum(int((group == np.roll(group, -1)).sum()) for group in groups)

    def _microbatches(self, step: Indices) -> list[Indices]:
        count = -(-len(step) // self.micro_batch_size)
        if self.mismatched:
            count = max(1, min(count, len(step) // 2))
        return np.array_split(step, count)


def share(microbatch: Indices, prompt_group: Indices, processes: int) -> list[tuple[Indices, Indices]]:
    """Return each process's examples of a microbatch, and beside each the one whose completion it is mismatched with.

    Completions of one prompt go to one process, as far as the shares stay equal, which computes the prompt once.
    """
    together = np.argsort(prompt_group[microbatch], kind="stable")
    neighbours = np.roll(microbatch, -1)
    return [(microbatch[at], neighbours[at]) for at in np.array_split(together, processes)]


def apart(microbatch: Indices, prompt_group: Indices) -> Indices:
    """Return the microbatch, rearranged where two cyclic neighbours answer one prompt.

    The most frequent prompt first, onto every second place: no neighbours are alike unless more than half
    of the microbatch answers one prompt.
    """
    groups = prompt_group[microbatch]
    if not (groups == np.roll(groups, -1)).any():
        return microbatch
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    grouped = microbatch[np.lexsort((inverse, -counts[inverse]))]
    places = np.r_[0 : len(microbatch) : 2, 1 : len(microbatch) : 2]
    result = np.empty_like(microbatch)
    result[places] = grouped
    return result


def _part_crowds(microbatches: list[Indices], prompt_group: Indices, rng: np.random.Generator) -> None:
    """Swap examples between microbatches, in place, until no prompt has more than half of one, where possible."""
    hopeless: set[int] = set()
    for here in microbatches:
        while (crowd := _crowd(prompt_group[here])) is not None and crowd not in hopeless:
            mine = int(np.flatnonzero(prompt_group[here] == crowd)[0])
            found = _partner(crowd, here, microbatches, prompt_group, rng)
            if found is None:
                hopeless.add(crowd)
            else:
                there, theirs = found
                here[mine], there[theirs] = there[theirs], here[mine]


def _crowd(groups: Indices) -> int | None:
    """Return the prompt that more than half of a microbatch answers, if there is one."""
    values, counts = np.unique(groups, return_counts=True)
    most = counts.argmax()
    return int(values[most]) if counts[most] > len(groups) // 2 else None


def _partner(
    crowd: int, here: Indices, microbatches: list[Indices], prompt_group: Indices, rng: np.random.Generator
) -> tuple[Indices, int] | None:
    """Return a microbatch and a place in it whose example can change places with one of the crowd."""
    for at in rng.permutation(len(microbatches)):
        there = microbatches[at]
        groups = prompt_group[there]
        if there is here or (groups == crowd).sum() + 1 > len(there) // 2:
            continue
        for place, group in enumerate(groups):
            if group != crowd and (prompt_group[here] == group).sum() + 1 <= len(here) // 2:
                return there, place
    return None
