"""Rows put down on disk, with only the place of each in memory, so that they can be grouped and ordered."""

import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import Row
from trainer.files import writing

Ints = NDArray[np.int64]
_KEY_BYTES = 16
_encode = json.JSONEncoder(ensure_ascii=False).encode


def key_of(value: Any) -> bytes:
    """Return 16 bytes that are equal for equal values, and (but for one chance in 1e38 per two values) only then."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return hashlib.blake2b(text, digest_size=_KEY_BYTES).digest()


class Spool:
    """Rows in an unnamed file, which is gone when the process is. Memory: 24 bytes a row.

    Args:
        folder: where there is room for the rows.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with writing(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `__exit__`)
        self._starts = array("Q", [0])
        self._keys = bytearray()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of rows that nobody reads any more, for which the disk has no room
            self._file.close()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def add(self, row: Row, key: bytes) -> bytes:
        """Put down a row under a key, and return its line of JSON."""
        line = (_encode(row.values) + "\n").encode("utf-8", "surrogatepass")
        with writing(self._folder):
            size = self._file.write(json.dumps(row.place).encode() + b"\t" + line)
        self._starts.append(self._starts[-1] + size)
        self._keys += key
        return line

    def line(self, number: int) -> bytes:
        """Return the JSON of a row, with its newline."""
        return self._read(number)[1]

    def place(self, number: int) -> str:
        """Return where a row comes from."""
        return json.loads(self._read(number)[0])

    def row(self, number: int) -> Row:
        """Return a row as it was put down."""
        place, line = self._read(number)
        return Row(place=json.loads(place), values=json.loads(line.decode("utf-8", "surrogatepass")))

    def group_ids(self) -> Ints:
        """Return a number for each row, equal for rows of one key, counted from 0 by first appearance, (rows,)."""
        return group_ids(self._keys)

    def groups(self) -> Iterator[list[Row]]:
        """Yield the rows of each key, in order; the keys by first appearance."""
        ids = self.group_ids()
        order = np.argsort(ids, kind="stable")
        bounds = [0, *(np.flatnonzero(np.diff(ids[order])) + 1).tolist(), len(order)]
        for start, end in pairwise(bounds):
            if start < end:
                yield [self.row(int(number)) for number in order[start:end]]

    def _read(self, number: int) -> tuple[bytes, bytes]:
        with writing(self._folder):
            self._file.flush()
        start, end = self._starts[number], self._starts[number + 1]
        place, _, line = os.pread(self._file.fileno(), end - start, start).partition(b"\t")
        return place, line


def group_ids(keys: bytes | bytearray) -> Ints:
    """Return a number for each 16-byte key, equal for equal keys, counted from 0 by first appearance, (keys,)."""
    halves = np.frombuffer(bytes(keys), dtype="<u8").reshape(-1, 2)
    if not len(halves):
        return np.zeros(0, np.int64)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal keys the earliest comes first
    new = np.ones(len(order), bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(axis=1)
    first = order[new]
    by_appearance = np.empty(len(first), np.int64)
    by_appearance[np.argsort(first)] = np.arange(len(first))
    ids = np.empty(len(order), np.int64)
    ids[order] = by_appearance[np.cumsum(new) - 1]
    return ids
