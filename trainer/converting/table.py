"""All rows of the wanted format: on disk, with what the selection asks of each in memory."""

import hashlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.config import DataConfig
from trainer.converting.conversions import is_chat
from trainer.converting.dialogue import opening
from trainer.converting.report import Written
from trainer.converting.selection import Ints
from trainer.converting.spool import Spool, key_of
from trainer.data import Row
from trainer.errors import TrainerError


@dataclass(kw_only=True)
class Table:
    """All rows of the wanted format on disk, and what selection asks of each in memory: about 50 bytes."""

    spool: Spool
    config: DataConfig
    contents: bytearray = field(default_factory=bytearray)
    labels: array = field(default_factory=lambda: array("b"))  # 1 desirable, 0 undesirable, -1 a pair
    sources: array = field(default_factory=lambda: array("h"))
    held: array = field(default_factory=lambda: array("b"))
    columns: dict[str, None] = field(default_factory=dict)
    chat: bool | None = None
    first: str = ""
    prompt: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    label: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *words: object) -> None:
        self.spool.__exit__(*words)

    def add(self, row: Row, source: int) -> None:
        """Put down a row.

        Raises:
            TrainerError: it is chat and the others are text, or the other way round.
        """
        if self.chat is None:
            self.chat, self.first = is_chat(row), row.place
        if is_chat(row) != self.chat:
            here, there = ("text", "chat") if self.chat else ("chat", "text")
            raise TrainerError(
                f"{row.place}: the row is {here}, and that of {self.first} is {there}; "
                "give --style chat or --style text"
            )
        values = {name: value for name, value in row.values.items() if name != "group"}
        line = self.spool.add(Row(place=row.place, values=values), key_of(values["prompt"]))
        self.columns.update(dict.fromkeys(values))
        self.labels.append(int(values.get("label", -1)))
        self.sources.append(source)
        if self.config.dedupe:
            self.contents += key_of(line)
        if self.config.held_out is not None:
            self.held.append(_is_held_out(opening(values["prompt"]), self.config.held_out, self.config.seed))

    def freeze(self) -> None:
        """Number the prompts, once all rows are there."""
        self.prompt = self.spool.group_ids()
        self.label = np.frombuffer(self.labels, dtype=np.int8)

    def columns_of(self, form: str) -> dict[str, str]:
        """Return the types of the columns, in the order of the format."""
        told = "chat" if self.chat else "text"
        known = {
            "paired": {"prompt": told, "chosen": told, "rejected": told, "margin": "number"},
            "unpaired": {"prompt": told, "completion": told, "label": "boolean", "weight": "number"},
        }[form]
        return {name: kind for name, kind in known.items() if name in self.columns}

    def written(self, path: Path, rows: Ints, sha256: str) -> Written:
        """Return what is said of a file of these rows."""
        _, counts = np.unique(self.prompt[rows], return_counts=True)
        label = self.label[rows]
        paired = bool((label < 0).all())
        return Written(
            file=path.name,
            rows=len(rows),
            desirable=None if paired else int((label == 1).sum()),
            undesirable=None if paired else int((label == 0).sum()),
            prompts=len(counts),
            prompts_with_several_rows=int((counts > 1).sum()),
            sha256=sha256,
        )


def _is_held_out(text: str, share: float, seed: int) -> bool:
    """Whether a prompt belongs to the held-out part: decided by its opening alone, whatever else the data hold."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8, key=seed.to_bytes(16, "big")).digest()
    return int.from_bytes(digest, "big") < share * 2**64
