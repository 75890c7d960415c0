"""`trainer data` as a function: sources to one file of rows, and its report."""

import time
from pathlib import Path
from typing import Any

from trainer.config import DataConfig
from trainer.converting.checks import check_formats
from trainer.converting.choosing import select, split
from trainer.converting.earlier import finished, remove_stale, report_path
from trainer.converting.options import check_options
from trainer.converting.output import held_out_path, replacing, suffix_of, write
from trainer.converting.pipeline import Flow, flow
from trainer.converting.report import Report, Written
from trainer.converting.sources import Source, find
from trainer.converting.spool import Spool
from trainer.converting.steps import Step
from trainer.converting.table import Table
from trainer.errors import TrainerError
from trainer.files import as_json, check_utf8, locked, output_file, write_text, writing
from trainer.progress import say


def convert(config: DataConfig, *, overwrite: bool = False) -> dict[str, Any]:
    """Write the rows that a configuration describes, and return the report, which is also OUTPUT.report.json.

    Every source is read, converted and checked (see `pipeline.flow`); then, on all rows together and in this order:
    the mixture is drawn, equal rows are dropped, one row of each prompt is drawn, shares of the desirable and the
    undesirable rows are kept, the order is shuffled, the first rows are taken, and prompts are held out. The same
    configuration and data give the same bytes. Does nothing where the output is there already.

    Raises:
        TrainerError: data that cannot be read or converted, an output that holds something else.
    """
    suffix_of(Path(config.output))
    output = output_file(config.output)
    sources = _sources(config, output)
    configuration = {name: value for name, value in config.as_dict().items() if name != "output"}
    wanted = {"configuration": configuration, "inputs": [source.fingerprint() for source in sources]}
    stored = finished(output, config, wanted, overwrite)
    if stored:
        say(f"{output}: these rows are finished")
        return stored
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with locked(output):
        report = _write(output, config, sources, wanted)
    for line in report.lines():
        say(line)
    return report.as_dict()


def _write(output: Path, config: DataConfig, sources: list[Source], wanted: dict[str, Any]) -> Report:
    """Write the rows and the report, and return that.

    The report comes first: rows without one, as a kill leaves them between the two, would be taken for another's.
    """
    flows = [flow(one, config, output.parent, _Progress(one.name), at) for at, one in enumerate(sources)]
    check_options(config, flows)
    with Table(spool=Spool(output.parent), config=config) as table:
        for number, one in enumerate(flows):
            for row in one.rows:
                table.add(row, number)
        table.freeze()
        steps = [step for one in flows for step in one.steps]
        rows = select(table, config, [source.name for source in sources], steps)
        parts = split(table, config, rows, steps, output)
        columns = table.columns_of(flows[0].plan.to)
        with replacing(parts) as temporary:
            written = [
                table.written(path, kept, write(temporary[path], suffix_of(path), map(table.spool.line, kept), columns))
                for path, kept in parts.items()
            ]
            report = _report(wanted, flows, table, steps, written)
            remove_stale(output)
            write_text(report_path(output), as_json(report.as_dict()))
    return report


def _report(
    wanted: dict[str, Any], flows: list[Flow], table: Table, steps: list[Step], written: list[Written]
) -> Report:
    return Report(
        configuration=wanted["configuration"],
        inputs=tuple(wanted["inputs"]),
        format=flows[0].plan.to,
        conversational=table.chat is True,
        columns_left_out={
            one.source.name: names for one in flows if (names := one.columns_left_out(set(table.columns)))
        },
        steps=tuple(steps),
        written=tuple(written),
    )


class _Progress:
    """Says now and then how many rows of a source are read."""

    def __init__(self, name: str, seconds: float = 10.0) -> None:
        self._name, self._seconds, self._last = name, seconds, time.monotonic()

    def __call__(self, count: int) -> None:
        if time.monotonic() - self._last >= self._seconds:
            self._last = time.monotonic()
            say(f"data: {self._name}: {count} rows read so far")


def _sources(config: DataConfig, output: Path) -> list[Source]:
    """Return what each --data stands for.

    Raises:
        TrainerError: none is given, there is no such thing, or the output would replace it.
    """
    if not config.data:
        raise TrainerError("--data is missing; give a file or the name of a data set")
    said = check_formats(config.format, len(config.data))
    sources = [find(name, form, config.split) for name, form in zip(config.data, said, strict=True)]
    made = [output, held_out_path(output), report_path(output)]
    for path in (path for source in sources for path in source.files):
        check_utf8(str(path), "--data")
        if any(one.exists() and one.samefile(path) for one in made):
            raise TrainerError(f"--output {output}: {path} is the data; give another --output")
    return sources
