"""The journal of a run: every answer of the model, on disk as soon as it is there."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from evalkit.errors import EvalkitError

Answer = Any
"""What lm-eval's model methods return for one request: a text, (log-likelihood in nats, whether greedy), or nats."""


class Journal:
    """Answers by key, read from a file and appended to it; used in a `with` statement.

    A line is one answer, `{"key": ..., "answer": ...}`. What is appended is handed to the system before `append`
    returns, so that a killed process loses nothing. A last line without its end, which a kill or a full disk may
    leave, is dropped; its answer is asked for again.

    Args:
        path: the file; made with its folder when it is not there.

    Raises:
        EvalkitError: a line that is no answer, or a file that cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = self.path.open("a+b")
        except OSError as error:
            raise EvalkitError(f"{self.path}: {error.strerror or error}") from error
        try:
            self._read()
        except EvalkitError:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def append(self, answers: Mapping[str, Answer]) -> None:
        """Keep answers, in memory and on disk.

        Raises:
            EvalkitError: the file cannot be written to; what it held before is kept.
        """
        assert self._file is not None
        lines = [json.dumps({"key": key, "answer": answer}) + "\n" for key, answer in answers.items()]
        try:
            self._file.write("".join(lines).encode())  # ASCII: lone surrogates, which tokenizers produce, are escaped
            self._file.flush()
        except OSError as error:
            raise EvalkitError(
                f"{self.path}: {error.strerror or error}; every answer before is kept: make room, and start the same "
                "command again"
            ) from error
        self.answers |= answers

    def _read(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                entry = json.loads(line)
                self.answers[entry["key"]] = entry["answer"]
            except (ValueError, KeyError, TypeError) as error:
                raise EvalkitError(
                    f"{self.path}:{number}: not an answer; remove the line, and start the same command again"
                ) from error
        os.ftruncate(self._file.fileno(), whole)
        self._file.seek(0, os.SEEK_END)

    def _close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        with contextlib.suppress(OSError):  # what could not be written was reported when it was appended
            file.close()
