"""A model's answers to instructions, by transformers, batch by batch, each batch on disk before the next begins."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.alpaca.instructions import instruction_key
from evalkit.alpaca.outputs import Outputs
from evalkit.errors import EvalkitError
from evalkit.files import write_json
from evalkit.progress import Progress
from evalkit.quiet import quiet

OUTPUTS, SETTINGS = "outputs.jsonl", "generation.json"
GREEDY, MODELS_OWN = "greedy", "model"
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How answers are generated.

    Attributes:
        model: a folder, or a name on the hub.
        sampling: `greedy`, or `model`: as its generation_config.json says.
        max_new_tokens: of an answer.
        batch_size: instructions at a time.
        chat_template: render instructions by the tokenizer's chat template.
        seed: of sampling; an answer is a function of it and of the batch.
    """

    model: str
    sampling: str = GREEDY
    max_new_tokens: int = 2048
    batch_size: int = 8
    chat_template: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampling not in (GREEDY, MODELS_OWN):
            raise EvalkitError(f"--sampling {self.sampling}: choose greedy, or model for its generation_config.json")


def generate(
    instructions: Mapping[str, str],
    how: Generation,
    folder: Path,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Outputs:
    """Return a model's answers, generating those that the folder does not hold yet.

    Batches are cut from all instructions in the order of their keys, so that a run that goes on makes those that the
    first would have made, and sampled answers are the same.

    Args:
        instructions: the text of each, by key.
        how: the model and its settings.
        folder: where answers are kept, in `outputs.jsonl` of AlpacaEval's columns.
        overwrite: drop answers made otherwise.
        show_progress: whether progress is shown on standard error.

    Raises:
        EvalkitError: a model that cannot be loaded, no chat template, or a folder with other answers.
    """
    path = model_folder(how.model)
    name = how.model.rstrip("/").rsplit("/", 2)[-1]
    keys = sorted(instructions)
    settings = {
        **asdict(how),
        "fingerprint": fingerprint(path),
        "instructions": hashlib.sha256("".join(keys).encode()).hexdigest(),
    }
    _check_settings(folder, settings, overwrite=overwrite)
    held = _held(folder / OUTPUTS)
    batches = [keys[at : at + how.batch_size] for at in range(0, len(keys), how.batch_size)]
    left = [(number, batch) for number, batch in enumerate(batches) if not held.keys() >= set(batch)]
    if left:
        with Progress(show=show_progress) as progress:
            model, tokenizer = _load(path, how)
            progress.start(len(keys), len(held.keys() & set(keys)))
            for number, batch in left:
                answers = _answers(model, tokenizer, [instructions[key] for key in batch], how, number)
                rows = [
                    {"instruction": instructions[key], "output": text, "generator": name, "complete": complete}
                    for key, (text, complete) in zip(batch, answers, strict=True)
                ]
                _append(folder / OUTPUTS, rows)
                held |= dict(zip(batch, [text for text, _ in answers], strict=True))
                progress.reach(len(held.keys() & set(keys)), "generating")
    return Outputs(
        source=folder / OUTPUTS,
        model=name,
        instructions={key: instructions[key] for key in keys},
        texts={key: held[key] for key in keys},
    )


def cut_short(folder: Path) -> int:
    """Return how many answers ended at the limit of tokens."""
    return sum(not row.get("complete", True) for row in _rows(folder / OUTPUTS))


def model_folder(model: str) -> Path:
    """Return the folder of a model named by its path, or by its name on the hub, which is downloaded.

    Raises:
        EvalkitError: no such folder, not a model, or a name that the hub does not give.
    """
    path = Path(model).expanduser()
    if not path.is_dir():
        path = _from_hub(model)
    if not any((path / name).is_file() for name in ("config.json", "adapter_config.json")):
        hint = "; its model is in the folder 'model'" if (path / "model" / "config.json").is_file() else ""
        raise EvalkitError(f"{path}: not a model: it has no config.json{hint}")
    return path


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if model.count("/") > 1 or model.startswith((".", "/", "~")):
        raise EvalkitError(f"{model}: no such folder")
    try:
        with quiet():
            return Path(snapshot_download(model, allow_patterns=_FILES, ignore_patterns=["original/*"]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:150]
        raise EvalkitError(f"{model}: no such folder, and the hub does not give it: {reason}") from error


def fingerprint(folder: Path) -> str:
    """Return a hash over every file of a model that decides its answers."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in (*_FILES, "*.bin") for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def _check_settings(folder: Path, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """Keep the settings of the answers in a folder, or refuse those made by others.

    Raises:
        EvalkitError: the folder holds answers of another model, or made otherwise.
    """
    file = folder / SETTINGS
    stored: Any = {}
    if file.is_file():
        with contextlib.suppress(ValueError):
            stored = json.loads(file.read_text(encoding="utf-8"))
    changed = [name for name in settings if not isinstance(stored, dict) or stored.get(name) != settings[name]]
    if not changed:
        return
    if (folder / OUTPUTS).exists() and not overwrite:
        raise EvalkitError(
            f"{folder}: holds answers made otherwise (other {', '.join(changed)}); use another --output, or --overwrite"
        )
    (folder / OUTPUTS).unlink(missing_ok=True)
    write_json(file, settings)


def _held(path: Path) -> dict[str, str]:
    return {instruction_key(row["instruction"]): row["output"] for row in _rows(path)}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the answers in a file; a line that a kill cut short is none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and {"instruction", "output"} <= row.keys():
                    yield row


def _append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add answers to a file, on a line of their own whatever an earlier kill left, and wait for the disk."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    try:
        with path.open("a+b") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}; the same command goes on from here") from error


def _load(path: Path, how: Generation) -> tuple[Any, Any]:
    """Return the model, on a GPU where there is one, and its tokenizer; code that comes with a model is not run."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device, dtype = ("cuda", "auto") if torch.cuda.is_available() else ("cpu", torch.float32)
    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False, padding_side="left")
            model: Any = AutoModelForCausalLM.from_pretrained(str(path), dtype=dtype, trust_remote_code=False)
    except Exception as error:  # whatever is wrong with somebody's files
        reason = " ".join(str(error).split())[:300]
        raise EvalkitError(f"{path}: the model cannot be loaded: {type(error).__name__}: {reason}") from error
    if how.chat_template and not getattr(tokenizer, "chat_template", None):
        raise EvalkitError(f"{path}: its tokenizer has no chat template; use --no-chat-template")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer


def _answers(
    model: Any, tokenizer: Any, instructions: Sequence[str], how: Generation, batch: int
) -> list[tuple[str, bool]]:
    """Return the answer to each instruction, and whether it ended by itself."""
    import torch

    prompts = [_prompt(tokenizer, text, how) for text in instructions]
    tokens = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=not how.chat_template)
    tokens = {name: tokens[name].to(model.device) for name in ("input_ids", "attention_mask")}
    width = tokens["input_ids"].shape[1]
    sampled: dict[str, Any] = {}
    if how.sampling == GREEDY:
        sampled = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    torch.manual_seed(int.from_bytes(hashlib.sha256(f"{how.seed} {batch}".encode()).digest()[:6]))
    with torch.inference_mode(), quiet():
        found = model.generate(
            **tokens, max_new_tokens=how.max_new_tokens, pad_token_id=tokenizer.pad_token_id, **sampled
        )
    texts = tokenizer.batch_decode(found[:, width:], skip_special_tokens=True)
    ends = _ends(model, tokenizer)
    complete = [bool(set(row.tolist()) & ends) or len(row) < how.max_new_tokens for row in found[:, width:]]
    return list(zip([text.strip() for text in texts], complete, strict=True))


def _prompt(tokenizer: Any, instruction: str, how: Generation) -> str:
    if not how.chat_template:
        return instruction
    turns = [{"role": "user", "content": instruction}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return {int(token) for token in (*ends, tokenizer.eos_token_id) if token is not None}
