"""Examples that a run does not learn from: a file of their own, or a share of the prompts of the data."""

from dataclasses import dataclass, replace

import numpy as np

from halotheory.contract import Loss
from trainer.codec import Codec, Limits
from trainer.config import AlignConfig
from trainer.data import read_rows
from trainer.errors import TrainerError
from trainer.order import Indices, Order
from trainer.tokens import DataReport, TokenTable, tokenize


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Examples for evaluation.

    Attributes:
        table: the examples.
        report: what became of their rows.
        microbatches: in which they are evaluated, always the same.
        shared_prompts: how many of their prompts the run learns from, too; 0 where they are a share of the data.
    """

    table: TokenTable
    report: DataReport
    microbatches: list[Indices]
    shared_prompts: int

    def line(self) -> str:
        """Return how many there are, as a person reads it."""
        said = f"evaluation: {len(self.table)} examples of {len(np.unique(self.table.prompt_group))} prompts held out"
        if not self.shared_prompts:
            return said
        return f"warning: {said}, {self.shared_prompts} of which are among the prompts that the run learns from"


def set_aside(
    table: TokenTable, report: DataReport, config: AlignConfig, loss: Loss, codec: Codec, limits: Limits
) -> tuple[TokenTable, DataReport, tuple[TokenTable, DataReport] | None]:
    """Return the examples to learn from, and those to evaluate on where the configuration asks for any.

    Args:
        table: all examples of the data.
        report: what became of the data.
        config: says which are held out.
        loss: that learns.
        codec: how text becomes tokens.
        limits: how long a sequence may be.

    Raises:
        TrainerError: a file for evaluation that cannot be used, or too few prompts to hold any out.
    """
    if config.eval_data is not None:
        rows = read_rows(config.eval_data, config.eval_split)
        return table, report, tokenize(rows, loss, codec, limits, source=config.eval_data)
    if config.eval_share is None:
        return table, report, None
    chosen = _of_prompts(table, config.eval_share, config.seed)
    parts = [_part(table, np.flatnonzero(where)) for where in (~chosen, chosen)]
    reports = [_described(part, report) for part in parts]
    return parts[0], reports[0], (parts[1], reports[1])


def held_out(
    examples: tuple[TokenTable, DataReport], learned: TokenTable, order: Order, config: AlignConfig
) -> HeldOut:
    """Return examples for evaluation, in microbatches.

    Args:
        examples: with the report on them.
        learned: the examples that the run learns from.
        order: in which the run learns; microbatches are made as they are there.
        config: the run's settings.

    Raises:
        TrainerError: a single example, where that says nothing of the reference point.
    """
    table, report = examples
    if order.mismatched and len(table) == 1:
        raise TrainerError(
            f"{table.places[0]}: the only example held out, and the loss estimates its reference point from others; "
            "hold out at least 2"
        )
    whole = replace(order, prompt_group=table.prompt_group, batch_size=len(table))
    shared = 0 if config.eval_data is None else len(_prompts(table) & _prompts(learned))
    return HeldOut(table=table, report=report, microbatches=whole.step(0, 0), shared_prompts=shared)


def _of_prompts(table: TokenTable, share: float, seed: int) -> np.ndarray:
    """Return which examples have one of the prompts that are drawn, bool, (n,); at least one prompt stays."""
    prompts = np.unique(table.prompt_group)
    if len(prompts) < 2:
        raise TrainerError(f"--eval-share {share}: the data have one prompt; give other data as --eval-data FILE")
    count = min(max(1, round(share * len(prompts))), len(prompts) - 1)
    return np.isin(table.prompt_group, np.random.default_rng([seed, len(prompts)]).permutation(prompts)[:count])


def _part(table: TokenTable, at: Indices) -> TokenTable:
    return replace(
        table,
        prompt_start=table.prompt_start[at],
        prompt_length=table.prompt_length[at],
        completion_start=table.completion_start[at],
        completion_length=table.completion_length[at],
        desirable=table.desirable[at],
        weights=None if table.weights is None else table.weights[at],
        prompt_group=table.prompt_group[at],
        places=table.places.taken(at),
    )


def _described(part: TokenTable, report: DataReport) -> DataReport:
    """Return the report on the data with the counts of examples of a part of them."""
    columns = part.completion_length.shape[1]
    return replace(
        report,
        examples=len(part),
        desirable=len(part) if columns == 2 else int(part.desirable.sum()),
        undesirable=len(part) if columns == 2 else int((~part.desirable).sum()),
        tokens=int((part.prompt_length * columns).sum() + part.completion_length.sum()),
    )


def _prompts(table: TokenTable) -> set[bytes]:
    spans = zip(table.prompt_start, table.prompt_length, strict=True)
    return {table.tokens[start : start + length].tobytes() for start, length in spans}
