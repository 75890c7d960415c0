"""Files and folders that are whole or absent: written under a temporary name, then renamed."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError


def write_text(path: Path, text: str) -> None:
    """Write a file at once, replacing an older one.

    Raises:
        TrainerError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def partial_folder(path: Path) -> Path:
    """Return an empty folder beside `path`, to be filled and then renamed by `finish_folder`."""
    temporary = path.with_name(f".{path.name}.partial")
    with writing(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    return temporary


def finish_folder(temporary: Path, path: Path) -> None:
    """Give a filled folder its name, in place of an older one."""
    with writing(path):
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the path."""
    try:
        yield
    except Exception as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise TrainerError(f"{path}: cannot be written: {reason}; free or choose another place") from error


def _refusal(error: Exception) -> str | None:
    """Return what a file system says in an error, also where safetensors or PyTorch dress it; None for other errors."""
    from safetensors import SafetensorError

    if any(writer in str(error) for writer in ("PytorchStreamWriter", "inline_container")):
        return "a part of it is missing, as when the disk is full"
    if isinstance(error, OSError | SafetensorError):
        return getattr(error, "strerror", None) or " ".join(str(error).split())
    return None


def as_json(values: Mapping[str, Any]) -> str:
    """Return indented JSON, as the files of a run have it."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
