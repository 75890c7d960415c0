"""How much a run has to score: the tokens of its microbatches, from its data or from assumed lengths."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch

from halotheory.contract import Loss
from trainer.batch import Sequences, matched, mismatched
from trainer.config import AlignConfig
from trainer.examples import order_of
from trainer.forest import Forest, grow
from trainer.order import Indices, share
from trainer.padded import pad
from trainer.planning.simulation import Microbatch
from trainer.policy import Layout
from trainer.progress import silent
from trainer.reference import empty, keys, tokens_at_a_time, unscored
from trainer.reference_point import NEEDS_MISMATCHED
from trainer.tokens import Places, TokenTable

MOST_STEPS = 2000
"""Steps that are looked at; of a longer run, as many, evenly spaced."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one forward pass, or several, computes.

    Attributes:
        row: tokens that go through the layers, padding included.
        scored: positions that are projected to the vocabulary.
        attended: queries times keys of attention, of one head.
    """

    row: int = 0
    scored: int = 0
    attended: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Return both together."""
        return Counts(
            row=self.row + other.row, scored=self.scored + other.scored, attended=self.attended + other.attended
        )

    def times(self, factor: float) -> "Counts":
        """Return as much, `factor` times."""
        return Counts(
            row=round(self.row * factor), scored=round(self.scored * factor), attended=round(self.attended * factor)
        )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run scores, over all processes.

    Attributes:
        steps: optimizer steps.
        examples: of an epoch.
        own: with gradient, of all steps.
        other: mismatched, without gradient, of all steps.
        reference: by the reference model, before the first step.
        reference_entries: sequences that it scores, each once; their completions' tokens.
        heaviest: the microbatch of one process that keeps the most for the backward pass.
        asked: the most that the reference model scores at a time, in the same sense; None where it is not asked.
        accumulates: whether a step has several microbatches.
        longest: tokens of the longest sequence.
    """

    steps: int
    examples: int
    own: Counts
    other: Counts
    reference: Counts
    reference_entries: tuple[int, int]
    heaviest: Microbatch
    asked: Sequences | None
    accumulates: bool
    longest: int


def work_of(
    table: TokenTable, loss: Loss, config: AlignConfig, processes: int, architecture: Any, *, packed: bool, alike: bool
) -> Work:
    """Return what a run on a table of examples scores.

    Args:
        table: the examples.
        loss: that learns from them.
        config: batches, epochs, order and reference point.
        processes: that share a microbatch.
        architecture: of the model, to tell which microbatch is the heaviest.
        packed: whether sequences share a row.
        alike: whether all examples have the same lengths: one step stands for all.

    Raises:
        TrainerError: the run would refuse its microbatches.
    """
    order = order_of(table, loss, config, processes, tell=silent)
    steps = config.max_steps or math.ceil(config.epochs * order.steps_per_epoch)
    looked_at = np.unique(np.linspace(0, steps - 1, min(steps, 1 if alike else MOST_STEPS)).astype(int))
    crosses = loss.needs_kl and config.reference_point in NEEDS_MISMATCHED
    own, other, reference = Counts(), Counts(), Counts()
    heaviest, most, accumulates, known = None, -math.inf, False, set[bytes]()
    completion_tokens, wanted = 0, list[Sequences]()
    for step in looked_at:
        microbatches = order.step(*divmod(int(step), order.steps_per_epoch))
        accumulates |= len(microbatches) > 1
        for one in _shares(table, microbatches, processes, crosses):
            layout = lay_out(one.own, packed)
            counts = count(layout)
            own += counts
            if one.other is not None:
                other += count(lay_out(one.other, packed, layout))
            if loss.needs_reference:
                asked = [one.own] if one.other is None else [one.own, one.other]
                fresh = [each for each in asked if not _all_known(each, known)]
                reference += reduce(Counts.__add__, (count(lay_out(each, packed)) for each in fresh), Counts())
                wanted += fresh if len(wanted) < MOST_STEPS else []
                completion_tokens += sum(int(each.completion_lengths.sum()) for each in fresh)
            if (kept := _kept(counts, architecture)) > most:
                heaviest, most = one, kept
    assert heaviest is not None
    scale = steps / len(looked_at)
    return Work(
        steps=steps,
        examples=len(table),
        own=own.times(scale),
        other=other.times(scale),
        reference=reference.times(scale),
        reference_entries=(round(len(known) * scale), round(completion_tokens * scale)),
        heaviest=heaviest,
        asked=_largest(wanted, loss, architecture, packed),
        accumulates=accumulates,
        longest=table.longest,
    )


def assumed(examples: int, columns: int, prompt: int, completion: int) -> TokenTable:
    """Return examples of equal lengths, each of another prompt, half of them desirable.

    Args:
        examples: how many.
        columns: completions of an example: 1, or 2 of a pair.
        prompt: tokens of a prompt.
        completion: tokens of a completion.
    """
    length = prompt + columns * completion
    starts = length * np.arange(examples)
    tokens = np.zeros((examples, length), np.int32)
    tokens[:, : min(3, prompt)] = np.arange(examples)[:, None] // np.array([10_000, 100, 1])[-min(3, prompt) :] % 100
    tokens[:, prompt::completion] = np.arange(examples)[:, None] % 100
    return TokenTable(
        tokens=tokens.reshape(-1),
        prompt_start=starts,
        prompt_length=np.full(examples, prompt),
        completion_start=starts[:, None] + prompt + completion * np.arange(columns),
        completion_length=np.full((examples, columns), completion),
        desirable=np.arange(examples) % 2 == 0,
        prompt_group=np.arange(examples),
        places=Places(f"assumed: example {at + 1}" for at in range(examples)),
        bos_length=0,
        max_length=prompt + completion,
    )


def lay_out(sequences: Sequences, packed: bool, borrowed: Layout | None = None) -> Layout:
    """Return the layout in which a policy reads sequences, without values."""
    device = torch.device("meta")
    if not packed:
        return pad(sequences, device)
    return grow(sequences, device, borrowed.prompts if isinstance(borrowed, Forest) else None)


def count(layout: Layout) -> Counts:
    """Return what a forward pass over a layout computes."""
    rows, width = layout.input_ids.shape
    if isinstance(layout, Forest):
        attended = sum(tree.length * (tree.prompt + sum(tree.branches)) for tree in layout.trees)
        return Counts(row=width, scored=len(layout.targets), attended=attended)
    return Counts(row=rows * width, scored=layout.targets.numel(), attended=rows * width**2)


def _shares(table: TokenTable, microbatches: list[Indices], processes: int, crosses: bool) -> Iterator[Microbatch]:
    for microbatch in microbatches:
        for examples, neighbours in share(microbatch, table.prompt_group, processes):
            if len(examples):
                other = mismatched(table, examples, neighbours) if crosses else None
                yield Microbatch(own=matched(table, examples), other=other)


def _all_known(sequences: Sequences, known: set[bytes]) -> bool:
    """Return whether all sequences have been seen; they are, from now on."""
    names = {key.tobytes() for key in keys(sequences)}
    seen = names <= known
    known |= names
    return seen


def _largest(wanted: list[Sequences], loss: Loss, architecture: Any, packed: bool) -> Sequences | None:
    """Return the batch of the reference model's that takes the most."""
    vocabulary = getattr(architecture.get_text_config(), "vocab_size", 1)
    budget = tokens_at_a_time("cuda", vocabulary, packed=packed)
    batches = unscored(wanted, empty(loss.kind == "token"), budget, packed=packed)
    return max(batches, key=lambda one: _kept(count(lay_out(one, packed)), architecture), default=None)


def _kept(counts: Counts, architecture: Any) -> float:
    """Return roughly what a pass keeps, to rank microbatches by; no figure is made of it."""
    text = architecture.get_text_config()
    hidden, layers = getattr(text, "hidden_size", 1), getattr(text, "num_hidden_layers", 1)
    inner = getattr(text, "intermediate_size", None) or 4 * hidden
    return counts.row * layers * (6 * hidden + 2 * inner) + counts.scored * getattr(text, "vocab_size", 1)
