"""Arguments of the statistics, checked where they come in."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.errors import EvalkitError

Array = NDArray[np.float64]

LARGEST = 1e100
ROUNDING = 1e-12
"""Numbers that differ by less, relatively, are taken as equal."""


def finite(values: ArrayLike, what: str = "score") -> Array:
    """Return a list of finite numbers as an array, (n,), n > 0."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise EvalkitError(f"{what}s must be a list of numbers: {error}") from error
    if array.ndim != 1 or not len(array):
        raise EvalkitError(f"no {what}s; a statistic needs at least one")
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise EvalkitError(f"{what} {at + 1} is not a finite number ({array[at]}); leave failed items out")
    if np.abs(array).max() > LARGEST:
        raise EvalkitError(
            f"{what} {int(np.abs(array).argmax()) + 1} is too large to be squared; scale the {what}s down"
        )
    return array


def same_items(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    """Return two lists of scores of equal length."""
    a, b = finite(first), finite(second)
    if len(a) != len(b):
        raise EvalkitError(f"paired scores must be of the same items; got {len(a)} and {len(b)}")
    return a, b


def differences_of(a: Array, b: Array) -> Array:
    """Return a - b, where what rounding leaves of equal scores (0.1 + 0.2 against 0.3) is 0: a tie, not a win."""
    gaps = a - b
    gaps[np.abs(gaps) <= ROUNDING * np.maximum(np.abs(a), np.abs(b))] = 0.0
    return gaps


def is_binary(scores: ArrayLike) -> bool:
    """Return whether every score is 0 or 1."""
    return bool(np.isin(np.asarray(scores, dtype=float), (0.0, 1.0)).all())


def labels(names: Sequence[Hashable], n: int, what: str) -> NDArray[np.int64]:
    """Return the index of each item's group, from 0 in order of appearance, (n,)."""
    if len(names) != n:
        raise EvalkitError(f"need one {what} per score; got {len(names)} for {n} scores")
    codes: dict[Hashable, int] = {}
    return np.fromiter((codes.setdefault(name, len(codes)) for name in names), dtype=np.int64, count=n)


def sums_of_groups(values: Array, codes: NDArray[np.int64]) -> Array:
    """Return the sum of each group's values, (number of groups,)."""
    return np.bincount(codes, weights=values).astype(float)


def checked_level(level: float) -> float:
    """Return a coverage within (0, 1)."""
    if not 0 < level < 1:
        raise EvalkitError(f"the level must lie between 0 and 1, such as 0.95; got {level}")
    return level


def check_counts(successes: int, n: int) -> None:
    """Refuse no items, more successes than items, and parts of an item."""
    if not (isinstance(successes, int | np.integer) and isinstance(n, int | np.integer)):
        raise EvalkitError(f"counts must be whole numbers; got {successes} of {n}")
    if n <= 0:
        raise EvalkitError("no items; a score needs at least one")
    if not 0 <= successes <= n:
        raise EvalkitError(f"counts must lie between 0 and the number of items; got {successes} of {n}")


def check_discordant(wins: int, losses: int, n: int | None = None) -> None:
    """Refuse negative counts, and more of them than items."""
    if min(wins, losses) < 0:
        raise EvalkitError(f"counts cannot be negative; got {wins} wins and {losses} losses")
    if n is not None:
        check_counts(wins + losses, n)


def check_resamples(resamples: int) -> None:
    """Refuse too few resamples to tell 5 % from 1 %."""
    if resamples < 100:
        raise EvalkitError(f"at least 100 resamples are needed, 10000 are usual; got {resamples}")


def no_spread(values: Array) -> bool:
    """Return whether values are equal but for rounding, or spread too little to be squared."""
    if len(values) < 2 or np.ptp(values) <= ROUNDING * np.abs(values).max():
        return True
    return not float(np.square(values - values.mean()).sum())


def normal_quantile(level: float) -> float:
    """Return the two-sided quantile of the normal distribution: 1.96 for 0.95."""
    from scipy.special import ndtri

    return float(ndtri((1 + checked_level(level)) / 2))


def t_quantile(level: float, degrees: float) -> float:
    """Return the two-sided quantile of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + checked_level(level)) / 2))


def t_p_value(statistic: float, degrees: float) -> float:
    """Return the two-sided p-value of a t statistic."""
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(statistic)))
