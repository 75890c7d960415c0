"""A whole run: from a configuration to a model on disk."""

import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from halotheory.contract import Loss, load_loss
from trainer import adapters, checkpoint, metrics
from trainer.balance import balanced_weights
from trainer.batch import Sequences
from trainer.checkpoint import Position
from trainer.codec import Limits
from trainer.config import AlignConfig
from trainer.curves import draw_curves
from trainer.data import read_rows
from trainer.engine import make_accelerator, of_main_process
from trainer.errors import TrainerError
from trainer.evaluation import evaluator
from trainer.feedback import control_tokens, learns_from_labels
from trainer.held_out import held_out, set_aside
from trainer.logps import Scorer, policy_of
from trainer.loop import train
from trainer.loss_scale import loss_scale
from trainer.metrics import Window
from trainer.models import DTYPES, checkpoint_activations, context_length, load_codec, quiet, start_model
from trainer.order import Order
from trainer.policy import Policy, pack_if_exact
from trainer.probe import sees_its_batch
from trainer.progress import say
from trainer.reference import fingerprint
from trainer.reference_model import ReferenceModel, beginnings, check_vocabulary, reference_logps
from trainer.reference_point import NEEDS_MISMATCHED, NEEDS_OTHERS, RunningMean, draw
from trainer.run_folder import is_finished, open_folder, save_model
from trainer.schedule import make_optimizer
from trainer.tokens import DataReport, TokenTable, tokenize
from trainer.training import Training
from trainer.watch import check_installed, trackers

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
    check_installed(config.tracker)
    loss = load_loss(config.loss, config.hyperparameters)
    config = replace(config, learning_rate=config.learning_rate or _default_rate(loss))
    output = Path(config.output)
    accelerator = make_accelerator(config.dtype, quantized=config.quantize != "none")
    tell = say if accelerator.is_main_process else _silent
    if is_finished(output, config, overwrite):
        tell(f"{output}: this run is finished; its model is {output / 'model'}")
        return output / "model"

    training, report = prepare(config, loss, accelerator)
    for line in report.lines():
        tell(line)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        held_out_report = training.held_out.report if training.held_out else None
        open_folder(output, config, report, held_out_report, training.loss, overwrite)
    accelerator.wait_for_everyone()
    start = _start(training)
    if start.step:
        tell(f"continues from step {start.step} of {training.steps}")
    names = config.tracker if accelerator.is_main_process else ()
    with trackers(names, output, config.as_dict(), start.step) as tracked:
        evaluate = evaluator(training, partial(tracked.log, prefix="eval/"))
        train(training, start, evaluate=evaluate, log=partial(tracked.log, prefix="train/"))
        save_model(training, report)
        if accelerator.is_main_process:
            _draw(output)
        accelerator.wait_for_everyone()
    accelerator.free_memory()
    return output / "model"


def _draw(output: Path) -> None:
    try:
        draw_curves([output], output / "curves.html")
    except Exception as error:  # the model is saved: no picture is worth a failed run
        say(f"warning: {output}/curves.html was not drawn: {error}; `trainer curves {output}` tries again")


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
    every, whole = tokenize(rows, loss, codec, limits, source=config.data)
    table, report, aside = set_aside(every, whole, config, loss, codec, limits)
    tell = say if accelerator.is_main_process else _silent
    loss = _weighted(loss, config, report, tell)
    order = _order(table, loss, config, accelerator.num_processes, tell)
    held = held_out(aside, table, order, config) if aside else None
    if held:
        tell(held.line())
    if sees_its_batch(loss):
        tell(
            f"warning: {loss.name} makes an example's loss depend on those beside it: it is told one process's "
            f"microbatch, at most {config.micro_batch_size}, so --micro-batch-size changes what is computed"
        )

    start, dtype = start_model(config), DTYPES[config.dtype]
    tables = [table, held.table] if held else [table]
    for one in tables:
        check_vocabulary(start, one, config.model)
    name = of_main_process(accelerator, lambda: fingerprint(start, dtype)) if loss.needs_reference else ""
    is_new = config.lora_rank is not None and not adapters.is_adapted(start)
    model = adapters.adapt(start, config) if is_new else start
    policy = Policy(model, dtype)
    set_seed(config.seed, device_specific=True)
    wrapped, optimizer = accelerator.prepare(policy, make_optimizer(policy, config))
    reason = pack_if_exact(policy, wrapped, beginnings(table), max(one.longest for one in tables))
    if reason:
        tell(f"rows are padded: {config.model} cannot share one row among sequences: {reason}")
    steps = config.max_steps or math.ceil(config.epochs * order.steps_per_epoch)
    starting = ReferenceModel(policy=policy, forward=wrapped, fingerprint=name)
    asked = [(table, order.steps(steps)), *([(held.table, [held.microbatches])] if held else [])]
    with adapters.adapter_off(model, when=is_new):
        reference = reference_logps(starting, loss, asked, config, accelerator)
    model.train(config.dropout)
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    scorer = _scorer(loss, policy, wrapped, reference, accelerator)
    training = Training(
        config=config,
        loss=loss,
        table=table,
        held_out=held,
        codec=codec,
        order=order,
        accelerator=accelerator,
        policy=wrapped,
        optimizer=optimizer,
        scorer=scorer,
        draw=partial(draw, model, codec.stops, int(table.completion_length.max())),
        running=RunningMean(),
        scale=loss_scale(config, accelerator),
        steps=steps,
        output=Path(config.output),
        fingerprint=_fingerprint(tables, loss),
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
    together, crowded = config.micro_batch_size * processes, _needs_others(loss, config)
    why = f"{loss.name} estimates its reference point from the other examples of a microbatch"
    for flag, number in (("--micro-batch-size", together), ("--batch-size", config.batch_size)):
        if crowded and number == 1:
            raise TrainerError(f"{flag} 1: {why}; give at least 2")
    if crowded and len(table) == 1:
        raise TrainerError(f"{table.places[0]}: the only example, and {why}; give at least 2")
    order = Order(
        prompt_group=table.prompt_group,
        batch_size=config.batch_size,
        micro_batch_size=together,
        seed=config.seed,
        mismatched=crowded,
        scattered=config.scatter_prompts,
    )
    crosses = crowded and config.reference_point in NEEDS_MISMATCHED
    clashes = order.clashes(order.epoch(0)) if crosses else 0
    if clashes:
        tell(
            f"warning: in the first epoch {clashes} of {len(table)} mismatched outputs answer the very prompt "
            "that they are put with, for too many examples share one prompt; z0 uses them all the same"
        )
    return order


def _needs_others(loss: Loss, config: AlignConfig) -> bool:
    return loss.needs_kl and config.reference_point in NEEDS_OTHERS


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


def _start(training: Training) -> Position:
    """Return where the run begins: at its last checkpoint, which is loaded, or at the beginning."""
    accelerator, output = training.accelerator, training.output
    if accelerator.is_main_process:
        checkpoint.remove_unfinished(output / "checkpoints")
    found = checkpoint.last(output / "checkpoints")
    fresh = Position(step=0, window=Window(), fingerprint=training.fingerprint, processes=accelerator.num_processes)
    if found is not None:
        path, position = found
        training.running.value = position.running_mean
        checkpoint.restore(accelerator, path, position, training.fingerprint)
        if position.processes != accelerator.num_processes and accelerator.is_main_process:
            say(f"warning: {path} is of {position.processes} processes, and numbers differ with another count")
    else:
        position = fresh
    if accelerator.is_main_process:
        metrics.cut_after(output / "metrics.jsonl", position.step)
        if training.held_out is not None:  # what was measured at this very step is measured again
            metrics.cut_after(output / "eval.jsonl", position.step - 1)
    accelerator.wait_for_everyone()
    return position
