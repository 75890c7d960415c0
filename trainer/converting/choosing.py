"""Which of all rows are written, in which order and to which file; each choice is counted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.config import DataConfig
from trainer.converting import selection
from trainer.converting.options import shares
from trainer.converting.output import held_out_path
from trainer.converting.selection import Ints
from trainer.converting.spool import group_ids
from trainer.converting.steps import Step
from trainer.converting.table import Table
from trainer.errors import TrainerError


@dataclass(kw_only=True)
class _Choice:
    """The rows that are left, in order, and the steps that led there."""

    table: Table
    seed: int
    steps: list[Step]
    rows: Ints

    def draw(self, purpose: str) -> selection.Draws:
        return selection.draws(self.seed, purpose, len(self.rows))

    def keep(self, operation: str, kept: Ints, reason: str) -> None:
        self.steps.append(_step(self.table, operation, self.rows, kept, reason))
        self.rows = kept


def select(table: Table, config: DataConfig, names: list[str], steps: list[Step]) -> Ints:
    """Return the numbers of the rows to write, in order; each operation is counted in `steps`.

    Raises:
        TrainerError: no row is left, or there are too few for the mixture.
    """
    left = _Choice(table=table, seed=config.seed, steps=steps, rows=np.arange(len(table.spool)))
    if config.weights or config.size:
        left.keep("draw the mixture", _mixed(table, config, names, left.draw("mixture")), "not drawn")
    if config.dedupe:
        content = group_ids(table.contents)[left.rows]
        left.keep("drop equal rows", selection.first_of_each(left.rows, content), "equal to an earlier row")
    if config.one_per_prompt:
        kept = selection.one_of_each(left.rows, table.prompt[left.rows], left.draw("one per prompt"))
        left.keep("keep one row of each prompt", kept, "another row of its prompt was drawn")
    for name, label, share in (("desirable", 1, config.keep_desirable), ("undesirable", 0, config.keep_undesirable)):
        if share is not None:
            kept = selection.share_of(left.rows, table.label[left.rows] == label, share, left.draw(f"keep {name}"))
            left.keep(f"keep {share:g} of the {name} rows", kept, f"{name}, not drawn")
    if config.shuffle:
        left.keep("shuffle", selection.shuffled(left.rows, left.draw("shuffle")), "")
    if config.limit:
        left.keep(f"take the first {config.limit} rows", left.rows[: config.limit], "beyond the limit")
    if not len(left.rows):
        raise TrainerError(_nothing_left(steps))
    return left.rows


def _mixed(table: Table, config: DataConfig, names: list[str], drawn: selection.Draws) -> Ints:
    """Return the rows of the mixture, each source's in its order.

    Raises:
        TrainerError: weights that are none, or sources with too few rows.
    """
    source = np.frombuffer(table.sources, dtype=np.int16)
    everything = np.arange(len(source))
    if not config.weights:
        size = selection.mixture([len(source)], [1.0], config.size)[0]
        return selection.sample(everything, size, drawn)
    wanted = shares(config.weights, len(names))
    members = [np.flatnonzero(source == number) for number in range(len(names))]
    sizes = selection.mixture([len(one) for one in members], wanted, config.size)
    drawn_rows = [selection.sample(one, size, drawn[one]) for one, size in zip(members, sizes, strict=True)]
    return np.concatenate(drawn_rows)


def split(table: Table, config: DataConfig, rows: Ints, steps: list[Step], output: Path) -> dict[Path, Ints]:
    """Return the rows of each file to write.

    Raises:
        TrainerError: one would be empty.
    """
    if config.held_out is None:
        return {output: rows}
    held = np.frombuffer(table.held, dtype=np.int8)[rows] == 1
    if held.all() or not held.any():
        which = "no" if not held.any() else "every"
        raise TrainerError(
            f"--held-out {config.held_out:g}: {which} prompt of the {len(rows)} rows falls into the held-out part "
            f"with --seed {config.seed}; give another seed or share"
        )
    operation = f"hold out {config.held_out:g} of the prompts"
    steps.append(_step(table, operation, rows, rows[~held], f"held out, in {held_out_path(output).name}"))
    return {output: rows[~held], held_out_path(output): rows[held]}


def _step(table: Table, operation: str, before: Ints, after: Ints, reason: str) -> Step:
    """Return the counts of a selection."""
    step = Step(operation=operation, rows=len(before), made=len(after))
    if len(after) < len(before):
        gone = before[~np.isin(before, after)]
        step.drop(reason, table.spool.place(int(gone[0])), len(gone))
    return step


def _nothing_left(steps: list[Step]) -> str:
    """Return what became of all the rows."""
    told = "; ".join(
        f"{count} dropped: {why} (the first is {first})"
        for step in steps
        for why, (count, first) in step.dropped.items()
    )
    return f"no row is left of the {steps[0].rows} that were read: {told}"
