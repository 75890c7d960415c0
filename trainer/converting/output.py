"""Files of rows, whole or absent: JSON lines, gzipped or not, and Parquet."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from trainer.errors import TrainerError
from trainer.files import writing

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")

_CHUNK = 16 << 20  # bytes of JSON that become one row group of Parquet


def suffix_of(path: Path) -> str:
    """Return which kind of file a name asks for.

    Raises:
        TrainerError: an unknown kind.
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix) and path.name != suffix:
            return suffix
    raise TrainerError(f"--output {path}: unknown kind of file; give a name that ends in {', '.join(SUFFIXES)}")


def held_out_path(path: Path) -> Path:
    """Return the file of the held-out rows: NAME.held-out.SUFFIX."""
    suffix = suffix_of(path)
    return path.with_name(path.name.removesuffix(suffix) + ".held-out" + suffix)


@contextmanager
def replacing(paths: Iterable[Path]) -> Iterator[dict[Path, Path]]:
    """Give a temporary name for each path; at the end all are renamed, or, if anything goes wrong, removed."""
    temporary = {path: path.with_name(f".{path.name}.partial") for path in paths}
    with ExitStack() as undo:
        for name in temporary.values():
            undo.callback(name.unlink, missing_ok=True)
        yield temporary
        for path, name in temporary.items():
            with writing(path):
                name.replace(path)


def write(path: Path, suffix: str, lines: Iterable[bytes], columns: Mapping[str, str]) -> str:
    """Write rows, and return the file's SHA-256. The same rows give the same bytes.

    Args:
        path: the file.
        suffix: one of SUFFIXES.
        lines: one JSON object each, with its newline.
        columns: their types: `text`, `chat`, `boolean` or `number`; Parquet needs them.
    """
    writer: Callable[[IO[bytes], Iterable[bytes]], None] = _write_lines
    if suffix == ".jsonl.gz":
        writer = _write_gzip
    with writing(path), path.open("wb") as file:
        if suffix == ".parquet":
            _write_parquet(file, lines, columns)
        else:
            writer(file, lines)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_lines(file: IO[bytes], lines: Iterable[bytes]) -> None:
    file.writelines(lines)


def _write_gzip(file: IO[bytes], lines: Iterable[bytes]) -> None:
    with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as zipped:
        zipped.writelines(lines)


def _write_parquet(file: IO[bytes], lines: Iterable[bytes], columns: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    types = {"text": pa.string(), "chat": pa.list_(message), "boolean": pa.bool_(), "number": pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for chunk in _chunks(lines):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def _chunks(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    chunk, size = [], 0
    for line in lines:
        chunk.append(json.loads(line))
        size += len(line)
        if size > _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
