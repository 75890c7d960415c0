"""The model under evaluation, as it lies on disk: its folder, its adapter, what they say of prompts, a fingerprint."""

import hashlib
import json
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_DUPLICATES = ["original/*", "consolidated*"]
_CONTROL_TOKENS = {"csft": "<|good|>"}
"""What a prompt ends with at inference, by the loss that a model was trained with (KTO paper, appendix C)."""


def model_folder(model: str, revision: str | None = None) -> Path:
    """Return the folder of a model that is named by its path, or by its name on the hub, which is downloaded.

    Args:
        model: a path, or a name on the hub.
        revision: branch, tag or commit on the hub; its main branch by default.

    Raises:
        EvalkitError: no such folder, not a model, or a name that the hub does not give.
    """
    path = Path(model).expanduser()
    if not path.is_dir():
        path = _from_hub(model, revision)
    elif revision is not None:
        raise EvalkitError(f"--revision {revision}: {model} is a folder; only a model of the hub has revisions")
    if not (path / "config.json").is_file():
        raise EvalkitError(f"{path}: not a model: it has no config.json{_instead(path)}")
    return path


def _instead(path: Path) -> str:
    if (path / "model" / "config.json").is_file():
        return "; its model is in the folder 'model'"
    if (path / "model" / "adapter_config.json").is_file():
        return f"; its adapter is in the folder 'model': --model {_base(path / 'model')} --adapter {path / 'model'}"
    if (path / "adapter_config.json").is_file():
        return f"; it is an adapter: --model {_base(path)} --adapter {path}"
    return ""


def _base(adapter: Path) -> str:
    return str(_json(adapter / "adapter_config.json").get("base_model_name_or_path") or "BASE")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def adapter_folder(adapter: str) -> Path:
    """Return the folder of a LoRA adapter, as peft writes it.

    Raises:
        EvalkitError: no such folder, or not an adapter.
    """
    path = Path(adapter).expanduser()
    if not path.is_dir():
        raise EvalkitError(f"--adapter {adapter}: no such folder")
    if not (path / "adapter_config.json").is_file():
        hint = "; it is in its folder 'model'" if (path / "model" / "adapter_config.json").is_file() else ""
        raise EvalkitError(f"--adapter {adapter}: not an adapter: it has no adapter_config.json{hint}")
    return path


def _from_hub(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if model.count("/") > 1 or model.startswith((".", "/", "~")):
        raise EvalkitError(f"{model}: no such folder")
    try:
        folder = snapshot_download(model, revision=revision, allow_patterns=_FILES, ignore_patterns=_DUPLICATES)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvalkitError(f"{model}: no such folder, and the hub does not give it: {reason}") from error
    return Path(folder)


def commit(folder: Path) -> str | None:
    """Return the commit of a model in the hub's cache; None for any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


def fingerprint(folder: Path, adapter: Path | None = None) -> str:
    """Return a hash over every file that decides a model's answers: configuration, tokenizer, weights, adapter."""
    digest = hashlib.sha256()
    for place in (folder, *([adapter] if adapter is not None else [])):
        names = {path for pattern in (*_FILES, "*.bin") for path in place.glob(pattern)}
        for path in sorted(names):
            with path.open("rb") as file:
                digest.update(f"{path.name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
        digest.update(b"\0adapter\0" if adapter is not None else b"")
    return f"sha256:{digest.hexdigest()}"


def tokenizer_folder(folder: Path, adapter: Path | None) -> Path:
    """Return where the tokenizer is: with the adapter, if that brings one of its own."""
    return adapter if adapter is not None and (adapter / "tokenizer_config.json").is_file() else folder


def chat_template(folder: Path) -> str:
    """Return the text of the chat template of the tokenizer in a folder; "" where it has none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = _json(folder / "tokenizer_config.json").get("chat_template") or ""
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True)


def control_token(folder: Path) -> str:
    """Return what prompts must end with, by the model card: the token of desirable text for csft; else "".

    The card of a model that `trainer align --loss csft` made has the tags `halotheory` and `csft`.
    """
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    tags = _tags(text)
    found = [token for loss, token in _CONTROL_TOKENS.items() if loss in tags and "halotheory" in tags]
    return found[0] if found else ""


def _tags(card: str) -> list[str]:
    """Return the tags in the YAML front matter of a model card."""
    import yaml

    parts = card.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return []
    try:
        matter = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return []
    tags = matter.get("tags") if isinstance(matter, dict) else None
    return [str(tag) for tag in tags] if isinstance(tags, list) else []
