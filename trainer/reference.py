"""Log-probabilities under the reference model, computed once and kept on disk by what they are of.

A key is made of the tokens alone, and a folder of the model alone: tokenizer, template, truncation and data are in the
tokens, so that an entry serves every run and every loss that asks for it, and no other.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.batch import Sequences, Tokens
from trainer.engine import of_main_process
from trainer.errors import TrainerError
from trainer.progress import progress, say, silent

Keys = NDArray[np.uint64]

BUDGET = {"cpu": 2048, "others": 16384}
"""Tokens of one forward pass of the reference model: on a CPU more would be no faster, and a GPU is to be kept busy."""

PADDED_LOGITS = 2**29
"""At the most of a pass over padded rows, which projects padding, too, and in bfloat16 holds 10 bytes for each."""


def default_folder() -> Path | None:
    """Return where reference log-probabilities are kept: `$XDG_CACHE_HOME/halotheory`, or `~/.cache/halotheory`.

    None: a user without a home keeps none.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "halotheory" / "reference"
    except RuntimeError:
        return None


def fingerprint(model: Any, dtype: torch.dtype, *, sharded: bool = False) -> str:
    """Return a digest of everything but tokens that a model's log-probabilities depend on.

    Args:
        model: of transformers or peft, whole, before it is sharded; before it gets an adapter that changes nothing.
        dtype: of the forward pass.
        sharded: whether it will be: activations between layers are then in `dtype`, too.
    """
    config = model.config.to_diff_dict()
    for name in ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "architectures"):
        config.pop(name, None)
    told = {"model": type(model).__name__, "dtype": str(dtype), "config": config}
    if sharded and dtype != torch.float32:
        told["activations"] = str(dtype)
    if hasattr(model, "peft_config"):
        told["adapters"] = {name: one.to_dict() for name, one in model.peft_config.items()}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def keys(sequences: Sequences) -> Keys:
    """Return 128 bits for each prompt with its completion, (len, 2)."""
    digests = (_digest(prompt, completion) for prompt, completion in sequences)
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


def _digest(prompt: Tokens, completion: Tokens) -> bytes:
    digest = hashlib.blake2b(np.int64(len(prompt)).tobytes(), digest_size=16)
    digest.update(prompt.tobytes())
    digest.update(completion.tobytes())
    return digest.digest()


@dataclass(frozen=True, kw_only=True)
class Logps:
    """Log-probabilities under the reference model, by key.

    Attributes:
        keys: sorted, each once, (n, 2).
        starts: where each entry's values begin in `values`, (n + 1,).
        values: nats, float32: of each token of a completion, or one sum each.
        by_token: which of the two.
    """

    keys: Keys
    starts: NDArray[np.int64]
    values: NDArray[np.float32]
    by_token: bool

    def __call__(self, sequences: Sequences) -> Tensor:
        """Return log pi_ref of completions, (len,), or of their tokens, (len, longest), 0 behind each.

        Raises:
            KeyError: a sequence that the reference model has not scored.
        """
        places = self.find(keys(sequences))
        if (places < 0).any():
            raise KeyError(f"{int((places < 0).sum())} sequences that the reference model has not scored")
        longest = int(sequences.completion_lengths.max()) if self.by_token else 1
        found = np.zeros((len(places), longest), np.float32)
        for row, at in zip(found, places, strict=True):
            entry = self.values[self.starts[at] : self.starts[at + 1]]
            row[: len(entry)] = entry
        return torch.from_numpy(found if self.by_token else found[:, 0])

    def find(self, wanted: Keys) -> NDArray[np.int64]:
        """Return the place of each key, or -1."""
        if not len(self.keys):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(self.keys[:, 0], wanted[:, 0]), len(self.keys) - 1)
        return np.where((self.keys[at] == wanted).all(axis=1), at, -1)

    def only(self, wanted: Keys) -> "Logps":
        """Return the entries with these keys, of those that are there."""
        at = np.unique(self.find(wanted))
        return self._take(at[at >= 0])

    def _take(self, at: NDArray[np.int64]) -> "Logps":
        lengths = np.diff(self.starts)[at]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.starts[at] - starts[:-1], lengths) + np.arange(starts[-1])
        return Logps(keys=self.keys[at], starts=starts, values=self.values[places], by_token=self.by_token)


def empty(by_token: bool) -> Logps:
    """Return no entries."""
    nothing = np.zeros((0, 2), np.uint64)
    return Logps(keys=nothing, starts=np.zeros(1, np.int64), values=np.zeros(0, np.float32), by_token=by_token)


def joined(parts: Sequence[Logps]) -> Logps:
    """Return the entries of all parts, of which there is at least one."""
    lengths = np.concatenate([np.diff(part.starts) for part in parts])
    every = Logps(
        keys=np.concatenate([part.keys for part in parts]),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        values=np.concatenate([part.values for part in parts]),
        by_token=parts[0].by_token,
    )
    _, first = np.unique(np.ascontiguousarray(every.keys).view("u8,u8")[:, 0], return_index=True)
    return every._take(first)


def scored(sequences: Sequences, token_logps: Tensor, by_token: bool) -> Logps:
    """Return the entries of sequences.

    Args:
        sequences: of one forward pass.
        token_logps: of their completions' tokens, (len, longest).
        by_token: whether to keep these, or their sums.
    """
    lengths = sequences.completion_lengths if by_token else np.ones(len(sequences), np.int64)
    whole = token_logps if by_token else token_logps.sum(dim=1, keepdim=True)
    rows = whole.float().cpu().numpy()
    values = np.concatenate([row[:length] for row, length in zip(rows, lengths, strict=True)])
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found = Logps(keys=keys(sequences), starts=starts, values=values, by_token=by_token)
    return joined([found])


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The log-probabilities of one model on disk: parts, each whole or absent.

    Attributes:
        path: of the model's folder, or None: nothing is kept.
        by_token: what is kept of a completion; the two kinds lie apart.
        named: by `--reference-cache`, and then it must be written to; None: the usual place, which need not be.
    """

    path: Path | None
    by_token: bool
    named: str | None = None

    def read(self) -> Logps:
        """Return all entries; a part that cannot be read counts as absent."""
        parts, there = [empty(self.by_token)], list[Path]()
        with contextlib.suppress(OSError):  # a folder that may not be entered
            there = sorted(self.path.glob("*.npz")) if self.path else []
        for path in there:
            # a file that a crash left empty or in part raises whatever its first wrong byte makes zipfile or NumPy say
            with contextlib.suppress(Exception), path.open("rb") as file, np.load(file) as stored:
                entries = {name: stored[name] for name in ("keys", "starts", "values")}
                parts.append(joined([Logps(**entries, by_token=self.by_token)]))
        return joined(parts)

    def add(self, entries: Logps) -> "Folder":
        """Write entries as one more part, and return where the next ones go.

        Raises:
            TrainerError: a folder that was named cannot be written to.
        """
        if self.path is None or not len(entries.keys):
            return self
        part = self.path / f"{uuid.uuid4().hex}.npz"
        temporary = part.with_suffix(".partial")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.savez(file, keys=entries.keys, starts=entries.starts, values=entries.values)
            temporary.replace(part)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            return self.after(error.strerror or str(error))
        return self

    def refusal(self) -> str | None:
        """Return why nothing can be written, or None."""
        try:
            if self.path is not None:
                self.path.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=self.path):
                    pass
        except OSError as error:
            return error.strerror or str(error)
        return None

    def after(self, refusal: str | None, tell: Callable[[str], object] = say) -> "Folder":
        """Return where entries go after a try to write: nowhere, with a warning, if the usual place refused.

        Raises:
            TrainerError: a folder that was named refused.
        """
        if refusal is None:
            return self
        if self.named is not None:
            where = f"--reference-cache {self.named}: {self.path}"
            raise TrainerError(f"{where} cannot be written: {refusal}; give another folder, or none")
        tell(
            f"warning: {self.path} cannot be written: {refusal}; what the reference model says is not kept for later "
            "runs; give --reference-cache FOLDER, or none"
        )
        return replace(self, path=None)


def tokens_at_a_time(device: str, vocabulary: int, *, packed: bool) -> int:
    """Return the tokens, padding included, of one forward pass of a reference model.

    Args:
        device: its type.
        vocabulary: of the model.
        packed: whether sequences share a row.
    """
    suited = BUDGET["cpu" if device == "cpu" else "others"]
    return suited if packed else min(suited, PADDED_LOGITS // vocabulary)


def unscored(wanted: Iterable[Sequences], known: Logps, budget: int, *, packed: bool) -> Iterator[Sequences]:
    """Yield what is not known yet, each sequence once, `budget` tokens at a time.

    Args:
        wanted: sequences, repeated or not.
        known: what is left out.
        budget: tokens, padding included; a sequence that is longer comes alone.
        packed: whether sequences share a row: those with one prompt then come together, else those of like length.
    """
    every: dict[bytes, tuple[Tokens, Tokens]] = {}
    for sequences in wanted:
        names = keys(sequences)
        for at in np.flatnonzero(known.find(names) < 0):
            every.setdefault(names[at].tobytes(), (sequences.prompts[at], sequences.completions[at]))
    batch: list[tuple[Tokens, Tokens]] = []
    size, last = 0, b""
    for prompt, completion in sorted(every.values(), key=_by_prompt if packed else _by_length):
        alone = len(prompt) + len(completion)
        more = len(completion) if prompt.tobytes() == last else alone
        grown = size + more if packed else (len(batch) + 1) * alone  # which is the longest so far
        if batch and grown > budget:
            yield _joined(batch)
            batch, grown = [], alone
        batch.append((prompt, completion))
        size, last = grown, prompt.tobytes()
    if batch:
        yield _joined(batch)


def _by_prompt(both: tuple[Tokens, Tokens]) -> tuple[int, bytes]:
    return len(both[0]), both[0].tobytes()


def _by_length(both: tuple[Tokens, Tokens]) -> int:
    return len(both[0]) + len(both[1])


def _joined(batch: list[tuple[Tokens, Tokens]]) -> Sequences:
    prompts, completions = zip(*batch, strict=True)
    return Sequences(prompts=prompts, completions=completions)


def score(
    forward: Callable[..., Tensor],
    layout: Callable[[Sequences], Any],
    wanted: Iterable[Sequences],
    folder: Folder,
    accelerator: Any,
    *,
    budget: int,
    packed: bool = True,
    seconds: float = 30.0,
) -> Logps:
    """Return the reference model's log-probabilities of all that is wanted: those on disk, and the others, computed.

    Processes share the work; what is computed is on disk every `seconds`, so that a killed run goes on from there.

    Args:
        forward: from a layout to token log-probabilities, (len, longest).
        layout: of sequences.
        wanted: sequences, repeated or not.
        folder: what is known.
        accelerator: which process this is.
        budget: tokens of a forward pass, as `tokens_at_a_time` has them.
        packed: whether sequences share a row.
        seconds: between parts on disk.

    Raises:
        TrainerError: a log-probability that is not finite; a folder that was named cannot be written to.
    """
    from accelerate.utils import broadcast_object_list, gather_object

    wanted = list(wanted)
    names = np.concatenate([keys(sequences) for sequences in wanted])
    (known,) = broadcast_object_list([folder.read().only(names)])
    batches = list(unscored(wanted, known, budget, packed=packed))
    if batches:  # else a folder that can only be read does
        folder = folder.after(
            of_main_process(accelerator, folder.refusal), say if accelerator.is_main_process else silent
        )
    mine, fresh, last = [empty(folder.by_token)], [empty(folder.by_token)], time.monotonic()
    processes, show, done = accelerator.num_processes, accelerator.is_main_process, 0
    rounds = -(-len(batches) // processes)
    with progress("reference", rounds, show=show) as report, torch.no_grad():
        for turn in range(rounds):
            at = turn * processes + accelerator.process_index
            batch = batches[min(at, len(batches) - 1)]  # all processes take part in every pass
            entries = scored(batch, forward(layout(batch)), folder.by_token)
            if not np.isfinite(entries.values).all():  # kept, it would be in every later run
                raise TrainerError(
                    "the reference model gives log-probabilities that are not finite: its weights are not, or --dtype "
                    "float16 is too narrow for them; take bfloat16 or float32"
                )
            if at < len(batches):
                fresh.append(entries)
            if time.monotonic() - last > seconds or turn == rounds - 1:
                folder = folder.add(joined(fresh))
                mine, fresh, last = [*mine, *fresh], [empty(folder.by_token)], time.monotonic()
            done += sum(map(len, batches[turn * processes : (turn + 1) * processes]))
            report(turn + 1, f"{done} completions")
    return joined([known, *(gather_object([joined(mine)]) if batches else [])])
