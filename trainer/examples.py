"""What a run learns from: rows made into examples, weights of their classes, those held out, and their order."""

from collections.abc import Callable
from dataclasses import dataclass

from halotheory.contract import Loss
from trainer.balance import balanced_weights
from trainer.codec import Codec, Limits
from trainer.config import AlignConfig
from trainer.data import read_rows
from trainer.errors import TrainerError
from trainer.feedback import learns_from_labels
from trainer.held_out import HeldOut, held_out, set_aside
from trainer.models import context_length
from trainer.order import Order
from trainer.probe import check_inputs_stay, sees_its_batch, wrong_first_step
from trainer.reference_point import NEEDS_MISMATCHED, NEEDS_OTHERS
from trainer.tokens import DataReport, TokenTable, tokenize

DEFAULT_CONTEXT = 2048


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a run learns from.

    Attributes:
        loss: with the class weights in force.
        table: the examples.
        order: in which they come.
        held_out: those for evaluation, if any.
        report: what became of the rows.
    """

    loss: Loss
    table: TokenTable
    order: Order
    held_out: HeldOut | None
    report: DataReport

    @property
    def tables(self) -> list[TokenTable]:
        """The examples, and those held out."""
        return [self.table, self.held_out.table] if self.held_out else [self.table]


def limits_of(config: AlignConfig) -> Limits:
    """Return how long a sequence may be.

    Raises:
        TrainerError: longer than the model's context.
    """
    context = context_length(config.model)
    if config.max_length and context and config.max_length > context:
        raise TrainerError(
            f"--max-length {config.max_length}: {config.model} knows {context} positions; give at most these"
        )
    total = config.max_length or min(DEFAULT_CONTEXT, context or DEFAULT_CONTEXT)
    return Limits(total=total, prompt=config.max_prompt_length)


def read_examples(
    config: AlignConfig, loss: Loss, codec: Codec, limits: Limits, processes: int, tell: Callable[[str], None]
) -> Examples:
    """Return what a run learns from.

    Args:
        config: the run's settings.
        loss: with the hyperparameters as set.
        codec: from text to tokens.
        limits: how long a sequence may be.
        processes: that share a microbatch.
        tell: is told what the user should know.

    Raises:
        HaloTheoryError: data or a setting that cannot be used.
    """
    _try(loss, config, tell)
    every, whole = tokenize(read_rows(config.data, config.split), loss, codec, limits, source=config.data)
    table, report, aside = set_aside(every, whole, config, loss, codec, limits)
    loss = _weighted(loss, config, report, tell)
    order = order_of(table, loss, config, processes, tell)
    held = held_out(aside, table, order, config) if aside else None
    if held:
        tell(held.line())
    return Examples(loss=loss, table=table, order=order, held_out=held, report=report)


def _try(loss: Loss, config: AlignConfig, tell: Callable[[str], None]) -> None:
    """Warn of what the loss does to made-up examples."""
    check_inputs_stay(loss)
    if sees_its_batch(loss):
        tell(
            f"warning: {loss.name} makes an example's loss depend on those beside it: it is told one process's "
            f"microbatch, at most {config.micro_batch_size}, so --micro-batch-size changes what is computed"
        )
    if wrong := wrong_first_step(loss):
        settings = "".join(f", {name}={value:g}" for name, value in loss.hyperparameters.items())
        cause = "a clamp or a factor of 0" if wrong == "moves nothing" else "a wrong sign"
        tell(
            f"warning: {loss.name} {wrong} where the policy is still the reference; unless that is meant, look for "
            f"{cause}{settings}"
        )


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


def order_of(table: TokenTable, loss: Loss, config: AlignConfig, processes: int, tell: Callable[[str], None]) -> Order:
    """Return the order of the examples.

    Args:
        table: the examples.
        loss: that learns from them.
        config: batches, epochs, order and reference point.
        processes: that share a microbatch.
        tell: is told what the user should know.

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
