"""Many tests at once: adjusted p-values, one test of several models, simultaneous intervals."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import Array, check_resamples, checked_level, finite, is_binary
from evalkit.statistics.records import FamilyTest

MOST_SHUFFLED = 12


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the p-values adjusted for a family of tests, in the order given, (k,).

    The i-th smallest of k is multiplied by k - i + 1, made non-decreasing in rank, and cut at 1: rejecting where
    the result is at most alpha keeps the probability of any false rejection within alpha, whatever the dependence.

    Source: Holm 1979, Scand. J. Stat. 6:65.

    Raises:
        EvalkitError: no p-values, or one outside [0, 1].
    """
    p = _p_values(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the p-values adjusted for the false discovery rate, in the order given, (k,).

    The i-th smallest of k is multiplied by k / i and made non-decreasing in rank: of the hypotheses rejected where
    the result is at most alpha, an expected share of at most alpha is true, if the tests are independent or
    positively dependent. A weaker promise than Holm's: with many rejections some are expected to be false.

    Source: Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289; computed by scipy.

    Raises:
        EvalkitError: no p-values, or one outside [0, 1].
    """
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(_p_values(p_values), method="bh"), dtype=float)


def simultaneous_level(level: float, count: int) -> float:
    """Return the level that each of `count` intervals needs for all of them to cover at once with `level`.

    Bonferroni's: 1 - (1 - level) / count, whatever the dependence.

    Raises:
        EvalkitError: a level outside (0, 1), or no intervals.
    """
    if count < 1:
        raise EvalkitError(f"a family has at least one interval; got {count}")
    return 1 - (1 - checked_level(level)) / count


def _p_values(values: ArrayLike) -> Array:
    p = finite(values, "p-value")
    if p.min() < 0 or p.max() > 1:
        raise EvalkitError("p-values must lie in [0, 1]")
    return p


def cochran_q(scores: ArrayLike) -> FamilyTest:
    """Return Cochran's Q test that several models have the same chance of being right.

    With C_j right answers of model j, R_i models right on item i and k models,
    Q = (k - 1) (k sum C_j^2 - (sum C_j)^2) / (k sum R_i - sum R_i^2), chi-squared with k - 1 degrees of freedom where
    the models are alike. Two models: McNemar's statistic. Where no item tells the models apart, Q is 0 and p is 1.

    Source: Cochran 1950, Biometrika 37:256.

    Args:
        scores: 0 or 1 per item and model, (n, k), k >= 2.

    Raises:
        EvalkitError: fewer than two models, no items, or a score that is neither 0 nor 1.
    """
    from scipy.special import chdtrc

    table = _table(scores)
    statistic = _q(table.sum(axis=0), _q_divisor(table))
    return FamilyTest(
        statistic=float(statistic),
        p_value=float(chdtrc(table.shape[1] - 1, statistic)),
        test="Cochran's Q, chi-squared",
        assumptions="items are independent; many of them tell the models apart",
    )


def cochran_q_permutation(scores: ArrayLike, *, rng: np.random.Generator, resamples: int = 10_000) -> FamilyTest:
    """Return Cochran's Q test by shuffling the models within each item: right for few items, too.

    p = (1 + shuffles with a Q at least as large) / (1 + shuffles).

    Source: Cochran 1950, Biometrika 37:256; the +1 is Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39.

    Args:
        scores: 0 or 1 per item and model, (n, k), k >= 2.
        rng: the source of shuffles.
        resamples: number of shuffles, >= 100.

    Raises:
        EvalkitError: fewer than two models or more than 12, no items, a score that is neither 0 nor 1, or too few
            shuffles.
    """
    check_resamples(resamples)
    table = _table(scores)
    divisor, models = _q_divisor(table), table.shape[1]
    if models > MOST_SHUFFLED:
        raise EvalkitError(f"{models} models are too many to shuffle ({MOST_SHUFFLED} at most); use cochran_q")
    observed = _q(table.sum(axis=0), divisor)
    items_by_right = np.bincount(table.sum(axis=1).astype(int), minlength=models + 1)
    totals = np.zeros((resamples, models))
    for number_right in range(1, models):  # of the models that are right on an item, every choice is equally likely
        choices = np.array(list(combinations(range(models), number_right)))
        indicator = np.zeros((len(choices), models))
        np.put_along_axis(indicator, choices, 1.0, axis=1)
        times = rng.multinomial(items_by_right[number_right], np.full(len(choices), 1 / len(choices)), size=resamples)
        totals += times @ indicator
    as_large = int((_q(totals, divisor) >= observed * (1 - 1e-12)).sum())
    return FamilyTest(
        statistic=float(observed),
        p_value=(1 + as_large) / (1 + resamples),
        test=f"Cochran's Q, {resamples} shuffles within items",
        assumptions="items are independent; within an item the models may trade places where they are alike",
    )


def _table(scores: ArrayLike) -> Array:
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or not len(table) or table.shape[1] < 2:
        raise EvalkitError(f"need a row per item and a column per model, two or more; got the shape {table.shape}")
    if not is_binary(table):
        raise EvalkitError("Cochran's Q is for scores of 0 and 1")
    return table


def _q_divisor(table: Array) -> float:
    rows = table.sum(axis=1)
    return float(table.shape[1] * rows.sum() - np.square(rows).sum())


def _q(totals: Array, divisor: float) -> Array:
    """Return Q for right answers per model, (..., k)."""
    models = totals.shape[-1]
    numerator = (models - 1) * (models * np.square(totals).sum(axis=-1) - np.square(totals.sum(axis=-1)))
    return numerator / divisor if divisor else np.zeros(totals.shape[:-1])
