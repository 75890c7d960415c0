"""The record of a run: what its loop, its steps and its evaluations work with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from halotheory.contract import Loss
from trainer.batch import Sequences, Tokens
from trainer.codec import Codec
from trainer.config import AlignConfig
from trainer.held_out import HeldOut
from trainer.logps import Scorer
from trainer.loss_scale import LossScale
from trainer.order import Indices, Order, share
from trainer.reference_point import RunningMean
from trainer.tokens import TokenTable


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that a run works with.

    Attributes:
        config: the run's settings, resolved.
        loss: with the hyperparameters in force.
        table: the examples.
        held_out: those for evaluation, if any.
        codec: how they became tokens.
        order: in which they come.
        accelerator: which process this is, and how gradients are shared.
        policy: the prepared model.
        optimizer: the prepared optimizer.
        scorer: from sequences to the loss's arguments.
        draw: completions of prompts from the policy: f(prompts, seed); for the reference point `sampled` only.
        running: the reference point `running-mean` so far.
        scale: of the loss in float16.
        steps: of the whole run.
        output: the run's folder.
        fingerprint: of data and loss, for checkpoints.
    """

    config: AlignConfig
    loss: Loss
    table: TokenTable
    held_out: HeldOut | None
    codec: Codec
    order: Order
    accelerator: Accelerator
    policy: Any
    optimizer: Any
    scorer: Scorer
    draw: Callable[[tuple[Tokens, ...], list[int]], Sequences]
    running: RunningMean
    scale: LossScale
    steps: int
    output: Path
    fingerprint: str

    def share(self, microbatch: Indices) -> tuple[Indices, Indices, bool]:
        """Return this process's examples of a microbatch, beside each the one whose completion it is mismatched with.

        The third is whether they count: a process without a share is lent an example.
        """
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        examples, neighbours = share(microbatch, self.table.prompt_group, processes)[rank]
        if len(examples):
            return examples, neighbours, True
        return microbatch[:1], np.roll(microbatch, -1)[:1], False
