"""pass@k: the chance that at least one of k samples of a problem is right."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import is_binary
from evalkit.statistics.means import t_interval
from evalkit.statistics.proportions import wilson
from evalkit.statistics.records import Estimate


def pass_at_k(samples: Sequence[int], correct: Sequence[int], k: int) -> NDArray[np.float64]:
    """Return the unbiased estimate of pass@k of each problem, (number of problems,).

    1 - C(n - c, k) / C(n, k), computed as 1 - prod over i = n - c + 1 .. n of (1 - k / i).

    Source: Chen et al. 2021, arXiv 2107.03374, eq. 1.

    Args:
        samples: samples drawn per problem, n >= k.
        correct: of which right, 0 <= c <= n.
        k: how many tries, >= 1.

    Raises:
        EvalkitError: no problems, k below 1 or above the samples of a problem, or counts that do not fit.
    """
    if len(samples) != len(correct) or not len(samples):
        raise EvalkitError(f"need samples and right ones per problem; got {len(samples)} and {len(correct)}")
    if k < 1:
        raise EvalkitError(f"k must be at least 1; got {k}")
    return np.array([_one(n, c, k, i) for i, (n, c) in enumerate(zip(samples, correct, strict=True), start=1)])


def _one(n: int, c: int, k: int, problem: int) -> float:
    if not 0 <= c <= n:
        raise EvalkitError(f"problem {problem}: {c} right of {n} samples do not fit")
    if k > n:
        raise EvalkitError(f"problem {problem}: pass@{k} needs {k} samples; it has {n}")
    if n - c < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(n - c + 1, n + 1)))


def mean_pass_at_k(samples: Sequence[int], correct: Sequence[int], k: int, *, level: float = 0.95) -> Estimate:
    """Return the mean of pass@k over problems with its interval: problems are the items, samples within them are not.

    One sample per problem: Wilson's interval. Several: Student's t over problems, which holds both the choice of
    problems and the chance within each, cut at 0 and 1; where every problem is passed, or none, Wilson's.

    Raises:
        EvalkitError: as `pass_at_k`.
    """
    values = pass_at_k(samples, correct, k)
    if is_binary(values) and (max(samples) == 1 or len(set(values.tolist())) == 1):
        found = wilson(int(values.sum()), len(values), level=level)
    else:
        found = t_interval(values, level=level)
    interval = found.interval and (max(0.0, found.interval[0]), min(1.0, found.interval[1]))
    return Estimate(
        score=found.score,
        n=found.n,
        interval=interval,
        level=level,
        method=f"{found.method}, pass@{k} over problems",
        assumptions="problems are independent draws; enough of them for their mean to be about normal",
    )
