"""The floor of a training step: the matrix products that its tokens need, and nothing else.

python -m tests.benchmarks.trainer_floor SETTING.json MEASURED.json

Each prompt is there once per tree (the examples of a step that share it), then each completion; the last token of a
completion predicts nothing and is left out. Every projection and both products of attention, per segment and over
whole rectangles, run forward and twice backward; KTO's mismatched completions run forward only, behind prompts that
are there already. Each position that predicts a completion's token is projected to the vocabulary.
"""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from tests.benchmarks.trainer_setting import SHAPES, Measured, Shape, Step, load_setting, load_steps


@dataclass(frozen=True, kw_only=True)
class Product:
    """(count, rows, inner) @ (count, inner, columns); the operand named in `turned` lies transposed in memory."""

    count: int = 1
    rows: int
    inner: int
    columns: int
    turned: str = ""

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.count * self.rows * self.inner * self.columns

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers in the left operand, the right one and the result."""
        left, right = self.rows * self.inner, self.inner * self.columns
        return self.count * left, self.count * right, self.count * self.rows * self.columns


@dataclass(frozen=True, kw_only=True)
class Needed:
    """What a step needs.

    Attributes:
        tokens: with gradient; `extra_tokens` without.
        predictions: positions with gradient that predict; `extra_predictions` without.
        segments: (queries, keys, whether with gradient) of each stretch of tokens.
    """

    tokens: int
    extra_tokens: int
    predictions: int
    extra_predictions: int
    segments: list[tuple[int, int, bool]]


def main() -> None:
    """Time the products of the timed steps."""
    setting = load_setting(sys.argv[1])
    steps, shape = load_steps(setting.our_steps), SHAPES[setting.shape]
    products = [list(step_products(needed(step, setting.loss), shape)) for step in steps]
    every = [product for step in products for product in step]
    dtype = torch.bfloat16 if setting.dtype == "bfloat16" else torch.float32
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = [max(product.sizes[at] for product in every) for at in range(3)]
    pools = [torch.randn(size, device=setting.device).to(dtype) for size in largest]
    for step in products[: setting.warmup]:
        _run(step, pools)
    began = _now(setting.device)
    for step in products[setting.warmup :]:
        _run(step, pools)
    processor, wall = (after - before for after, before in zip(_now(setting.device), began, strict=True))
    timed = steps[setting.warmup :]
    Measured(
        side="floor",
        processor=processor,
        wall=wall,
        tokens=sum(example.tokens for step in timed for example in step),
        peak=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) * 1024,
        losses=[],
        operations=float(sum(product.operations for step in products[setting.warmup :] for product in step)),
    ).save(sys.argv[2])


def needed(step: Step, loss: str) -> Needed:
    """Return what a step needs, each prompt once."""
    trees: dict[tuple[int, ...], list[int]] = {}
    for example in step:
        trees.setdefault(tuple(example.prompt), []).extend(len(one) - 1 for one in example.completions)
    segments = [(len(prompt), len(prompt), True) for prompt in trees]
    segments += [(fed, len(prompt) + fed, True) for prompt, branches in trees.items() for fed in branches if fed]
    others = [*step[1:], step[0]] if loss == "kto" else []
    extra = [(len(one.prompt), len(other.completions[0]) - 1) for one, other in zip(step, others, strict=False)]
    fed = sum(sum(branches) for branches in trees.values())
    extra_tokens = sum(tokens for _, tokens in extra)
    return Needed(
        tokens=sum(map(len, trees)) + fed,
        extra_tokens=extra_tokens,
        predictions=len(trees) + fed,  # a prompt's last position predicts the first token of all its completions
        extra_predictions=extra_tokens,
        segments=segments + [(tokens, prompt + tokens, False) for prompt, tokens in extra if tokens],
    )


def step_products(step: Needed, shape: Shape) -> Iterator[Product]:
    """Yield the products of a step, in the order of a training step or nearly so."""
    heads, narrow = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    projections = [
        *[(shape.hidden, heads), (shape.hidden, narrow), (shape.hidden, narrow), (heads, shape.hidden)],
        *[(shape.hidden, shape.inner), (shape.hidden, shape.inner), (shape.inner, shape.hidden)],
    ]
    for _ in range(shape.layers):
        for width, result in projections:
            yield from _linear(step.tokens, step.extra_tokens, width, result)
        for queries, keys, learns in step.segments:
            yield from _attention(queries, keys, shape, learns)
    yield from _linear(step.predictions, step.extra_predictions, shape.hidden, shape.vocabulary)


def _linear(rows: int, extra: int, width: int, result: int) -> Iterator[Product]:
    """Yield y = x W^T for all rows, and dx = dy W, dW = dy^T x for those with gradient."""
    yield Product(rows=rows + extra, inner=width, columns=result, turned="right")
    yield Product(rows=rows, inner=result, columns=width)
    yield Product(rows=result, inner=rows, columns=width, turned="left")


def _attention(queries: int, keys: int, shape: Shape, learns: bool) -> Iterator[Product]:
    """Yield S = Q K^T and O = P V; with gradient also dP = dO V^T, dQ = dS K, dV = P^T dO and dK = dS^T Q."""
    size, count = shape.head_size, shape.heads
    for _ in range(2 if learns else 1):
        yield Product(count=count, rows=queries, inner=size, columns=keys, turned="right")
        yield Product(count=count, rows=queries, inner=keys, columns=size)
    if learns:
        for _ in range(2):
            yield Product(count=count, rows=keys, inner=queries, columns=size, turned="left")


def _run(products: list[Product], pools: list[Tensor]) -> None:
    for product in products:
        left, right, result = (pool[:size] for pool, size in zip(pools, product.sizes, strict=True))
        count, rows, inner, columns = product.count, product.rows, product.inner, product.columns
        a = _matrix(left, (count, rows, inner), turned=product.turned == "left")
        b = _matrix(right, (count, inner, columns), turned=product.turned == "right")
        c = result.view(count, rows, columns)
        torch.mm(a[0], b[0], out=c[0]) if count == 1 else torch.bmm(a, b, out=c)


def _matrix(numbers: Tensor, shape: tuple[int, int, int], *, turned: bool) -> Tensor:
    assert numbers.numel() == prod(shape)
    count, rows, columns = shape
    return numbers.view(count, columns, rows).transpose(1, 2) if turned else numbers.view(shape)


def _now(device: str) -> tuple[float, float]:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


if __name__ == "__main__":
    main()
