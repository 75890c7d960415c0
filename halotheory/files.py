"""Files written whole or not at all."""

import contextlib
import os
import stat
from pathlib import Path

from halotheory.errors import HaloTheoryError


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    A link stays one, and what it points to is written; an existing file keeps its mode; a pipe or a device is
    written into.

    Raises:
        HaloTheoryError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{os.getpid()}.partial")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        partial.write_bytes(content)
        if target.exists():
            partial.chmod(stat.S_IMODE(target.stat().st_mode))
        partial.replace(target)
    except OSError as error:
        raise HaloTheoryError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
