"""Completions of prompts, sampled in batches to a JSONL file."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.codec import Codec, Limits
from trainer.config import SampleConfig, differing_keys
from trainer.data import Row, check_row, format_of, read_rows
from trainer.errors import TrainerError
from trainer.files import write_text, writing
from trainer.models import DTYPES, context_length, load_codec, load_model, quiet
from trainer.progress import progress, say

_JUDGED = ("completion", "label", "chosen", "rejected")
"""Columns about other completions than the sampled ones, which they would mislabel."""


def sample(config: SampleConfig, *, overwrite: bool = False) -> Path:
    """Return the file of samples: each row of the data, K times, with `completion`, `sample` and `finished`.

    `completion` is the text before the stop token; `finished` says whether there was one. Batches follow the
    order of the rows, and each has its own seed, so that an interrupted run continues with the same samples:
    whole batches wait in FILE.partial, and FILE.run.json tells which command they are of.

    Raises:
        TrainerError: prompts, a model or an output file that cannot be used.
    """
    quiet()
    output = Path(config.output)
    rows = _prompts(config)
    wanted = _record(config, rows)
    if _finished(output, config, wanted, overwrite):
        say(f"{output}: these samples are finished")
        return output
    context, codec = context_length(config.model), load_codec(config.model, config.chat_template)
    suffix = codec.encode([config.suffix])[0] if config.suffix else []
    prompts = _cut([[*prompt, *suffix] for prompt in codec.prompts(rows)], config, context, codec)
    model = load_model(config.model, dtype=DTYPES[config.dtype]).to(_device())
    _begin(output, wanted, overwrite)
    partial = output.with_name(output.name + ".partial")
    size = max(1, config.batch_size // config.samples)
    batches = [range(at, min(at + size, len(rows))) for at in range(0, len(rows), size)]
    done = _done(partial, [len(batch) * config.samples for batch in batches])
    if done:
        say(f"continues after batch {done} of {len(batches)}")
    retokenised = 0
    with (
        progress("batch", len(batches), done=done) as report,
        writing(partial),
        partial.open("a", encoding="utf-8") as file,
    ):
        for at, batch in enumerate(batches[done:], start=done):
            sampled = generate(model, codec, [prompts[row] for row in batch], config, batch=at)
            texts = codec.tokenizer.batch_decode([ids for ids, _ in sampled], clean_up_tokenization_spaces=False)
            again = codec.encode(texts)
            retokenised += sum(list(ids) != new for (ids, _), new in zip(sampled, again, strict=True))
            file.write("".join(_lines(rows, batch, texts, sampled, config.samples)))
            file.flush()
            os.fsync(file.fileno())
            report(at + 1, f"{batch.stop * config.samples} completions")
    with writing(output):
        partial.replace(output)
    if retokenised:
        say(f"{retokenised} completions have several spellings in tokens; as training data they take the usual one")
    return output


def generate(
    model: Any, codec: Codec, prompts: Sequence[Sequence[int]], config: SampleConfig, *, batch: int
) -> list[tuple[list[int], bool]]:
    """Return `config.samples` completions of each prompt: tokens before the stop token, and whether there was one.

    Args:
        model: a causal model of transformers.
        codec: its tokens; completions end at any of its stops.
        prompts: tokens, not empty; padded on the left here.
        config: temperature, top_p, max_new_tokens, samples, seed.
        batch: which batch this is; the samples are a function of (seed, batch).
    """
    from transformers import GenerationConfig

    device, width = model.device, max(map(len, prompts))
    pad = codec.stops[0]
    input_ids = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids in prompts], device=device)
    attention_mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
    greedy = config.temperature == 0
    how = (
        {"do_sample": False}
        if greedy
        else {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p}
    )
    settings = GenerationConfig(
        max_new_tokens=config.max_new_tokens,
        num_return_sequences=config.samples,
        eos_token_id=list(codec.stops),
        pad_token_id=pad,
        bos_token_id=codec.bos[0] if codec.bos else None,
        top_k=0 if not greedy else None,
        **how,
    )
    model.generation_config = settings
    seed = np.random.SeedSequence([config.seed, batch]).generate_state(1)[0]
    torch.manual_seed(int(seed))
    with torch.inference_mode():
        output: Tensor = model.generate(input_ids=input_ids, attention_mask=attention_mask, generation_config=settings)
    return [_before_stop(ids, codec.stops) for ids in output[:, width:].tolist()]


def _before_stop(ids: list[int], stops: tuple[int, ...]) -> tuple[list[int], bool]:
    at = next((at for at, token in enumerate(ids) if token in stops), None)
    return (ids, False) if at is None else (ids[:at], True)


def _lines(
    rows: Sequence[Row], batch: range, texts: list[str], sampled: list[tuple[list[int], bool]], samples: int
) -> list[str]:
    lines = []
    for at, row in enumerate(rows[batch.start : batch.stop]):
        for k in range(samples):
            of = at * samples + k
            new = {"completion": texts[of], "sample": k, "finished": sampled[of][1]}
            kept = {name: value for name, value in row.values.items() if name not in _JUDGED}
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


def _record(config: SampleConfig, rows: list[Row]) -> dict[str, Any]:
    """Return what tells these samples from others."""
    values = json.dumps([row.values for row in rows], default=str).encode()
    wanted = {**asdict(config), "prompts": hashlib.sha256(values).hexdigest()}
    wanted.pop("output")
    return wanted


def _record_path(output: Path) -> Path:
    return output.with_name(output.name + ".run.json")


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
        stored = json.loads(_record_path(output).read_text(encoding="utf-8"))
        changed = differing_keys(stored, wanted)
        if changed:
            raise TrainerError(
                f"{output}: holds samples of another configuration ({', '.join(changed)} changed); "
                "give another --output, or --overwrite"
            )
        return output.exists()
    if output.exists():
        raise TrainerError(f"{output}: exists, and is of no run; give another --output, or --overwrite")
    return False


def _begin(output: Path, wanted: dict[str, Any], overwrite: bool) -> None:
    """Write down which samples are begun; with `overwrite`, remove older ones."""
    if overwrite or not _record_path(output).exists():
        for old in (output, output.with_name(output.name + ".partial")):
            old.unlink(missing_ok=True)
        write_text(_record_path(output), json.dumps(wanted, indent=2) + "\n")


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


def _device() -> torch.device:
    from accelerate import PartialState

    device = PartialState().device
    assert device is not None
    return device
