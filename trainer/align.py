"""A whole run: from a configuration to a model on disk."""

import hashlib
import inspect
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from halotheory.contract import Loss, load_loss
from trainer import checkpoint, metrics
from trainer.balance import balanced_weights
from trainer.batch import Sequences, matched, mismatched
from trainer.checkpoint import Position
from trainer.codec import Limits
from trainer.config import AlignConfig
from trainer.data import read_rows
from trainer.errors import TrainerError
from trainer.feedback import control_tokens, learns_from_labels
from trainer.logps import Scorer, policy_of
from trainer.loop import Training, train
from trainer.metrics import Window
from trainer.models import DTYPES, context_length, load_codec, load_model, quiet
from trainer.order import Order
from trainer.policy import Policy, pack_if_exact
from trainer.probe import sees_its_batch
from trainer.progress import say
from trainer.reference import Folder, default_folder, fingerprint, score
from trainer.run_folder import is_finished, open_folder, save_model
from trainer.schedule import make_optimizer
from trainer.tokens import DataReport, TokenTable, tokenize

DEFAULT_CONTEXT = 2048
DEFAULT_RATES = {"paired": 5e-7, "thumbs": 5e-6, "completions": 2e-5}
"""Learning rates where none is given: the KTO paper's for DPO and KTO (section 3.2), and a usual one for SFT."""


def align(config: AlignConfig, *, overwrite: bool = False) -> Path:
    """Return the folder of the aligned model, `output/model`.

    Continues an interrupted run of the same configuration; does nothing for a finished one.

    Args:
        config: the run.
        overwrite: replace a run of another configuration in the same folder.

    Raises:
        HaloTheoryError: a loss, data, a model or an output folder that cannot be used.
        KeyboardInterrupt: the run was told to stop; a checkpoint is saved first.
    """
    quiet()
    loss = load_loss(config.loss, config.hyperparameters)
    config = replace(config, learning_rate=config.learning_rate or _default_rate(loss))
    output = Path(config.output)
    accelerator = make_accelerator()
    tell = say if accelerator.is_main_process else _silent
    if is_finished(output, config, overwrite):
        tell(f"{output}: this run is finished; its model is {output / 'model'}")
        return output / "model"

    training, report = prepare(config, loss, accelerator)
    for line in report.lines():
        tell(line)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        open_folder(output, config, report, training.loss, overwrite)
    accelerator.wait_for_everyone()
    start = _start(training)
    if start.step:
        tell(f"continues from step {start.step} of {training.steps}")
    train(training, start)
    if accelerator.is_main_process:
        save_model(training, report)
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return output / "model"


def make_accelerator() -> Accelerator:
    """Return which process this is, on a GPU where there is one.

    Raises:
        TrainerError: a launcher started several processes, and no backend connects them.
    """
    accelerator = Accelerator(mixed_precision="no", cpu=not torch.accelerator.is_available())
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:
        raise TrainerError(
            f"the launcher started {started} processes and {accelerator.num_processes} are connected; "
            "set ACCELERATE_USE_CPU=true to connect them on the CPU, or start one"
        )
    return accelerator


def _default_rate(loss: Loss) -> float:
    if loss.kind == "paired":
        return DEFAULT_RATES["paired"]
    compares = learns_from_labels(loss) and not control_tokens(loss)
    return DEFAULT_RATES["thumbs" if compares else "completions"]


def _silent(text: str) -> None:
    """Say nothing: one process speaks for all."""


def prepare(config: AlignConfig, loss: Loss, accelerator: Accelerator) -> tuple[Training, DataReport]:
    """Return everything that the loop works with, and what became of the data.

    Args:
        config: with a learning rate.
        loss: of `config.loss`, with its hyperparameters.
        accelerator: which process this is.

    Raises:
        HaloTheoryError: data, a model or a setting that cannot be used.
    """
    context = context_length(config.model)
    if config.max_length and context and config.max_length > context:
        raise TrainerError(
            f"--max-length {config.max_length}: {config.model} knows {context} positions; give at most these"
        )
    codec = load_codec(config.model, config.chat_template)
    limits = Limits(
        total=config.max_length or min(DEFAULT_CONTEXT, context or DEFAULT_CONTEXT),
        prompt=config.max_prompt_length,
    )
    rows = read_rows(config.data, config.split)
    table, report = tokenize(rows, loss, codec, limits, source=config.data)
    tell = say if accelerator.is_main_process else _silent
    loss = _weighted(loss, config, report, tell)
    order = _order(table, loss, config, accelerator.num_processes, tell)
    if sees_its_batch(loss):
        tell(
            f"warning: {loss.name} makes an example's loss depend on those beside it: it is told one process's "
            f"microbatch, at most {config.micro_batch_size}, so --micro-batch-size changes what is computed"
        )

    model = load_model(config.model)
    _check_vocabulary(model, table, config.model)
    policy = Policy(model, DTYPES[config.dtype])
    reference_print = fingerprint(model, policy.dtype) if loss.needs_reference else ""
    set_seed(config.seed, device_specific=True)
    wrapped, optimizer = accelerator.prepare(policy, make_optimizer(policy, config))
    reason = pack_if_exact(policy, wrapped, _some(table), table.longest)
    if reason:
        tell(f"rows are padded: {config.model} cannot share one row among sequences: {reason}")
    steps = config.max_steps or math.ceil(config.epochs * order.steps_per_epoch)
    reference = _reference(policy, wrapped, reference_print, table, order, steps, config, loss, accelerator)
    model.train(config.dropout)
    scorer = _scorer(loss, policy, wrapped, reference, accelerator)
    training = Training(
        config=config,
        loss=loss,
        table=table,
        codec=codec,
        order=order,
        accelerator=accelerator,
        policy=wrapped,
        optimizer=optimizer,
        scorer=scorer,
        steps=steps,
        output=Path(config.output),
        fingerprint=_fingerprint(table, loss),
    )
    return training, report


def _weighted(loss: Loss, config: AlignConfig, report: DataReport, tell: Callable[[str], None]) -> Loss:
    """Return the loss with the class weights of eq. 7 where asked, and warn where they would be of use."""
    names = ("desirable_weight", "undesirable_weight")
    weighs = learns_from_labels(loss) and all(name in loss.hyperparameters for name in names)
    given = [name for name in names if name in config.hyperparameters]
    if config.balance and not weighs:
        raise TrainerError(f"--balance: {loss.name} has no hyperparameters {' and '.join(names)} to set; leave it out")
    if config.balance and given:
        raise TrainerError(
            f"--balance: sets {' and '.join(names)}, and --set gives {given[0]}; leave one of the two out"
        )
    if learns_from_labels(loss) and report.examples > 1 and not (report.desirable and report.undesirable):
        only = "desirable" if report.desirable else "undesirable"
        tell(f"warning: every label is {only}; {loss.name} is meant to learn from both")
    if not weighs or given or not report.desirable or not report.undesirable:
        return loss
    weights = balanced_weights(report.desirable, report.undesirable)
    if not weights:
        return loss
    (name, value), counts = (
        next(iter(weights.items())),
        f"{report.desirable} desirable, {report.undesirable} undesirable",
    )
    if config.balance:
        tell(f"balance: {counts}: {name}={value:g}")
        return loss.with_settings({**loss.hyperparameters, **weights})
    tell(
        f"warning: {counts}: the labels are imbalanced (KTO, eq. 7); "
        f"consider --set {name}={value:g}, which --balance sets for you"
    )
    return loss


def _order(table: TokenTable, loss: Loss, config: AlignConfig, processes: int, tell: Callable[[str], None]) -> Order:
    """Return the order of the examples.

    Raises:
        TrainerError: the reference point z0 is asked of microbatches of one example.
    """
    together = config.micro_batch_size * processes
    why = f"{loss.name} estimates its reference point from the other examples of a microbatch"
    for flag, number in (("--micro-batch-size", together), ("--batch-size", config.batch_size)):
        if loss.needs_kl and number == 1:
            raise TrainerError(f"{flag} 1: {why}; give at least 2")
    if loss.needs_kl and len(table) == 1:
        raise TrainerError(f"{table.places[0]}: the only example, and {why}; give at least 2")
    order = Order(
        prompt_group=table.prompt_group,
        batch_size=config.batch_size,
        micro_batch_size=together,
        seed=config.seed,
        mismatched=loss.needs_kl,
        scattered=config.scatter_prompts,
    )
    clashes = order.clashes(order.epoch(0)) if loss.needs_kl else 0
    if clashes:
        tell(
            f"warning: in the first epoch {clashes} of {len(table)} mismatched outputs answer the very prompt "
            "that they are put with, for too many examples share one prompt; z0 uses them all the same"
        )
    return order


def _check_vocabulary(model: Any, table: TokenTable, name: str) -> None:
    size, largest = model.get_input_embeddings().weight.shape[0], int(table.tokens.max())
    if largest >= size:
        raise TrainerError(
            f"{name}: the tokenizer gives token {largest} and the model has {size} tokens; "
            "give the model's own tokenizer, and a reference model of the same family"
        )


def _some(table: TokenTable) -> Sequences:
    """Return the beginnings of two sequences, with unlike prompts where there are any."""
    sequences = matched(table, np.array([0, len(table) - 1]))
    return Sequences(
        prompts=tuple(prompt[:24] for prompt in sequences.prompts[:2]),
        completions=tuple(completion[:8] for completion in sequences.completions[:2]),
    )


def _reference(
    policy: Policy,
    wrapped: Any,
    own_print: str,
    table: TokenTable,
    order: Order,
    steps: int,
    config: AlignConfig,
    loss: Loss,
    accelerator: Accelerator,
) -> Callable[[Sequences], Tensor]:
    """Return the log-probabilities that the run needs of its reference model, which is not kept.

    Args:
        policy: the starting model, which is the reference unless another is named.
        wrapped: the policy as it is wrapped for several processes.
        own_print: the fingerprint of the policy.
    """
    if not loss.needs_reference:
        return _no_reference
    name = own_print
    if config.reference_model is not None:
        model = load_model(config.reference_model, option="--reference-model")
        _check_vocabulary(model, table, config.reference_model)
        policy = Policy(model.requires_grad_(False), policy.dtype)
        name = fingerprint(model, policy.dtype)
        wrapped = accelerator.prepare_model(policy, evaluation_mode=True)
        pack_if_exact(policy, wrapped, _some(table), table.longest)
    by_token = loss.kind == "token"
    root = Path(config.reference_cache) if config.reference_cache else default_folder()
    kept = None if config.reference_cache == "none" else root / name / ("tokens" if by_token else "sums")
    folder = Folder(path=kept, by_token=by_token)
    return score(wrapped, policy.layout, _scored(table, order, steps, loss), folder, accelerator)


def _no_reference(sequences: Sequences) -> Tensor:
    raise AssertionError("a loss that names no reference argument asked for one")


def _scored(table: TokenTable, order: Order, steps: int, loss: Loss) -> Iterator[Sequences]:
    """Yield what the reference model is asked about in a run: examples, and mismatched ones of every step."""
    direct = any(name.startswith("reference_") for name in loss.arguments)
    seen = np.zeros(len(table), bool)
    for step in range(steps):
        for microbatch in order.step(*divmod(step, order.steps_per_epoch)):
            if direct and not seen[microbatch].all():
                seen[microbatch] = True
                yield matched(table, microbatch)
            if loss.needs_kl:
                yield mismatched(table, microbatch, np.roll(microbatch, -1))


def _scorer(
    loss: Loss,
    policy: Policy,
    wrapped: Any,
    reference: Callable[[Sequences], Tensor],
    accelerator: Accelerator,
) -> Scorer:
    def mean(values: Tensor, counts: bool) -> Tensor:
        total, count = accelerator.reduce(torch.stack([values.sum(), values.new_tensor(len(values))]) * counts)
        return total / count

    return Scorer(loss=loss, policy=policy_of(wrapped), layout=policy.layout, reference=reference, mean=mean)


def _fingerprint(table: TokenTable, loss: Loss) -> str:
    """Return a digest of what the gradient depends on and the configuration does not tell."""
    digest = hashlib.sha256()
    for values in (
        table.tokens,
        table.prompt_start,
        table.completion_start,
        table.completion_length,
        table.desirable,
    ):
        digest.update(values.tobytes())
    source = inspect.getsourcefile(inspect.unwrap(loss.function))
    assert source is not None
    digest.update(Path(source).read_bytes())  # the whole file: a loss may call its neighbours
    return digest.hexdigest()


def _start(training: Training) -> Position:
    """Return where the run begins: at its last checkpoint, which is loaded, or at the beginning."""
    accelerator, output = training.accelerator, training.output
    if accelerator.is_main_process:
        checkpoint.remove_unfinished(output / "checkpoints")
    found = checkpoint.last(output / "checkpoints")
    fresh = Position(step=0, window=Window(), fingerprint=training.fingerprint, processes=accelerator.num_processes)
    if found is not None:
        path, position = found
        checkpoint.restore(accelerator, path, position, training.fingerprint)
        if position.processes != accelerator.num_processes and accelerator.is_main_process:
            say(f"warning: {path} is of {position.processes} processes, and numbers differ with another count")
    else:
        position = fresh
    if accelerator.is_main_process:
        metrics.cut_after(output / "metrics.jsonl", position.step)
    accelerator.wait_for_everyone()
    return position
