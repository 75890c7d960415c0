"""Items that come in groups: repeated samples of one question, questions of one subject, games of one prompt."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evalkit.errors import EvalkitError
from evalkit.statistics.checks import (
    Array,
    checked_level,
    differences_of,
    finite,
    is_binary,
    labels,
    same_items,
    sums_of_groups,
    t_p_value,
    t_quantile,
)
from evalkit.statistics.proportions import wilson_limits
from evalkit.statistics.records import Estimate, Interval, PairedDifference

INDEPENDENT_CLUSTERS = "clusters are independent draws; items within one may depend on each other in any way"
FEW_CLUSTERS = 10
"""Below this many, a sandwich variance is mostly noise, and every record says so."""


@dataclass(frozen=True, kw_only=True)
class Clustered:
    """A mean over clustered items, with its sandwich variance.

    Attributes:
        mean: over all items.
        error: its standard error; 0 where no cluster departs from the mean.
        degrees: of freedom: clusters less strata, or fewer where few clusters carry most items.
        clusters: how many.
        name: of the interval.
    """

    mean: float
    error: float
    degrees: float
    clusters: int
    name: str

    def limits(self, level: float) -> Interval | None:
        """Return the t limits; None where the clusters do not vary."""
        checked_level(level)
        if not self.degrees or not self.error:
            return None
        half = t_quantile(level, self.degrees) * self.error
        return self.mean - half, self.mean + half

    @property
    def assumptions(self) -> str:
        """What the t interval and test need."""
        few = f"; {self.clusters} clusters are few: take it with care" if self.clusters < FEW_CLUSTERS else ""
        return f"{INDEPENDENT_CLUSTERS}; enough clusters for their mean to be about normal{few}"


def sandwich(
    values: Array,
    clusters: Sequence[Hashable],
    *,
    strata: Sequence[Hashable] | None = None,
    weights: Array | None = None,
) -> Clustered:
    """Return the (weighted) mean of clustered items with its sandwich variance.

    With W = sum w_i, m = sum w_i x_i / W and u_g = sum of w_i (x_i - m) over cluster g, the variance is
    G/(G-1) sum u_g^2 / W^2. Within fixed strata h, each with G_h clusters, it is
    sum_h G_h/(G_h-1) sum_g (u_g - mean of u in h)^2 / W^2; a stratum of one cluster is refused.

    Source: Liang and Zeger 1986, Biometrika 73:13; Miller 2024, arXiv 2411.00640, eq. 4 (without G/(G-1)); strata
    as in Cochran 1977, Sampling Techniques, 5.
    """
    codes = labels(clusters, len(values), "cluster")
    weighted = np.ones(len(values)) if weights is None else weights
    total = weighted.sum()
    mean = float((weighted * values).sum() / total)
    sums = sums_of_groups(weighted * (values - mean), codes)
    groups = np.zeros(len(sums), dtype=np.int64) if strata is None else _stratum_of_cluster(codes, strata, len(sums))
    counts = np.bincount(groups)
    if strata is not None and counts.min() < 2:
        raise EvalkitError("a subset has one cluster only, which says nothing of its spread; leave the subsets out")
    centres = sums_of_groups(sums, groups) / counts if strata is not None else np.zeros(1)
    spread = sums_of_groups(np.square(sums - centres[groups]), groups)
    degrees = len(sums) - len(counts)
    variance = float((counts / np.maximum(counts - 1, 1) * spread).sum()) if degrees else 0.0
    error = math.sqrt(variance) / float(total)
    noise = 1e-12 * float(np.abs(values).max())  # what is left of equal scores after rounding is no spread
    return Clustered(
        mean=mean,
        error=error if error > noise else 0.0,
        degrees=degrees,
        clusters=len(sums),
        name=f"t, {len(sums)} clusters",
    )


def bias_reduced_sandwich(values: Array, clusters: Sequence[Hashable]) -> Clustered:
    """Return the mean of clustered items with the bias-reduced sandwich variance, for clusters of unequal size.

    With h_g = n_g / N and u_g as in `sandwich`, the variance is sum u_g^2 / (1 - h_g) / N^2 (CR2). The degrees of
    freedom are those of Satterthwaite, tr(B)^2 / tr(B^2), B the covariance of u_g / sqrt(1 - h_g) where a cluster's sum
    has a variance in proportion to n_g (1 - r) + n_g^2 r, r the intraclass correlation (`intraclass_correlation`).
    Clusters of one size have the plain sandwich and G - 1 degrees of freedom.

    Source: Bell and McCaffrey 2002, Survey Methodology 28:169; Imbens and Kolesar 2016, Rev. Econ. Stat. 98:701,
    section III, for the covariance with r.
    """
    codes = labels(clusters, len(values), "cluster")
    sizes, n, mean = np.bincount(codes).astype(float), len(values), float(values.mean())
    plain = sandwich(values, clusters)
    if not plain.error or np.ptp(sizes) == 0:
        return plain
    sums, share = sums_of_groups(values - mean, codes), sizes / n
    inflation = 1 / (1 - share)
    icc = intraclass_correlation(values, clusters)
    return Clustered(
        mean=mean,
        error=math.sqrt(float((np.square(sums) * inflation).sum())) / n,
        degrees=_satterthwaite(inflation, share, sizes * (1 - icc) + np.square(sizes) * icc),
        clusters=len(sizes),
        name=f"t, {len(sizes)} clusters, bias-reduced",
    )


def _satterthwaite(a: Array, h: Array, v: Array) -> float:
    """Return tr(B)^2 / tr(B^2) of B = sqrt(A) (I - h 1') V (I - h 1')' sqrt(A), A and V diagonal, without a matrix.

    (I - h 1') V (I - h 1')' is V + P with P_gk = -h_g v_k - v_g h_k + t h_g h_k, t = sum v.
    """
    t = v.sum()
    diagonal = t * h**2 - 2 * h * v
    hh, hv, vv = (a * h * h).sum(), (a * h * v).sum(), (a * v * v).sum()
    trace = (a * (v + diagonal)).sum()
    squares = (a * a * v * (v + 2 * diagonal)).sum() + 2 * hh * vv + 2 * hv**2 + t**2 * hh**2 - 4 * t * hh * hv
    return float(trace**2 / squares)


def _stratum_of_cluster(codes: np.ndarray, strata: Sequence[Hashable], count: int) -> np.ndarray:
    of_item = labels(strata, len(codes), "subset")
    of_cluster = np.zeros(count, dtype=np.int64)
    of_cluster[codes] = of_item
    if (of_cluster[codes] != of_item).any():
        raise EvalkitError("a cluster lies in two subsets; name its clusters apart")
    return of_cluster


def clustered(
    scores: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    strata: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the mean over all items with a t interval by the clusters' sandwich variance, G - 1 degrees of freedom.

    It is that of a regression on a constant with clustered standard errors (statsmodels: `OLS(x, 1).fit(cov_type=
    "cluster", use_t=True)`). For scores of 0 and 1 it is cut at 0 and 1. Where no cluster departs from the mean there
    is no interval, but for scores that are all 0 or all 1: Wilson's, each cluster one item. Clusters of very unequal
    size: `bias_reduced` covers better.

    Args:
        scores: one number per item, (n,).
        clusters: the group of each item, (n,): its question where questions are asked several times, its subject
            where subjects are taken for a sample of subjects.
        strata: the subset of each item, (n,), where clusters lie within a fixed list of subsets.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, one that is not finite, no cluster for each, or a subset of one cluster.
    """
    values = finite(scores)
    return _estimate(values, sandwich(values, clusters, strata=strata), level)


def bias_reduced(scores: ArrayLike, clusters: Sequence[Hashable], *, level: float = 0.95) -> Estimate:
    """Return the mean over all items as `clustered` does, by the bias-reduced sandwich: for clusters of unequal size.

    Source: `bias_reduced_sandwich`.

    Args:
        scores: one number per item, (n,).
        clusters: the group of each item, (n,).
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, one that is not finite, or no cluster for each.
    """
    values = finite(scores)
    return _estimate(values, bias_reduced_sandwich(values, clusters), level)


def _estimate(values: Array, found: Clustered, level: float) -> Estimate:
    interval, method = found.limits(level), found.name
    if interval is not None and is_binary(values):
        interval = max(0.0, interval[0]), min(1.0, interval[1])
    elif interval is None and found.mean in (0.0, 1.0) and is_binary(values):
        interval = wilson_limits(found.mean, found.clusters, level)
        method = f"Wilson over {found.clusters} clusters, all alike"
    return Estimate(
        score=found.mean,
        n=len(values),
        interval=interval,
        level=level,
        method=method,
        assumptions=found.assumptions,
    )


def clustered_difference(
    first: ArrayLike,
    second: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    strata: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Return the mean paired difference of clustered items, with a t interval and test by the sandwich variance.

    The same as `clustered` of the differences: what makes a question hard for both models cancels. Clusters of very
    unequal size: `bias_reduced_difference` keeps its level better.

    Source: Miller 2024, arXiv 2411.00640, section 4.2.

    Args:
        first: one score per item, (n,).
        second: the scores of the other model on the same items in the same order, (n,).
        clusters: the group of each item, (n,).
        strata: the subset of each item, (n,), where clusters lie within a fixed list of subsets.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, different lengths, one that is not finite, or no cluster for each.
    """
    a, b = same_items(first, second)
    differences = differences_of(a, b)
    found = sandwich(differences, clusters, strata=strata)
    return _difference(differences, found, level, binary=is_binary(a) and is_binary(b))


def bias_reduced_difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable], *, level: float = 0.95
) -> PairedDifference:
    """Return the mean paired difference as `clustered_difference` does, by the bias-reduced sandwich.

    Source: `bias_reduced_sandwich`.

    Args:
        first: one score per item, (n,).
        second: the scores of the other model on the same items in the same order, (n,).
        clusters: the group of each item, (n,); of unequal size.
        level: nominal coverage, in (0, 1).

    Raises:
        EvalkitError: no scores, different lengths, one that is not finite, or no cluster for each.
    """
    a, b = same_items(first, second)
    differences = differences_of(a, b)
    found = bias_reduced_sandwich(differences, clusters)
    return _difference(differences, found, level, binary=is_binary(a) and is_binary(b))


def _difference(differences: Array, found: Clustered, level: float, *, binary: bool) -> PairedDifference:
    interval = found.limits(level)
    if interval is not None and binary:
        interval = max(-1.0, interval[0]), min(1.0, interval[1])
    p_value, test = against(found, 0.0)
    return PairedDifference(
        difference=found.mean,
        n=len(differences),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        interval=interval,
        level=level,
        interval_method=found.name,
        p_value=p_value,
        test=test,
        assumptions=found.assumptions,
    )


def against(found: Clustered, null: float) -> tuple[float, str]:
    """Return the two-sided p-value of the hypothesis that the mean is `null`, and the test's name."""
    if found.error and found.degrees:
        return t_p_value((found.mean - null) / found.error, found.degrees), "t over clusters"
    return (1.0 if found.mean == null else 2.0 ** (1 - found.clusters)), "sign-flip over clusters"


def intraclass_correlation(values: ArrayLike, clusters: Sequence[Hashable]) -> float:
    """Return how much of the variance lies between clusters, cut at 0.

    (B - W) / (B + (m - 1) W), with B and W the mean squares between and within clusters of a one-way analysis of
    variance and m = (N - sum n_g^2 / N) / (G - 1) the cluster size that it sees.

    Source: Fisher 1925; Donner 1986, Int. Stat. Rev. 54:67, eq. 2.1.

    Args:
        values: one per item, (n,).
        clusters: the group of each item, (n,); two clusters or more, and fewer than items.

    Raises:
        EvalkitError: no values, one that is not finite, one cluster only, or as many clusters as items.
    """
    x = finite(values, "value")
    codes = labels(clusters, len(x), "cluster")
    sizes = np.bincount(codes).astype(float)
    groups, n = len(sizes), len(x)
    if not 2 <= groups < n:
        raise EvalkitError(f"an intraclass correlation needs 2 clusters or more, and fewer than items; got {groups}")
    means = sums_of_groups(x, codes) / sizes
    between = float((sizes * np.square(means - x.mean())).sum()) / (groups - 1)
    within = float(np.square(x - means[codes]).sum()) / (n - groups)
    size = (n - float(np.square(sizes).sum()) / n) / (groups - 1)
    total = between + (size - 1) * within
    return max(0.0, (between - within) / total) if total > 0 else 0.0
