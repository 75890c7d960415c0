"""Everything before the first step: data, model, optimizer, and the reference model's log-probabilities."""

import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from halotheory.contract import Loss
from trainer import adapters
from trainer.batch import Sequences
from trainer.config import AlignConfig
from trainer.engine import is_sharded, of_main_process
from trainer.examples import Examples, limits_of, read_examples
from trainer.logps import Scorer, policy_of
from trainer.loss_scale import loss_scale
from trainer.models import DTYPES, checkpoint_activations, load_codec, start_model
from trainer.new_tokens import add_control_tokens, grow_vocabulary
from trainer.policy import Policy, pack_if_exact
from trainer.progress import say, silent
from trainer.reference import fingerprint
from trainer.reference_model import ReferenceModel, beginnings, check_positions, check_vocabulary, reference_logps
from trainer.reference_point import RunningMean, draw
from trainer.schedule import make_optimizer
from trainer.tokens import DataReport, TokenTable
from trainer.training import Training


def prepare(config: AlignConfig, loss: Loss, accelerator: Accelerator) -> tuple[Training, DataReport]:
    """Return everything that the loop works with, and what became of the data.

    Args:
        config: with a learning rate.
        loss: of `config.loss`, with its hyperparameters.
        accelerator: which process this is.

    Raises:
        HaloTheoryError: data, a model or a setting that cannot be used.
    """
    tell = say if accelerator.is_main_process else silent
    limits, codec = limits_of(config), load_codec(config.model, config.chat_template)
    new = add_control_tokens(config, loss, codec)
    examples = read_examples(config, loss, codec, limits, accelerator.num_processes, tell)
    start, dtype = start_model(config), DTYPES[config.dtype]
    grow_vocabulary(start, new)
    for table in examples.tables:
        check_vocabulary(start, table, config.model)
    digest = partial(fingerprint, start, dtype, sharded=is_sharded(accelerator))
    name = of_main_process(accelerator, digest) if loss.needs_reference else ""
    is_new = config.lora_rank is not None and not adapters.is_adapted(start)
    model = adapters.adapt(start, config) if is_new else start
    policy = Policy(model, dtype)
    set_seed((config.seed + accelerator.process_index) % 2**32)
    wrapped, optimizer = accelerator.prepare(policy, make_optimizer(policy, config))
    longest = max(table.longest for table in examples.tables)
    check_positions(policy.causal_model, longest, config.model)
    reason = pack_if_exact(policy, wrapped, beginnings(examples.table), longest)
    if reason:
        tell(f"rows are padded: {config.model} cannot share one row among sequences: {reason}")
    steps = config.max_steps or math.ceil(config.epochs * examples.order.steps_per_epoch)
    starting = ReferenceModel(policy=policy, forward=wrapped, fingerprint=name)
    with adapters.adapter_off(model, when=is_new):
        reference = reference_logps(starting, examples.loss, _asked(examples, steps), config, accelerator)
    model.train(config.dropout)
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    training = Training(
        config=config,
        loss=examples.loss,
        table=examples.table,
        held_out=examples.held_out,
        codec=codec,
        order=examples.order,
        accelerator=accelerator,
        policy=wrapped,
        optimizer=optimizer,
        scorer=_scorer(examples.loss, policy, wrapped, reference, accelerator),
        draw=partial(draw, model, codec.stops, int(examples.table.completion_length.max()), limits.total),
        running=RunningMean(),
        scale=loss_scale(config, accelerator),
        steps=steps,
        output=Path(config.output),
        fingerprint=_fingerprint(examples.tables, examples.loss),
    )
    return training, examples.report


def _asked(examples: Examples, steps: int) -> list[tuple[TokenTable, Any]]:
    """Return the tables whose sequences the reference model is asked about, with the microbatches of each step."""
    held = examples.held_out
    return [(examples.table, examples.order.steps(steps)), *([(held.table, [held.microbatches])] if held else [])]


def _scorer(
    loss: Loss,
    policy: Policy,
    wrapped: Any,
    reference: Callable[[Sequences], Tensor],
    accelerator: Accelerator,
) -> Scorer:
    def mean(values: Tensor, counts: Tensor) -> Tensor:
        total, count = accelerator.reduce(torch.stack([(values * counts).sum(), counts.sum()]))
        return total / count

    return Scorer(
        loss=loss,
        policy=policy_of(wrapped),
        layout=policy.layout,
        reference=reference,
        mean=mean,
        device=accelerator.device,
        arithmetic=partial(policy.arithmetic, accelerator.device.type),
    )


def _fingerprint(tables: Sequence[TokenTable], loss: Loss) -> str:
    """Return a digest of what the gradient depends on and the configuration does not tell."""
    digest = hashlib.sha256()
    for table in tables:
        for values in (
            table.tokens,
            table.prompt_start,
            table.completion_start,
            table.completion_length,
            table.desirable,
            np.ones(1) if table.weights is None else table.weights,
        ):
            digest.update(np.ascontiguousarray(values).data)
    source = inspect.getsourcefile(inspect.unwrap(loss.function))
    assert source is not None
    digest.update(Path(source).read_bytes())  # the whole file: a loss may call its neighbours
    return digest.hexdigest()
