"""From rows to examples: one flat table of tokens, and a report of what became of each row."""

import hashlib
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from halotheory.contract import Loss
from trainer.codec import Codec, Limits
from trainer.data import Format, Row, check_format, check_row, is_empty
from trainer.errors import TrainerError
from trainer.feedback import control_tokens, learns_from_labels

Ints = NDArray[np.int64]


class Places(Sequence[str]):
    """Where rows come from, `data.jsonl:7`, as the text before the number and the number."""

    def __init__(self, places: Iterable[str] = ()) -> None:
        self._at: dict[str, int] = {}
        self._texts: list[str] = []
        self._which, self._number = array("l"), array("q")
        for place in places:
            self.append(place)

    def append(self, place: str) -> None:
        """Add one more."""
        text = place.rstrip("0123456789")
        number = place[len(text) :]
        exact = number and str(int(number)) == number
        which = self._at.setdefault(text if exact else place, len(self._texts))
        if which == len(self._texts):
            self._texts.append(text if exact else place)
        self._which.append(which)
        self._number.append(int(number) if exact else -1)

    def taken(self, at: Ints) -> "Places":
        """Return some of them."""
        return Places(self[int(one)] for one in at)

    def __len__(self) -> int:
        return len(self._which)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        text, number = self._texts[self._which[at]], self._number[at]
        return text if number < 0 else f"{text}{number}"


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """All examples as tokens, in one flat array.

    Attributes:
        tokens: every prompt and completion, int32, (total,), in a file of which pages are read as needed.
        prompt_start: where each example's prompt begins in `tokens`, (n,); its length alike.
        prompt_length: (n,), >= 1.
        completion_start: (n, k): k = 1 completion, or 2, the chosen and the rejected; the length alike.
        completion_length: (n, k), >= 1, stop token included.
        desirable: bool, (n,): the thumbs of unpaired examples; True where there are none.
        prompt_group: (n,): equal for examples of one prompt, and only for those.
        places: where each example comes from, as errors name it.
        bos_length: how many of a prompt's first tokens are never cut, 0 or 1.
        max_length: tokens that prompt and completion may have together.
        weights: of each example's loss, (n,), >= 0; None: all alike, 1.
    """

    tokens: NDArray[np.int32]
    prompt_start: Ints
    prompt_length: Ints
    completion_start: Ints
    completion_length: Ints
    desirable: NDArray[np.bool_]
    prompt_group: Ints
    places: Places
    bos_length: int
    max_length: int
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.places)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that can come of it: any prompt with any completion, cut to `max_length`."""
        return min(self.max_length, int(self.prompt_length.max() + self.completion_length.max()))


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What holds of some rows; `first` is where the first of them is."""

    reason: str
    rows: int
    first: str


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What became of the rows; `data_report.json` holds it.

    Attributes:
        data: the file or data set.
        format: paired, unpaired or completions, as the file has it.
        conversational: whether any prompt is a conversation.
        weighted: whether the column `weight` weighs the examples' losses.
        conversion: what was made of the rows for this loss: another format, advantages, control tokens; or none.
        rows: read.
        used: rows that gave an example.
        examples: what an epoch goes through: pairs, or completions.
        desirable: of the examples; for pairs, their number.
        undesirable: of the examples; for pairs, their number.
        prompts_truncated: rows whose prompt lost its beginning.
        completions_truncated: completions that lost their end, and so their stop token.
        tokens: prompt and completion tokens of an epoch.
        dropped: by reason.
        noticed: of rows that are used, what the user may not have meant.
    """

    data: str
    format: Format
    conversational: bool
    weighted: bool
    conversion: str | None
    rows: int
    used: int
    examples: int
    desirable: int
    undesirable: int
    prompts_truncated: int
    completions_truncated: int
    tokens: int
    dropped: tuple[Remark, ...]
    noticed: tuple[Remark, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report as a person reads it."""
        said = [
            f"data: {self.used} of {self.rows} rows used, {self.prompts_truncated} prompts truncated, "
            f"{self.completions_truncated} completions truncated, {self.rows - self.used} dropped"
        ]
        said += [f"data: {one.rows} dropped: {one.reason}; the first is {one.first}" for one in self.dropped]
        said += [f"data: {one.rows} of those used: {one.reason}; the first is {one.first}" for one in self.noticed]
        if self.weighted:
            said.append("data: each loss is multiplied by its row's weight")
        return said + ([f"data: {self.conversion}"] if self.conversion else [])


def _digest(ids: list[int]) -> bytes:
    return hashlib.blake2b(np.asarray(ids, np.int32).tobytes(), digest_size=16).digest()


@dataclass(kw_only=True)
class _Builder:
    """Collects examples; `table` freezes them."""

    codec: Codec
    limits: Limits
    controls: Mapping[bool, list[int]]  # what follows a prompt, by label
    file: IO[bytes]  # tokens: many times what is told of them
    at: int = 0
    prompts: "array[int]" = field(default_factory=lambda: array("q"))
    completions: "array[int]" = field(default_factory=lambda: array("q"))
    desirable: "array[int]" = field(default_factory=lambda: array("b"))
    groups: "array[int]" = field(default_factory=lambda: array("q"))
    group_of: dict[bytes, int] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    weights: "array[float]" = field(default_factory=lambda: array("f"))
    prompts_truncated: int = 0
    completions_truncated: int = 0
    noticed: dict[str, list[str]] = field(default_factory=dict)

    def add(self, row: Row, prompt: list[int], completions: list[list[int]], labels: list[bool] | None) -> None:
        """Add one row: a pair where `labels` is none, otherwise one example per completion."""
        self._notice(row, completions)
        group = self.group_of.setdefault(_digest(prompt), len(self.group_of))
        prompts = [[*prompt, *self.controls.get(label, [])] for label in labels or [True]]
        room = self.limits.completion_room(max(map(len, prompts)))
        cut = [completion[:room] for completion in completions]
        self.completions_truncated += sum(len(new) < len(old) for new, old in zip(cut, completions, strict=True))
        kept = [self.limits.cut_prompt(one, max(map(len, cut)), self.codec.bos) for one in prompts]
        self.prompts_truncated += any(len(new) < len(old) for new, old in zip(kept, prompts, strict=True))
        starts = [self._store(one) for one in kept] if self.controls else [self._store(kept[0])] * len(kept)
        spans = [self._store(completion) for completion in cut]
        examples = [spans] if labels is None else [[one] for one in spans]
        for label, start, mine in zip(labels or [True], starts, examples, strict=True):
            self.prompts.extend(start)
            self.completions.extend(number for span in mine for number in span)
            self.desirable.append(label)
            self.groups.append(group)
            self.places.append(row.place)
            self.weights.append(row.values.get("weight", 1.0))

    def _notice(self, row: Row, completions: list[list[int]]) -> None:
        if any(stop in completion[:-1] for completion in completions for stop in self.codec.stops):
            self.noticed.setdefault("a stop token amid the completion, which is learned as text is", []).append(
                row.place
            )
        if len(completions) > 1 and completions[0] == completions[1]:
            self.noticed.setdefault("chosen and rejected are the same", []).append(row.place)

    def _store(self, ids: list[int]) -> tuple[int, int]:
        self.file.write(np.asarray(ids, np.int32).tobytes())
        self.at += len(ids)
        return self.at - len(ids), len(ids)

    def table(self) -> TokenTable:
        prompts = np.frombuffer(self.prompts, np.int64).reshape(-1, 2)
        completions = np.frombuffer(self.completions, np.int64).reshape(len(prompts), -1, 2)
        weights = np.frombuffer(self.weights, np.float32)
        self.file.flush()
        return TokenTable(
            tokens=np.memmap(self.file, np.int32, "r"),
            prompt_start=prompts[:, 0],
            prompt_length=prompts[:, 1],
            completion_start=completions[:, :, 0],
            completion_length=completions[:, :, 1],
            desirable=np.frombuffer(self.desirable, bool),
            prompt_group=np.frombuffer(self.groups, np.int64),
            places=self.places,
            bos_length=len(self.codec.bos),
            max_length=self.limits.total,
            weights=weights if (weights != 1).any() else None,
        )


def tokenize(
    rows: Iterable[Row], loss: Loss, codec: Codec, limits: Limits, *, source: str
) -> tuple[TokenTable, DataReport]:
    """Return the examples that a loss learns from, and what became of the rows.

    Pairs handed to a loss on single completions become two examples, the chosen desirable and the rejected
    undesirable; a loss without labels takes the chosen, or the desirable, only. Control tokens end the prompt: they
    are given, not learned.

    Raises:
        TrainerError: a malformed row, a format that the loss cannot learn from, no row left, or none that counts.
    """
    with tempfile.TemporaryFile() as file:
        return _tokenized(iter(rows), loss, codec, limits, source, file)


def _tokenized(
    rows: Iterator[Row], loss: Loss, codec: Codec, limits: Limits, source: str, file: IO[bytes]
) -> tuple[TokenTable, DataReport]:
    first = next(rows, None)
    if first is None:
        raise TrainerError(f"{source}: holds no rows; expected at least one")
    form = check_format(first, loss)
    controls = dict(zip(control_tokens(loss), codec.encode(list(control_tokens(loss).values())), strict=True))
    builder, dropped = _Builder(codec=codec, limits=limits, controls=controls, file=file), dict[str, list[str]]()
    read, used, conversational = 0, 0, False
    for chunk in _chunks(rows, first):
        kept = []
        for row in chunk:
            check_row(row, form)
            conversational |= isinstance(row.values["prompt"], list)
            reason = _unusable(row, form, loss, codec)
            (dropped.setdefault(reason, []) if reason else kept).append(row.place if reason else row)  # type: ignore[arg-type]
        read, used = read + len(chunk), used + len(kept)
        _add(builder, kept, form, loss)
    drops = _remarks(dropped)
    if not used:
        told = "; ".join(f"{one.rows} dropped: {one.reason}" for one in drops)
        raise TrainerError(f"{drops[0].first}: none of the {read} rows can be used: {told}")
    table = builder.table()
    if table.weights is not None and not table.weights.any():
        raise TrainerError(f"{source}: every row has the weight 0, so nothing would be learned; leave the column out")
    paired = table.completion_length.shape[1] == 2
    return table, DataReport(
        data=source,
        format=form,
        conversational=conversational,
        weighted=table.weights is not None,
        conversion=_conversion(form, loss, len(table)),
        rows=read,
        used=used,
        examples=len(table),
        desirable=len(table) if paired else int(table.desirable.sum()),
        undesirable=len(table) if paired else int((~table.desirable).sum()),
        prompts_truncated=builder.prompts_truncated,
        completions_truncated=builder.completions_truncated,
        tokens=int((table.prompt_length * table.completion_length.shape[1]).sum() + table.completion_length.sum()),
        dropped=drops,
        noticed=_remarks(builder.noticed),
    )


def _remarks(places: Mapping[str, list[str]]) -> tuple[Remark, ...]:
    return tuple(Remark(reason=reason, rows=len(where), first=where[0]) for reason, where in places.items())


def _chunks(rows: Iterator[Row], first: Row, size: int = 1024) -> Iterator[list[Row]]:
    chunk = [first, *islice(rows, size - 1)]
    while chunk:
        yield chunk
        chunk = list(islice(rows, size))


def _unusable(row: Row, form: Format, loss: Loss, codec: Codec) -> str | None:
    """Return why a row cannot be learned from, or None."""
    if row.values["prompt"] == "" and not codec.bos:
        return "empty prompt"
    for column in _completion_columns(form, loss):
        if is_empty(row.values[column]):
            return f"empty {column}"
    if form == "unpaired" and not learns_from_labels(loss) and not row.values["label"]:
        return f"not desirable ({loss.name} learns from desirable completions only)"
    return None


def _completion_columns(form: Format, loss: Loss) -> tuple[str, ...]:
    if form != "paired":
        return ("completion",)
    return ("chosen", "rejected") if loss.kind == "paired" or learns_from_labels(loss) else ("chosen",)


def _add(builder: _Builder, rows: list[Row], form: Format, loss: Loss) -> None:
    columns = _completion_columns(form, loss)
    prompts = builder.codec.prompts(rows)
    completions = [builder.codec.completions(rows, column) for column in columns]
    for at, row in enumerate(rows):
        labels: list[bool] | None = [True, False][: len(columns)]
        if form == "unpaired":
            labels = [row.values["label"]]
        elif loss.kind == "paired":
            labels = None
        builder.add(row, prompts[at], [column[at] for column in completions], labels)


def _conversion(form: Format, loss: Loss, examples: int) -> str | None:
    said = []
    if form == "paired" and loss.kind != "paired":
        thumbs = f"pairs made into {examples} thumbs: chosen is desirable, rejected undesirable"
        said.append(thumbs if learns_from_labels(loss) else f"pairs made into {examples} completions: the chosen")
    if "advantages" in loss.arguments:
        said.append("advantage +1 for every token of a desirable completion, -1 of an undesirable one")
    if controls := control_tokens(loss):
        said.append(
            f"prompts end with {controls[True]} before a desirable completion, {controls[False]} before another"
        )
    return "; ".join(said) or None
