"""Where rows come from: files, folders of files, and data sets of the hub, read row by row."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config import did_you_mean
from trainer.data import SUFFIXES, Row, file_beside, read_rows
from trainer.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A data set of the hub, under a short name.

    Attributes:
        hub: OWNER/NAME.
        format: of its rows.
        part: the folder of the repository that holds it; none: all.
        split: the one for training.
    """

    hub: str
    format: str
    part: str | None = None
    split: str = "train"


PUBLIC_SETS = {
    "hh": PublicSet(hub="Anthropic/hh-rlhf", format="hh"),
    "hh-harmless": PublicSet(hub="Anthropic/hh-rlhf", format="hh", part="harmless-base"),
    "hh-helpful": PublicSet(hub="Anthropic/hh-rlhf", format="hh", part="helpful-base"),
    "hh-helpful-online": PublicSet(hub="Anthropic/hh-rlhf", format="hh", part="helpful-online"),
    "hh-helpful-sampled": PublicSet(hub="Anthropic/hh-rlhf", format="hh", part="helpful-rejection-sampled"),
    "shp": PublicSet(hub="stanfordnlp/SHP", format="shp"),
    "shp2": PublicSet(hub="stanfordnlp/SHP-2", format="shp"),
    "oasst1": PublicSet(hub="OpenAssistant/oasst1", format="oasst"),
    "oasst2": PublicSet(hub="OpenAssistant/oasst2", format="oasst"),
    "ultrafeedback": PublicSet(hub="openbmb/UltraFeedback", format="ultrafeedback"),
    "ultrafeedback-binarized": PublicSet(
        hub="HuggingFaceH4/ultrafeedback_binarized", format="ultrafeedback", split="train_prefs"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One --data: its name as given, and what it stands for.

    Attributes:
        name: as given.
        files: to read, in order; none for a data set of the hub.
        hub: the data set otherwise, and its configuration, folder and split.
        format: of the rows, where it is known.
    """

    name: str
    files: tuple[Path, ...] = ()
    hub: str = ""
    config: str | None = None
    part: str | None = None
    split: str = "train"
    format: str | None = None

    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            TrainerError: a malformed file, a data set that cannot be loaded.
        """
        for path in self.files:
            yield from read_rows(str(path))
        if self.hub:
            yield from self._streamed()

    def fingerprint(self) -> dict[str, Any]:
        """Return the name, and size and SHA-256 of each file.

        Raises:
            TrainerError: a file that cannot be read.
        """
        files = []
        for path in self.files:
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise TrainerError(f"{path}: cannot be read: {error.strerror}") from error
            files.append({"file": str(path), "bytes": path.stat().st_size, "sha256": digest})
        return {"data": self.name, "files": files}

    def _streamed(self) -> Iterator[Row]:
        import datasets

        number = 0
        try:
            rows = datasets.load_dataset(self.hub, self.config, data_dir=self.part, split=self.split, streaming=True)
            for number, values in enumerate(rows, start=1):
                yield Row(place=f"{self.name}: row {number}", values=dict(values))
        except Exception as error:  # whatever the hub client raises, the user's remedy is the same
            reason = " ".join(str(error).split())[:200]
            raise TrainerError(
                f"{self.name}: row {number + 1} of the hub data set {self.hub} cannot be read: {reason}; "
                "check the name, --split and the network, or give a downloaded file with --format"
            ) from error


def find(name: str, said: str | None, split: str | None) -> Source:
    """Return what a --data stands for.

    Args:
        name: a file, a folder, a name of PUBLIC_SETS, or OWNER/NAME[:CONFIG].
        said: the format that the user gave for it, or none.
        split: the one that the user gave, or none.

    Raises:
        TrainerError: no such file or data set.
    """
    path = Path(name)
    if os.path.isfile(name):  # unlike a Path's own, no error for a name that no file can have
        return Source(name=name, files=(path,), format=said)
    if os.path.isdir(name):
        return Source(name=name, files=_files(path, split or "train"), format=said)
    if name in PUBLIC_SETS:
        known = PUBLIC_SETS[name]
        if said not in {None, known.format}:
            raise TrainerError(f"--format {said}: the format of {name} is {known.format}; leave --format out")
        return Source(name=name, hub=known.hub, part=known.part, split=split or known.split, format=known.format)
    hub, _, config = name.partition(":")
    if hub.count("/") == 1 and not name.removesuffix(".gz").endswith((*SUFFIXES, ".csv", ".txt")):
        return Source(name=name, hub=hub, config=config or None, split=split or "train", format=said)
    if beside := file_beside(name):
        raise TrainerError(f"{name}: no such file, and no named data set; is it {beside}?")
    suggestion = did_you_mean(name, tuple(PUBLIC_SETS)).replace("known are", "the named data sets are")
    raise TrainerError(f"{name}: no such file, and no named data set{suggestion}")


def _files(folder: Path, split: str) -> tuple[Path, ...]:
    """Return a folder's data files: those of the split by their names, or the only one."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name.removesuffix(".gz").endswith(SUFFIXES)
        and not path.name.endswith(".report.json")
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    word = re.compile(rf"(?<!\w){re.escape(split)}(?!\w)")  # train-00000.parquet, and not train_sft-00000.parquet
    named = tuple(path for path in files if word.search(path.name))
    if named or len(files) == 1:
        return named or tuple(files)
    there = ", ".join(str(path.relative_to(folder)) for path in files[:5]) or "no .jsonl, .json or .parquet file"
    raise TrainerError(f"{folder}: no file of the split '{split}' in it; there is {there}; give --split, or one file")
