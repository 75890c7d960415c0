"""From one source to paired or unpaired rows: which conversions it takes, and their order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from trainer.config import DataConfig
from trainer.converting import conversions, oasst, public_data
from trainer.converting.checks import COLUMNS, READ_TOO, columns_of, format_of, require, standard
from trainer.converting.selection import at_most_of_each, draws
from trainer.converting.sources import Source
from trainer.converting.spool import Spool, key_of
from trainer.converting.steps import Step, each
from trainer.data import Row
from trainer.errors import TrainerError

_SIGNALS = {"oasst": ("ranks", "thumbs", "quality"), "ultrafeedback": ("fine-grained", "overall")}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one source becomes rows of the wanted format.

    Attributes:
        read: the format of its rows.
        signal: the feedback that is read, where its rows carry several.
        first: what they are made into first: paired, unpaired or scored.
        to: what they are in the end: paired or unpaired.
        style: chat, text, or as they are.
    """

    read: str
    signal: str | None
    first: str
    to: str
    style: str | None

    @property
    def grouped(self) -> bool:
        """Whether pairs are made of a prompt's answers."""
        return self.to == "paired" and self.first != "paired"


@dataclass(kw_only=True)
class Flow:
    """The rows of one source on their way, with what is counted as they pass.

    Attributes:
        source: where they come from.
        plan: what happens to them.
        rows: paired or unpaired, once they are asked for.
        steps: in order; their counts are final when the rows are through.
        columns: of the rows read.
    """

    source: Source
    plan: Plan
    rows: Iterator[Row]
    steps: list[Step]
    columns: set[str] = field(default_factory=set)

    def columns_left_out(self, written: set[str]) -> list[str]:
        """Return the columns that were read and that neither a conversion uses nor a written row has."""
        used = {*COLUMNS[self.plan.read], *READ_TOO.get(self.plan.read, ()), *written}
        return sorted(self.columns - used)


def plan(read: str, config: DataConfig) -> Plan:
    """Return how rows of a format become what the configuration wants.

    Raises:
        TrainerError: it does not say enough, or asks for what such rows do not have.
    """
    signal, first = None, {"unpaired": "unpaired", "scored": "scored", "ultrafeedback": "scored"}.get(read, "paired")
    if read in _SIGNALS:
        usual = {"oasst": "thumbs" if config.to == "unpaired" else "ranks", "ultrafeedback": "fine-grained"}[read]
        signal = usual if config.signal == "auto" else config.signal
        if signal not in _SIGNALS[read]:
            raise TrainerError(f"--signal {signal}: {read} rows have {', '.join(_SIGNALS[read])}")
        first = "unpaired" if signal == "thumbs" else "scored"
    to = first if config.to == "auto" else config.to
    if to == "scored":
        raise TrainerError(
            f"--to is missing: {read} rows have scores; give --to paired, or --to unpaired with --threshold"
        )
    if first == "scored" and to == "unpaired" and config.threshold is None:
        raise TrainerError("--threshold is missing: scores above it become desirable, below it undesirable")
    public = read not in {"paired", "unpaired", "scored"}
    style = ("chat" if public else None) if config.style == "auto" else config.style
    return Plan(read=read, signal=signal, first=first, to=to, style=style)


def flow(source: Source, config: DataConfig, folder: Path, tell: Callable[[int], None], number: int = 0) -> Flow:
    """Return the rows of a source on their way; nothing but the first is read until they are asked for.

    Args:
        source: where they come from.
        config: what is wanted.
        folder: where rows may be put down.
        tell: called with the number of rows read so far.
        number: of the source among those of the command; it decides what is drawn.

    Raises:
        TrainerError: no rows, or rows that cannot become what is wanted.
    """
    rows = source.rows()
    head = next(rows, None)
    if head is None:
        raise TrainerError(f"{source.name}: holds no rows; expected at least one")
    chosen = plan(format_of(head, source.format), config)
    made = Flow(source=source, plan=chosen, rows=iter(()), steps=[])

    def step(operation: str) -> Step:
        made.steps.append(Step(operation=operation))
        return made.steps[-1]

    def watched() -> Iterator[Row]:
        for count, row in enumerate(chain([head], rows), start=1):
            made.columns.update(columns_of(row))
            tell(count)
            yield row

    out = _read(watched(), source, chosen, config, folder, step)
    out = each(out, lambda row: [standard(row, chosen.first)], step("leave out empty answers"))
    if chosen.style:
        out = each(out, conversions.in_style(chosen.style), step(f"write as {chosen.style}"))
    made.rows = _converted(out, chosen, config, number, folder, step)
    return made


def _read(
    rows: Iterator[Row], source: Source, plan: Plan, config: DataConfig, folder: Path, step: Callable[[str], Step]
) -> Iterator[Row]:
    """Yield paired, unpaired or scored rows, not yet checked, of whatever the source has."""
    read = step(f"read {source.name} as {plan.read}" + (f", {plan.signal}" if plan.signal else ""))
    if plan.read == "oasst":
        languages = frozenset(_commas(config.lang)) if config.lang else None
        return _trees(rows, plan.signal or "", languages, folder, read)
    convert = {
        "hh": public_data.hh,
        "shp": partial(public_data.shp, min_score_ratio=config.min_score_ratio),
        "ultrafeedback": partial(public_data.ultrafeedback, signal=plan.signal or ""),
        "ultrafeedback-binarized": public_data.ultrafeedback_binarized,
    }.get(plan.read, lambda row: [row])
    return each(rows, convert, read)


def _converted(
    rows: Iterator[Row], plan: Plan, config: DataConfig, number: int, folder: Path, step: Callable[[str], Step]
) -> Iterator[Row]:
    """Yield paired or unpaired rows of checked ones; pairs are drawn wherever there are pairs."""
    most = config.max_pairs_per_prompt
    if plan.grouped:
        kind = "scores" if plan.first == "scored" else "thumbs"
        rows = _paired(rows, config.pairs, folder, step(f"{kind} to pairs, {config.pairs}"))
    if most and (plan.grouped or plan.first == "paired"):
        rows = _at_most(rows, most, config.seed, number, folder, step(f"draw at most {most} pairs of each prompt"))
    if plan.first == "paired" and plan.to == "unpaired":
        rows = each(rows, conversions.thumbs_of_pair, step("pairs to thumbs"))
    if plan.first == "scored" and plan.to == "unpaired":
        threshold = config.threshold
        assert threshold is not None
        convert = partial(conversions.thumb_of_score, threshold=threshold)
        rows = each(rows, convert, step(f"scores to thumbs, threshold {threshold:g}"))
    return rows


def _trees(
    rows: Iterator[Row], signal: str, languages: frozenset[str] | None, folder: Path, step: Step
) -> Iterator[Row]:
    columns = COLUMNS["oasst"]
    with Spool(folder) as spool:
        for row in rows:
            for column in columns:
                require(row, column)
            kept = {name: row.values[name] for name in (*columns, *READ_TOO["oasst"]) if name in row.values}
            spool.add(Row(place=row.place, values=kept), key_of(kept["message_tree_id"]))
        for tree in spool.groups():
            yield from oasst.answers(tree, signal, languages, step)


def _paired(rows: Iterator[Row], how: str, folder: Path, step: Step) -> Iterator[Row]:
    with Spool(folder) as spool:
        for row in rows:
            spool.add(row, key_of(row.values.get("group", row.values["prompt"])))
        for group in spool.groups():
            yield from conversions.pairs_of_answers(group, how, step)


def _at_most(rows: Iterator[Row], count: int, seed: int, number: int, folder: Path, step: Step) -> Iterator[Row]:
    with Spool(folder) as spool:
        for row in rows:
            spool.add(row, key_of(row.values["prompt"]))
        drawn = draws(seed, f"pairs of source {number}", len(spool))
        kept = set(at_most_of_each(np.arange(len(spool)), spool.group_ids(), count, drawn).tolist())
        for at in range(len(spool)):
            row = spool.row(at)
            step.rows += 1
            if at in kept:
                step.made += 1
                yield row
            else:
                step.drop("another pair of its prompt was drawn", row.place)


def _commas(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
