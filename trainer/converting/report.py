"""The report of a conversion: what was read, what each step did, and what was written."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trainer.converting.steps import Step


@dataclass(frozen=True, kw_only=True)
class Written:
    """One file of rows.

    Attributes:
        file: its name, without a folder.
        rows: in it.
        desirable: of the rows; none for pairs.
        undesirable: of the rows; none for pairs.
        prompts: that are different.
        prompts_with_several_rows: of them.
        sha256: of the file.
    """

    file: str
    rows: int
    desirable: int | None
    undesirable: int | None
    prompts: int
    prompts_with_several_rows: int
    sha256: str

    def line(self) -> str:
        """Return what a person is told of the file."""
        labels = "" if self.desirable is None else f"{self.desirable} desirable, {self.undesirable} undesirable, "
        return (
            f"{self.file}: {self.rows} rows, {labels}{self.prompts} prompts, "
            f"{self.prompts_with_several_rows} of them with several rows"
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of the data; `OUTPUT.report.json` holds it. It has no times and no absolute paths of our making.

    Attributes:
        configuration: every setting but the output's name.
        inputs: each --data, with size and SHA-256 of its files.
        format: paired or unpaired.
        conversational: whether the rows are messages.
        columns_left_out: columns of the data that are in no written row, by --data.
        steps: in order, with their counts.
        written: the file, and the held-out one.
    """

    configuration: Mapping[str, Any]
    inputs: tuple[Mapping[str, Any], ...]
    format: str
    conversational: bool
    columns_left_out: Mapping[str, list[str]]
    steps: tuple[Step, ...]
    written: tuple[Written, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "configuration": dict(self.configuration),
            "inputs": list(self.inputs),
            "format": self.format,
            "conversational": self.conversational,
            "columns_left_out": dict(self.columns_left_out),
            "steps": [step.as_dict() for step in self.steps],
            "written": [asdict(one) for one in self.written],
        }

    def lines(self) -> list[str]:
        """Return the report as a person reads it."""
        said = [line for step in self.steps for line in step_lines(step)]
        said += [f"{name}: columns left out: {', '.join(names)}" for name, names in self.columns_left_out.items()]
        kind = "chat" if self.conversational else "text"
        return [f"data: {line}" for line in [*said, *(f"{one.line()} ({self.format}, {kind})" for one in self.written)]]


def step_lines(step: Step) -> list[str]:
    """Return what a person is told of one step."""
    said = [f"{step.operation}: {step.rows} in, {step.made} out"]
    return said + [f"  {count} dropped: {why}; the first is {first}" for why, (count, first) in step.dropped.items()]
