"""Silence around lm-eval and transformers: no foreign bars or log lines, no network where none is needed."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep foreign bars, log lines and prints off the screen; yield lm-eval's distinct warnings, as they come."""
    warnings: list[str] = []
    keep = _Keeper(warnings)
    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers", "datasets", "huggingface_hub")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    loggers[0].setLevel(logging.WARNING)
    loggers[0].propagate = False
    loggers[0].addHandler(keep)
    try:
        with contextlib.redirect_stderr(_NoBars(sys.stderr)), contextlib.redirect_stdout(io.StringIO()):
            yield warnings
    finally:
        loggers[0].removeHandler(keep)
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Forbid the Hugging Face libraries the network, whether they are imported yet or not."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    environment = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))  # read when the libraries are imported
    modules = [sys.modules.get(name) for name in ("huggingface_hub.constants", "datasets.config")]
    imported: list[Any] = [module for module in modules if module is not None]
    before = [module.HF_HUB_OFFLINE for module in imported]
    for module in imported:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(imported, before, strict=True):
            module.HF_HUB_OFFLINE = value
        for name, value in environment.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


class _Keeper(logging.Handler):
    """Keeps the distinct messages of a logger."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        message = " ".join(record.getMessage().split())
        if message not in self.messages and not message.startswith("Left truncation applied"):  # counted by us
            self.messages.append(message)


class _NoBars(io.TextIOBase):
    """A text stream that drops what tqdm writes, which begins with a carriage return, and passes the rest on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if text.strip() and not text.startswith("\r"):
            self._stream.write(text if text.endswith("\n") else text + "\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
