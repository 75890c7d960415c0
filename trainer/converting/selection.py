"""Which rows are kept, and in which order: functions on arrays of row numbers, with every draw made from the seed."""

import zlib

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError

Ints = NDArray[np.int64]
Draws = NDArray[np.uint64]


def draws(seed: int, purpose: str, count: int) -> Draws:
    """Return random numbers of 64 bits, (count,): the same for one seed and purpose, whatever else is drawn.

    PCG64's raw numbers are the same in every version of NumPy, as those of a `Generator`'s methods are not.
    """
    return np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])).random_raw(count)


def sample(rows: Ints, count: int, drawn: Draws) -> Ints:
    """Return `count` of the rows, drawn without replacement, in their order."""
    chosen = np.argsort(drawn, kind="stable")[:count]
    return rows[np.sort(chosen)]


def shuffled(rows: Ints, drawn: Draws) -> Ints:
    """Return the rows in random order."""
    return rows[np.argsort(drawn, kind="stable")]


def first_of_each(rows: Ints, content: Ints) -> Ints:
    """Return the rows whose content no earlier one has; `content` numbers it, (rows,)."""
    _, first = np.unique(content, return_index=True)
    return rows[np.sort(first)]


def one_of_each(rows: Ints, prompt: Ints, drawn: Draws) -> Ints:
    """Return one row of each prompt, drawn, in their order; `prompt` numbers the rows' prompts, (rows,)."""
    return at_most_of_each(rows, prompt, 1, drawn)


def at_most_of_each(rows: Ints, prompt: Ints, count: int, drawn: Draws) -> Ints:
    """Return at most `count` rows of each prompt, drawn without replacement, in their order."""
    order = np.lexsort((drawn, prompt))
    starts = np.flatnonzero(np.diff(prompt[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return rows[np.sort(order[rank < count])]


def share_of(rows: Ints, among: NDArray[np.bool_], share: float, drawn: Draws) -> Ints:
    """Return all rows but those `among` which only a share is kept: the nearest number to it, drawn."""
    candidates = np.flatnonzero(among)
    kept = sample(candidates, round(share * len(candidates)), drawn[candidates])
    wanted = ~among
    wanted[kept] = True
    return rows[wanted]


def mixture(available: list[int], shares: list[float], size: int | None) -> list[int]:
    """Return how many rows to draw of each source, so that they are in the given shares (largest remainders).

    Args:
        available: rows of each source.
        shares: > 0, on any scale.
        size: of the mixture; none: the largest for which every source has enough.

    Raises:
        TrainerError: a source has too few rows.
    """
    weights = np.array(shares) / sum(shares)
    largest = int(min(have / weight for have, weight in zip(available, weights, strict=True)) + 1e-9)
    while any(want > have for want, have in zip(_round(weights, largest), available, strict=True)):
        largest -= 1
    if size is not None and size > largest:
        raise TrainerError(
            f"--size {size}: drawn without replacement in these shares, sources of "
            f"{', '.join(map(str, available))} rows give at most {largest}"
        )
    return _round(weights, largest if size is None else size)


def _round(weights: NDArray[np.float64], size: int) -> list[int]:
    """Return whole numbers nearest to weights times size that add up to it."""
    exact = weights * size
    counts = np.floor(exact).astype(int)
    short = size - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:short]] += 1
    return counts.tolist()
