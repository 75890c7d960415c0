"""The model under evaluation: a folder on disk, its fingerprint, and lm-eval's interface to it."""

import hashlib
from pathlib import Path
from typing import Any, cast

from evalkit.errors import EvalkitError

Model = Any
"""lm-eval's HFLM; lm-eval registers its class with a decorator that hides it from type checkers."""

_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_DUPLICATES = ["original/*", "consolidated*"]


def model_folder(model: str) -> Path:
    """Return the folder of a model that is named by its path, or by its name on the hub, which is downloaded.

    Raises:
        EvalkitError: no such folder, not a model, or a name that the hub does not give.
    """
    path = Path(model).expanduser()
    if not path.is_dir():
        path = _from_hub(model)
    if not (path / "config.json").is_file():
        hint = "; its model is in the folder 'model'" if (path / "model" / "config.json").is_file() else ""
        raise EvalkitError(f"{path}: not a model: it has no config.json{hint}")
    return path


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if model.count("/") > 1 or model.startswith((".", "/", "~")):
        raise EvalkitError(f"{model}: no such folder")
    try:
        folder = snapshot_download(model, allow_patterns=_FILES, ignore_patterns=_DUPLICATES)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvalkitError(f"{model}: no such folder, and the hub does not give it: {reason}") from error
    return Path(folder)


def fingerprint(folder: Path) -> str:
    """Return a hash over every file of a model that decides its answers: configuration, tokenizer, weights."""
    digest = hashlib.sha256()
    names = {path for pattern in (*_FILES, "*.bin") for path in folder.glob(pattern)}
    for path in sorted(names):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def device_and_dtype() -> tuple[str, str]:
    """Return where and in which precision a model is evaluated: the model's own on a GPU, float32 elsewhere."""
    import torch

    return ("cuda", "auto") if torch.cuda.is_available() else ("cpu", "float32")


def load_model(folder: Path, *, batch_size: int | str, chat_template: bool) -> Model:
    """Return lm-eval's interface to a model; code that comes with a model is never run.

    Raises:
        EvalkitError: a model that transformers cannot load, or without the chat template that was asked for.
    """
    from lm_eval.models.huggingface import HFLM

    device, dtype = device_and_dtype()
    settings: Any = {"device": device, "dtype": dtype, "batch_size": batch_size, "trust_remote_code": False}
    try:
        model = cast("Model", HFLM)(pretrained=str(folder), **settings)
    except Exception as error:  # whatever is wrong with somebody's files
        reason = " ".join(str(error).split())[:300]
        raise EvalkitError(f"{folder}: the model cannot be loaded: {type(error).__name__}: {reason}") from error
    if chat_template and not getattr(model.tokenizer, "chat_template", None):
        raise EvalkitError(f"{folder}: its tokenizer has no chat template; use --no-chat-template")
    return model
