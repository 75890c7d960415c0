"""What two models answered to the same instructions: files read, and matched by the instruction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.alpaca.annotations import read_rows, text_of
from evalkit.alpaca.instructions import instruction_key, order_of
from evalkit.alpaca.published import HUB, hub_file
from evalkit.errors import EvalkitError

REFERENCE = "alpaca_eval_gpt4_baseline.json"


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """One model's answers.

    Attributes:
        source: the file.
        model: its name: `generator`, or the file's.
        instructions: the text of each, by key.
        texts: the answer to each, by key.
    """

    source: Path
    model: str
    instructions: Mapping[str, str]
    texts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two answers to one instruction.

    Attributes:
        key: what the instruction is matched by.
        instruction: its text.
        baseline_output: of the baseline.
        output: of the model.
    """

    key: str
    instruction: str
    baseline_output: str
    output: str


def read_outputs(path: Path | str) -> Outputs:
    """Return the answers in a file of AlpacaEval's: rows of `instruction`, `output` and `generator`.

    An annotations file serves, too, for the answers of its baseline (`output_1`); "hub" stands for those of AlpacaEval
    2's baseline, gpt4_1106_preview, on the Hugging Face hub.

    Raises:
        EvalkitError: a file that cannot be read, rows without instruction or answer, several models, or an instruction
            that occurs twice.
    """
    path = hub_file(REFERENCE) if str(path) == HUB else Path(path)
    instructions: dict[str, str] = {}
    texts: dict[str, str] = {}
    names: set[str] = set()
    for number, row in read_rows(path):
        suffix = "" if "output" in row or "output_1" not in row else "_1"
        instruction = text_of(path, number, row, "instruction")
        key = instruction_key(instruction)
        if key in texts:
            raise EvalkitError(f"{path}: row {number}: the instruction {instruction[:60]!r} occurs twice; keep one")
        instructions[key] = instruction
        texts[key] = text_of(path, number, row, f"output{suffix}")
        if row.get(f"generator{suffix}") is not None:
            names.add("".join(sign for sign in str(row[f"generator{suffix}"]) if sign.isprintable()))
    if len(names) > 1:
        raise EvalkitError(
            f"{path}: answers of {len(names)} models ({', '.join(sorted(names)[:3])}); give one file each"
        )
    return Outputs(source=path, model=names.pop() if names else path.stem, instructions=instructions, texts=texts)


def only(outputs: Outputs, keys: Collection[str]) -> Outputs:
    """Return the answers to some of the instructions."""
    return replace(
        outputs,
        instructions={key: text for key, text in outputs.instructions.items() if key in keys},
        texts={key: text for key, text in outputs.texts.items() if key in keys},
    )


def match(model: Outputs, baseline: Outputs, *, limit: int | None = None, allow_partial: bool = False) -> list[Pair]:
    """Return the pairs of answers to the same instruction, in AlpacaEval's order.

    Args:
        model: answers judged.
        baseline: answers that they are compared with.
        limit: only so many, chosen by the hash of the instruction: AlpacaEval's files are sorted by source, so their
            first rows are no fair sample.
        allow_partial: leave out what only one of the two has.

    Raises:
        EvalkitError: nothing in common, or, unless it is allowed, something that only one of the two has.
    """
    common = model.texts.keys() & baseline.texts.keys()
    only = len(model.texts) - len(common), len(baseline.texts) - len(common)
    if not common or (any(only) and not allow_partial):
        remedy = "--allow-partial judges those in both" if common else "give answers to the same instructions"
        raise EvalkitError(
            f"{model.source}, {baseline.source}: {len(common)} instructions in both, {only[0]} only in the first, "
            f"{only[1]} only in the second; {remedy}"
        )
    keys = sorted(sorted(common)[:limit], key=order_of)
    return [
        Pair(
            key=key,
            instruction=model.instructions[key],
            baseline_output=baseline.texts[key],
            output=model.texts[key],
        )
        for key in keys
    ]
