"""The replies of a judge on disk, each written as it arrives and found again by its request."""

import asyncio
import contextlib
import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.judging.replies import Reply, reply_from_row

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing keeps two processes from one journal there
    fcntl = None


def request_key(base_url: str, body: Mapping[str, Any]) -> str:
    """Return a hash of everything that decides a reply: the server, the model, the prompt, the settings."""
    text = json.dumps({"base_url": base_url, **body}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


OPENING = b'{"key": '
"""Of every line: a torn one is told from another file's by it."""


class Journal:
    """Replies by request, in memory and in a file of JSON lines to which they are appended.

    A reply counts as kept once the disk has it (fsync). Replies that arrive while the disk is busy are written
    together. A line that a crash cut short is dropped: that call is asked again.
    """

    def __init__(self, path: Path, file: int, replies: dict[str, Reply], dropped: int) -> None:
        self.path = path
        self.dropped = dropped
        self._file = file
        self._replies = replies
        self._queue: deque[str] = deque()  # filled by the event loop, emptied by the thread that writes
        self._queued = self._written = 0
        self._failure: EvalkitError | None = None
        self._turn = asyncio.Lock()
        self._disk = threading.Lock()

    def __len__(self) -> int:
        return len(self._replies)

    def find(self, key: str) -> Reply | None:
        """Return the reply to a request, or None where it has none yet."""
        return self._replies.get(key)

    async def add(self, key: str, reply: Reply) -> None:
        """Keep a reply; returns when the disk has it.

        Raises:
            EvalkitError: the disk does not take it.
        """
        line = json.dumps({"key": key, "reply": reply.as_row()}, ensure_ascii=True)
        self._replies[key] = reply
        self._queue.append(line + "\n")
        self._queued += 1
        ticket = self._queued
        async with self._turn:
            if self._written < ticket:
                await asyncio.to_thread(self._write)

    def _write(self) -> None:
        """Append what is queued."""
        with self._disk:
            if self._failure is not None:
                raise self._failure
            lines = []
            while self._queue:
                lines.append(self._queue.popleft())
            try:
                _append(self._file, "".join(lines).encode())
            except OSError as error:
                self._failure = EvalkitError(
                    f"{self.path}: {error.strerror or error}; the replies written before are kept: make room, and "
                    "start the same command again"
                )
                raise self._failure from error
            self._written += len(lines)

    def close(self) -> None:
        """Write what has arrived, and let others have the file."""
        try:
            if self._queue and self._failure is None:
                self._write()
        finally:
            os.close(self._file)


def _append(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


@contextlib.contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Yield the journal in a file, which is made where there is none and belongs to this process until the end.

    Raises:
        EvalkitError: a file that is no journal, cannot be written, or that another process holds.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error
    try:
        _hold(path, file)
        replies, dropped = _read(path)
        _end_line(file)
    except BaseException:
        os.close(file)
        raise
    journal = Journal(path, file, replies, dropped)
    try:
        yield journal
    finally:
        journal.close()


def _hold(path: Path, file: int) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise EvalkitError(f"{path}: another evalkit judge is writing it; wait until that one ends") from error


def _end_line(file: int) -> None:
    """End a line that a crash cut short, so that the next one does not join it."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        try:
            _append(file, b"\n")
        except OSError as error:
            raise EvalkitError(f"the journal cannot be written: {error.strerror or error}; make room") from error


def _read(path: Path) -> tuple[dict[str, Reply], int]:
    """Return the replies by request, and how many lines could not be read.

    Raises:
        EvalkitError: not a regular file, or none of its lines is a reply.
    """
    if not path.is_file():
        raise EvalkitError(f"{path}: not a regular file; a journal is one")
    replies: dict[str, Reply] = {}
    dropped = foreign = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                replies.setdefault(row["key"], reply_from_row(row["reply"]))
            except (ValueError, TypeError, KeyError, AttributeError):
                dropped += bool(line.strip())
                foreign += bool(line.strip()) and line[: len(OPENING)] != OPENING[: len(line)]
    if foreign and not replies:
        raise EvalkitError(f"{path}: not a journal of replies; give another --journal")
    return replies, dropped
