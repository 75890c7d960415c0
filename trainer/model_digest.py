"""What tells a model from another that lies, or lay, under the same name."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trainer.errors import TrainerError
from trainer.models import adapter_base

_WEIGHTS = ("*.safetensors", "*.bin")
_SETTINGS = ("config.json", "adapter_config.json", "generation_config.json", "*.index.json")
_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt")
_TOKENIZER += ("*.model", "*.tiktoken", "chat_template*")

_LARGE, _PIECE = 64 << 20, 1 << 20  # bytes


def model_digest(name: str, option: str = "--model") -> str:
    """Return text that is equal for equal models, and other for a model that was trained, changed or replaced since.

    Of a folder it is the SHA-256 over names and contents of weights, settings and tokenizer. Of a file above 64 MiB
    the size counts and 1 MiB at its beginning, middle and end: all of a large model would take minutes to read, and
    training changes every matrix. A change by hand between these pieces goes unnoticed. Of a model of the hub it is
    the commit that the name stands for now, or the name alone where nobody can tell. An adapter's text ends with
    that of its model.

    Args:
        name: a folder or a hub name.
        option: that named it, for errors.

    Raises:
        TrainerError: no such model, an adapter that cannot be used, a file that cannot be read.
    """
    base = adapter_base(name, option)
    own = _of_folder(Path(name)) if Path(name).is_dir() else _of_hub(name)
    return own if base is None else f"{own} on {model_digest(base, option)}"


def _of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    found = {path for pattern in (*_WEIGHTS, *_SETTINGS, *_TOKENIZER) for path in folder.glob(pattern)}
    for path in sorted(path for path in found if path.is_file()):
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                digest.update(f"{path.name}\0{size}\0".encode("utf-8", "surrogateescape"))
                for piece in _pieces(file, size):
                    digest.update(piece)
        except OSError as error:
            raise TrainerError(f"{path}: cannot be read: {error.strerror}") from error
    return f"sha256:{digest.hexdigest()}"


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    if size <= _LARGE:
        yield file.read()
        return
    for start in (0, (size - _PIECE) // 2, size - _PIECE):
        file.seek(start)
        yield file.read(_PIECE)


def _of_hub(name: str) -> str:
    """Return the commit of the snapshot that loading takes: the one whose settings the client finds."""
    from transformers.utils.hub import cached_file

    for file in ("config.json", "adapter_config.json"):
        try:
            found = cached_file(name, file)
        except OSError:  # no such file there, or nobody to ask
            continue
        if found is not None and Path(found).parent.parent.name == "snapshots":
            return f"commit:{Path(found).parent.name}"
    return name
