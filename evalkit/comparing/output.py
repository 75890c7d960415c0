"""Files that a comparison writes where its user says."""

from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.files import write_text


def write_output(path: Path, text: str) -> None:
    """Write a file whole or not at all; a link stays one.

    Raises:
        EvalkitError: a folder or a device of that name, or one that cannot be written.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise EvalkitError(f"{path}: not a file; name one that may be written")
    write_text(target, text)
