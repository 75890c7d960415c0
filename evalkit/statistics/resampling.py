"""Random sums: of units drawn with replacement, and of values whose signs are flipped."""

from collections.abc import Iterator

import numpy as np

from evalkit.statistics.checks import Array

BLOCK = 500_000
"""Draws at a time: what fits into a processor's cache is twice as fast as what does not."""


def resampled_sums(rows: Array, rng: np.random.Generator, resamples: int) -> Array:
    """Return the column sums of `resamples` samples of the rows, each as large as the rows and with replacement.

    Rows that are equal are drawn together, by a multinomial count: right or wrong answers of 14,042 items take no
    longer than those of ten. The order of the rows changes nothing.

    Args:
        rows: one per unit, (n, c).
        rng: the source of the draws.
        resamples: how many.

    Returns:
        (resamples, c).
    """
    distinct, times = np.unique(rows, axis=0, return_counts=True)
    n = len(rows)
    if 18 * len(distinct) <= n:  # a multinomial category costs as much as 18 draws
        return rng.multinomial(n, times / n, size=resamples).astype(float) @ distinct
    ordered = np.repeat(distinct, times, axis=0)
    sums = np.empty((resamples, rows.shape[1]))
    block = max(1, BLOCK // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(0, n, size=(size, n))
        if rows.shape[1] == 1:
            sums[start : start + size, 0] = ordered[:, 0].take(drawn).sum(axis=1)
        else:
            drawn += np.arange(size)[:, None] * n
            counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
            sums[start : start + size] = counts @ ordered
    return sums


def flipped_sums(values: Array, rng: np.random.Generator, resamples: int) -> Array:
    """Return `resamples` sums of the values, each with a random sign, (resamples,).

    Values of equal size are flipped together, by a binomial count. The order of the values changes nothing.
    """
    sizes, times = np.unique(np.abs(values), return_counts=True)
    if 18 * len(sizes) <= len(values):
        totals = 2.0 * rng.binomial(times, 0.5, size=(resamples, len(sizes))) - times
        return np.asarray(totals @ sizes, dtype=float)
    ordered = np.repeat(sizes, times)
    return np.concatenate([signs @ ordered for signs in random_signs(rng, resamples, len(ordered))])


def random_signs(rng: np.random.Generator, count: int, width: int) -> Iterator[Array]:
    """Yield `count` rows of `width` random signs, as many at a time as are fast."""
    block = max(1, BLOCK // width)
    for start in range(0, count, block):
        rows = min(block, count - start)
        octets = np.frombuffer(rng.bytes(rows * ((width + 7) // 8)), dtype=np.uint8).reshape(rows, -1)
        yield 2 * np.unpackbits(octets, axis=1, count=width).astype(float) - 1


def all_signs(n: int) -> Array:
    """Return every choice of n signs, (2^n, n)."""
    octets = np.arange(2**n, dtype=">u4").view(np.uint8).reshape(-1, 4)
    return 2 * np.unpackbits(octets, axis=1)[:, 32 - n :].astype(float) - 1
