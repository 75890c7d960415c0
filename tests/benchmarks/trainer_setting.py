"""What the trainer's benchmark measures: one loss, one model, one precision, one batch size."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Llama by its sizes; `inner` is the width of the MLP."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    tied: bool = False

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads


SHAPES = {
    "body": Shape(hidden=512, layers=6, heads=8, kv_heads=8, inner=1376, vocabulary=4096),
    "head": Shape(hidden=256, layers=4, heads=4, kv_heads=4, inner=688, vocabulary=32768),
    "1b": Shape(hidden=2048, layers=16, heads=32, kv_heads=8, inner=8192, vocabulary=128256, tied=True),
    "8b": Shape(hidden=4096, layers=32, heads=32, kv_heads=8, inner=14336, vocabulary=128256),
}
"""For a CPU, a model whose time goes to its layers and one whose goes to its vocabulary; Llama 3.2 1B and 3.1 8B."""

LEARNING_RATE = 1e-5
BETA = 0.1
MAX_GRAD_NORM = 1.0
SEED = 0
"""What both sides train with, besides AdamW's defaults (betas 0.9 and 0.999, eps 1e-8), no decay, a constant rate."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One line of the benchmark.

    Attributes:
        loss: "kto" or "dpo".
        shape: a key of SHAPES.
        dtype: "float32", or "bfloat16" for autocast.
        batch: examples of a step: thumbs for KTO, pairs for DPO.
        warmup: steps before the clock starts.
        steps: steps that are timed.
        device: "cpu" or "cuda".
        folder: holds `pairs.jsonl`, `sorted.json` and, once our side has run, `steps.json`.
        model: folder of the model.
        lora_rank: of an adapter that is trained beside weights frozen in `dtype`; None: all weights, in float32.
    """

    loss: str
    shape: str
    dtype: str
    batch: int
    warmup: int
    steps: int
    device: str
    folder: str
    model: str
    lora_rank: int | None = None

    @property
    def name(self) -> str:
        """The setting in a few words."""
        adapter = "" if self.lora_rank is None else f" LoRA {self.lora_rank}"
        return f"{self.loss} {self.shape} {self.dtype} batch {self.batch}{adapter}"

    @property
    def pairs(self) -> int:
        """How many pairs fill all steps."""
        examples = (self.warmup + self.steps) * self.batch
        return examples // 2 if self.loss == "kto" else examples

    @property
    def our_steps(self) -> Path:
        """The examples of every step as tokens, in the order in which our side took them."""
        return Path(self.folder) / "steps.json"

    @property
    def sorted_steps(self) -> Path:
        """As many steps of examples of like length."""
        return Path(self.folder) / "sorted.json"

    def save(self, path: Path) -> None:
        """Write the setting to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def load_setting(path: str) -> Setting:
    """Return the setting in a file."""
    return Setting(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example as tokens: a thumb with one completion, or a pair with the chosen one and the rejected one."""

    prompt: list[int]
    completions: list[list[int]]
    desirable: bool

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest completion."""
        return len(self.prompt) + max(map(len, self.completions))

    @property
    def tokens(self) -> int:
        """Useful tokens: the prompt with each completion; a mismatched completion is not counted."""
        return len(self.prompt) * len(self.completions) + sum(map(len, self.completions))


Step = list[Example]


def save_steps(steps: list[Step], path: Path) -> None:
    """Write steps where the other sides find them."""
    path.write_text(json.dumps([[asdict(one) for one in step] for step in steps]), encoding="utf-8")


def load_steps(path: Path) -> list[Step]:
    """Return the steps in a file."""
    read: list[list[Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [[Example(**one) for one in step] for step in read]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one process found.

    Attributes:
        side: "ours", "trl", "trl sorted", "trl as shipped" or "floor".
        processor: CPU seconds of the timed steps, all threads.
        wall: seconds of the timed steps.
        tokens: useful tokens of the timed steps.
        peak: bytes of memory above those of the imports (of the GPU: allocated), from loading the model to the end.
        losses: the loss of every step, warm-up included; none of the floor.
        reference_point: KTO's largest z0 of any step, of our side.
        operations: floating-point operations of the floor's products; 0 of the others.
    """

    side: str
    processor: float
    wall: float
    tokens: int
    peak: int
    losses: list[float]
    reference_point: float = 0.0
    operations: float = 0.0

    def save(self, path: str) -> None:
        """Write the finding to a file."""
        Path(path).write_text(json.dumps(asdict(self)), encoding="utf-8")


def load_measured(path: Path) -> Measured:
    """Return the finding in a file."""
    return Measured(**json.loads(path.read_text(encoding="utf-8")))
