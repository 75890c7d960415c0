"""Completions of prompts, sampled in batches to a JSONL file."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.codec import Codec, Limits
from trainer.config import SampleConfig, differing_keys
from trainer.data import Row, check_row, format_of, read_rows
from trainer.errors import TrainerError
from trainer.files import locked, output_file, write_text, writing
from trainer.generation import Sampled, start_engine
from trainer.model_digest import model_digest
from trainer.models import context_length, load_codec, quiet
from trainer.progress import progress, say

_JUDGED = ("completion", "label", "chosen", "rejected")
"""Columns about other completions than the sampled ones, which they would mislabel."""

_SUFFIXES = {".jsonl", ".ndjson", ".json"}
"""What the names of files end in that are read as JSON lines."""


_RETOKENISED = "retokenised"
"""In the record: of how many completions of a batch training would see other tokens, by the batch's number."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Completions that are sampled together: of some rows, all of `samples` each."""

    rows: range
    samples: range

    def __len__(self) -> int:
        return len(self.rows) * len(self.samples)


def batches(rows: int, samples: int, at_most: int) -> list[Batch]:
    """Return the batches of a run: whole rows while a batch holds one, else the samples of one row in pieces."""
    size = at_most // samples
    if size:
        return [Batch(rows=range(at, min(at + size, rows)), samples=range(samples)) for at in range(0, rows, size)]
    pieces = [range(at, min(at + at_most, samples)) for at in range(0, samples, at_most)]
    return [Batch(rows=range(row, row + 1), samples=piece) for row in range(rows) for piece in pieces]


def sample(config: SampleConfig, *, overwrite: bool = False) -> Path:
    """Return the file of samples: each row of the data, K times, with `completion`, `sample` and `finished`.

    `completion` is the text before the stop token; `finished` says whether there was one. Batches follow the
    order of the rows, and each has its own seed, so that an interrupted run continues with the same samples:
    whole batches wait in FILE.partial, and FILE.run.json tells which command they are of, and of which weights.

    Raises:
        TrainerError: prompts, a model or an output file that cannot be used, or that another process writes to.
    """
    quiet()
    output = _output(config)
    rows, context = _prompts(config), context_length(config.model)
    codec = load_codec(config.model, config.chat_template)
    wanted = _record(config, rows, codec)
    if _finished(output, config, wanted, overwrite):
        say(f"{output}: these samples are finished")
        return Path(config.output)
    with locked(output):
        if not _finished(output, config, wanted, overwrite):  # by another process, meanwhile
            _write(output, config, rows, codec, context, wanted, overwrite)
    return Path(config.output)


def _write(
    output: Path,
    config: SampleConfig,
    rows: list[Row],
    codec: Codec,
    context: int | None,
    wanted: dict[str, Any],
    overwrite: bool,
) -> None:
    """Sample what is not yet in the partial file, and give that its name."""
    suffix = codec.encode([config.suffix])[0] if config.suffix else []
    prompts = _cut([[*prompt, *suffix] for prompt in codec.prompts(rows)], config, context, codec)
    generate = start_engine(config, codec)
    _begin(output, wanted, overwrite)
    partial = _partial_path(output)
    every = batches(len(rows), config.samples, config.batch_size)
    done = _done(partial, list(map(len, every)))
    if done:
        say(f"continues after batch {done} of {len(every)}")
    retokenised, completions = _retokenised(output, done), sum(map(len, every[:done]))
    with (
        progress("batch", len(every), done=done) as report,
        writing(partial),
        partial.open("a", encoding="utf-8") as file,
    ):
        for at, batch in enumerate(every[done:], start=done):
            asked = [prompts[row] for row in batch.rows for _ in batch.samples]
            sampled = generate(asked, at)
            texts = codec.tokenizer.batch_decode([ids for ids, _ in sampled], clean_up_tokenization_spaces=False)
            again = codec.encode(texts)
            changed = sum(list(ids) != new for (ids, _), new in zip(sampled, again, strict=True))
            if changed:  # written down before the batch is, for whoever continues
                retokenised[str(at)] = changed
                _write_record(output, {**wanted, _RETOKENISED: retokenised})
            file.write("".join(_lines(rows, batch, texts, sampled)))
            file.flush()
            os.fsync(file.fileno())
            completions += len(batch)
            report(at + 1, f"{completions} completions")
    with writing(output):
        partial.replace(output)
    if retokenised:
        count = sum(retokenised.values())
        say(f"{count} completions have other tokens than the tokenizer gives their text; training takes the text")


def _lines(rows: Sequence[Row], batch: Batch, texts: list[str], sampled: Sequence[Sampled]) -> list[str]:
    lines, told = [], iter(zip(texts, sampled, strict=True))
    for row in batch.rows:
        for k in batch.samples:
            text, (_, finished) = next(told)
            new = {"completion": text, "sample": k, "finished": finished}
            kept = {name: value for name, value in rows[row].values.items() if name not in _JUDGED}
            lines.append(json.dumps({**kept, **new}, ensure_ascii=False, default=str) + "\n")
    return lines


def _prompts(config: SampleConfig) -> list[Row]:
    rows = list(read_rows(config.data, config.split))
    if not rows:
        raise TrainerError(f"{config.data}: holds no rows; expected at least one prompt")
    for row in rows:
        check_row(row, format_of(row, ("prompts",)))
    return rows


def _cut(prompts: list[list[int]], config: SampleConfig, context: int | None, codec: Codec) -> list[list[int]]:
    """Return the prompts, without their first tokens where prompt and completion exceed the model's context.

    Raises:
        TrainerError: an empty prompt, or a completion longer than the context.
    """
    empty = next((at for at, ids in enumerate(prompts) if not ids), None)
    if empty is not None:
        raise TrainerError(
            f"{config.data}: row {empty + 1}: the prompt is empty and the tokenizer has no BOS; remove it"
        )
    if context is None:
        return prompts
    if config.max_new_tokens >= context:
        raise TrainerError(
            f"--max-new-tokens {config.max_new_tokens}: {config.model} knows {context} positions, "
            "prompt included; give less"
        )
    cut = [Limits(total=context).cut_prompt(ids, config.max_new_tokens, codec.bos) for ids in prompts]
    shorter = sum(len(new) < len(old) for new, old in zip(cut, prompts, strict=True))
    if shorter:
        say(f"{shorter} of {len(prompts)} prompts lost their beginning: the model knows {context} positions")
    return cut


def _output(config: SampleConfig) -> Path:
    """Return the file to be written.

    Raises:
        TrainerError: a name that promises another format, or that cannot be written.
    """
    output = output_file(config.output)
    if output.suffix not in _SUFFIXES:
        raise TrainerError(f"--output {config.output}: samples are JSON lines; give a name that ends in .jsonl")
    return output


def _record(config: SampleConfig, rows: list[Row], codec: Codec) -> dict[str, Any]:
    """Return what tells these samples from others: the settings, and digests of what they name."""
    values = json.dumps([row.values for row in rows], default=str).encode()
    wanted = {
        **asdict(config),
        "prompts": hashlib.sha256(values).hexdigest(),
        "model_digest": model_digest(config.model),
        "chat_template_digest": _template_digest(config.chat_template),
        "stops": list(codec.stops),
    }
    wanted.pop("output")
    return wanted


def _template_digest(name: str | None) -> str | None:
    with suppress(OSError):  # loading it says so
        return hashlib.sha256(Path(name).read_bytes()).hexdigest() if name else None
    return None


def _record_path(output: Path) -> Path:
    return output.with_name(output.name + ".run.json")


def _partial_path(output: Path) -> Path:
    return output.with_name(output.name + ".partial")


def _is_begun(output: Path) -> bool:
    """Whether there are samples already: a command that failed before the first leaves the next one free."""
    partial = _partial_path(output)
    return output.exists() or (partial.exists() and partial.stat().st_size > 0)


def _finished(output: Path, config: SampleConfig, wanted: dict[str, Any], overwrite: bool) -> bool:
    """Return whether the file holds these samples.

    Raises:
        TrainerError: it holds others, or is no file that may be written.
    """
    if output.exists() and not output.is_file():
        raise TrainerError(f"--output {output}: no regular file; give a file that may be written")
    if output.exists() and Path(config.data).exists() and output.samefile(config.data):
        raise TrainerError(f"--output {output}: it is the data; give another --output")
    if overwrite:
        return False
    if _record_path(output).exists():
        changed = _changed(_stored(_record_path(output)), wanted)
        if changed and _is_begun(output):
            raise TrainerError(
                f"{output}: holds samples of another configuration ({changed}); give another --output, or --overwrite"
            )
        return output.exists()
    if output.exists():
        raise TrainerError(f"{output}: exists, and is of no run; give another --output, or --overwrite")
    return False


def _stored(path: Path) -> dict[str, Any]:
    """Return the record of an earlier run.

    Raises:
        TrainerError: the file is none.
    """
    with suppress(OSError, ValueError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(stored, dict):
            return stored
    raise TrainerError(f"{path}: is no record of trainer sample; give another --output, or --overwrite")


def _changed(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return what is not as it was when the samples were begun, in words; "" where all is."""
    if not stored.keys() >= {"model_digest", "stops"}:
        return "an older version wrote them, and not which weights they are of or where they stop"
    names = [name for name in differing_keys(stored, wanted) if name != _RETOKENISED]
    besides = {f"{name}_digest" for name in names}  # another name says enough
    told = {
        "model_digest": f"the files of model {wanted['model']}",
        "chat_template_digest": f"the text of {wanted['chat_template']}",
        "stops": "the tokens that end a completion",
    }
    return ", ".join(told.get(name, name) for name in names if name not in besides) + " changed" if names else ""


def _begin(output: Path, wanted: dict[str, Any], overwrite: bool) -> None:
    """Write down which samples are begun; with `overwrite`, remove older ones."""
    if overwrite or not _record_path(output).exists() or not _is_begun(output):
        for old in (output, _partial_path(output)):
            old.unlink(missing_ok=True)
        _write_record(output, wanted)


def _write_record(output: Path, record: dict[str, Any]) -> None:
    write_text(_record_path(output), json.dumps(record, indent=2) + "\n")


def _retokenised(output: Path, done: int) -> dict[str, int]:
    """Return what the record says of the batches that are done."""
    counts = _stored(_record_path(output)).get(_RETOKENISED, {})
    return {at: count for at, count in counts.items() if int(at) < done}


def _done(partial: Path, lines_per_batch: list[int]) -> int:
    """Return how many batches a partial file holds whole, and cut off the rest."""
    if not partial.exists():
        return 0
    lines = [line for line in partial.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    kept, done = 0, 0
    for count in lines_per_batch:
        if kept + count > len(lines):
            break
        kept, done = kept + count, done + 1
    write_text(partial, b"".join(lines[:kept]).decode("utf-8"))
    return done
