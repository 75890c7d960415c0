"""How runs are compared: the statistic of a difference, and the family that its p-value is adjusted for."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.comparing.matching import Matched
from evalkit.errors import EvalkitError
from evalkit.statistics import PairedDifference

if TYPE_CHECKING:
    import numpy as np

SUBSET = "subset"
METHODS = (
    *("auto", "mcnemar", "mcnemar-exact", "newcombe", "t", "permutation", "bootstrap"),
    *("clustered", "clustered-bootstrap", "wild-bootstrap"),
)
_OF_CLUSTERS = ("clustered", "clustered-bootstrap", "wild-bootstrap")
MOST_RESAMPLES = 10_000_000
ADJUSTMENTS = ("holm", "bh", "none")
FAMILIES = ("all", "benchmark", "none")


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """How runs are compared.

    Attributes:
        level: coverage of the intervals, in (0, 1); adjusted p-values below 1 - level are significant.
        method: of METHODS. `auto` is `clustered` where clusters are named or items have a `cluster`, else
            `mcnemar` (mid-p, with Tango's interval) for scores of 0 and 1, and Student's `t` for others.
        clusters: `subset`, or the column of a sample that says what an item belongs to.
        adjust: of ADJUSTMENTS: Holm's, Benjamini and Hochberg's, or no adjustment.
        family: of FAMILIES: what p-values are adjusted together: all, those of a benchmark, or each alone.
        resamples: of bootstrap and permutation.
        seed: of both.
    """

    level: float = 0.95
    method: str = "auto"
    clusters: str | None = None
    adjust: str = "holm"
    family: str = "all"
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise EvalkitError(f"--level {self.level}: must lie between 0 and 1, such as 0.95")
        for option, value, known in (
            ("--method", self.method, METHODS),
            ("--adjust", self.adjust, ADJUSTMENTS),
            ("--family", self.family, FAMILIES),
        ):
            if value not in known:
                raise EvalkitError(f"{option} {value}: it may be {', '.join(known)}")
        if self.method in _OF_CLUSTERS and self.clusters is None:
            raise EvalkitError(f"--method {self.method}: needs --clusters, subset or a column of the samples")
        if self.clusters is not None and self.method not in {"auto", *_OF_CLUSTERS}:
            raise EvalkitError(
                f"--method {self.method}: takes every item by itself and would ignore --clusters; it may be "
                f"{', '.join(_OF_CLUSTERS)}"
            )
        if not 100 <= self.resamples <= MOST_RESAMPLES:
            raise EvalkitError(f"--resamples {self.resamples}: must be 100 to {MOST_RESAMPLES}; 10000 are usual")
        if self.seed < 0:
            raise EvalkitError(f"--seed {self.seed}: must be at least 0")

    @property
    def alpha(self) -> float:
        """The significance level, 1 - level, without what rounding leaves."""
        return round(1 - self.level, 12)


def difference(matched: Matched, benchmark: str, procedure: Procedure) -> PairedDifference:
    """Return the paired difference of matched scores, first minus second, by the procedure's method.

    Raises:
        EvalkitError: a method that the scores do not allow, or a single cluster.
    """
    if matched.equal_subsets:
        return _over_subsets(matched, benchmark, procedure)
    if procedure.clusters is not None:
        return _over_clusters(matched, benchmark, procedure)
    return _over_items(matched, benchmark, procedure)


def _over_items(matched: Matched, benchmark: str, procedure: Procedure) -> PairedDifference:
    from evalkit.statistics import is_binary, paired_bootstrap, paired_difference, paired_permutation, paired_t
    from evalkit.statistics.checks import differences_of

    first, second, level = matched.first, matched.second, procedure.level
    resampled = {"rng": _generator(procedure, benchmark), "resamples": procedure.resamples, "level": level}
    match procedure.method:
        case "t":
            return paired_t(differences_of(first, second), level=level)
        case "permutation":
            return paired_permutation(first, second, **resampled)
        case "bootstrap":
            return paired_bootstrap(first, second, **resampled)
    if procedure.method == "auto":  # over clusters, where items have some, such as answers to one prompt
        return paired_difference(first, second, clusters=matched.clusters, level=level)
    if not (is_binary(first) and is_binary(second)):
        raise EvalkitError(
            f"--method {procedure.method}: {benchmark} has scores other than 0 and 1; use t, permutation or bootstrap"
        )
    return _of_counts(paired_difference(first, second, level=level), matched, procedure.method)


def _of_counts(found: PairedDifference, matched: Matched, method: str) -> PairedDifference:
    """Return Tango's interval and the mid-p test with what the method has in their place."""
    from evalkit.statistics import mcnemar_exact, newcombe

    if method == "mcnemar-exact":
        return replace(found, p_value=mcnemar_exact(found.wins, found.losses), test="McNemar exact")
    if method == "newcombe":
        both = int(((matched.first > 0) & (matched.second > 0)).sum())
        neither = found.n - both - found.wins - found.losses
        interval = newcombe(both, found.wins, found.losses, neither, level=found.level)
        return replace(found, interval=interval, interval_method="Newcombe hybrid score")
    return found


def _over_clusters(matched: Matched, benchmark: str, procedure: Procedure) -> PairedDifference:
    from evalkit.statistics import bias_reduced_difference, clustered_bootstrap, wild_bootstrap
    from evalkit.statistics.checks import differences_of

    groups = matched.subsets if procedure.clusters == SUBSET else matched.clusters
    if len(set(groups)) < 2:
        raise EvalkitError(
            f"--clusters {procedure.clusters}: all items of {benchmark} belong together; an interval over clusters "
            "needs two or more: choose --benchmarks, or leave the clusters out"
        )
    first, second, level = matched.first, matched.second, procedure.level
    resampled = {"rng": _generator(procedure, benchmark), "resamples": procedure.resamples, "level": level}
    match procedure.method:
        case "clustered-bootstrap":
            return clustered_bootstrap(differences_of(first, second), groups, **resampled)
        case "wild-bootstrap":
            return wild_bootstrap(first, second, groups, **resampled)
    return bias_reduced_difference(first, second, groups, level=level)


def _over_subsets(matched: Matched, benchmark: str, procedure: Procedure) -> PairedDifference:
    """Return the mean of the subsets' mean differences: items weigh 1 / n_s, their subsets are fixed."""
    import numpy as np

    from evalkit.statistics.checks import differences_of
    from evalkit.statistics.clusters import against, sandwich

    if procedure.method != "auto" or procedure.clusters is not None:
        raise EvalkitError(
            f"--method, --clusters: the score of {benchmark} is the mean of its subsets' means, which has one method "
            "here; leave them out, or choose --benchmarks"
        )
    differences, subsets = differences_of(matched.first, matched.second), np.array(matched.subsets)
    _, codes = np.unique(subsets, return_inverse=True)
    sizes = np.bincount(codes)
    found = sandwich(
        differences,
        range(len(differences)),
        strata=matched.subsets if sizes.min() > 1 else None,
        weights=1 / sizes[codes],
    )
    p_value, test = against(found, 0.0)
    return PairedDifference(
        difference=found.mean,
        n=len(differences),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        interval=found.limits(procedure.level),
        level=procedure.level,
        interval_method=f"t, mean of {len(sizes)} subsets' means",
        p_value=p_value,
        test=test.replace("clusters", "items"),
        assumptions="items are independent draws within fixed subsets; the mean difference is about normal",
    )


def _generator(procedure: Procedure, benchmark: str) -> "np.random.Generator":
    """Return a generator that does not depend on which other runs and benchmarks are compared."""
    import numpy as np

    return np.random.default_rng([procedure.seed, zlib.crc32(benchmark.encode())])


def adjusted(p_values: Sequence[float], benchmarks: Sequence[str], procedure: Procedure) -> list[float]:
    """Return the p-values adjusted within their families, in the order given.

    Args:
        p_values: of every comparison made, (k,).
        benchmarks: on which each was made, (k,).
        procedure: says what a family is, and how it is adjusted.
    """
    from evalkit.statistics import benjamini_hochberg, holm

    if procedure.adjust == "none" or procedure.family == "none":
        return list(p_values)
    adjust = holm if procedure.adjust == "holm" else benjamini_hochberg
    families: dict[str, list[int]] = {}
    for index, benchmark in enumerate(benchmarks):
        families.setdefault(benchmark if procedure.family == "benchmark" else "", []).append(index)
    found = list(p_values)
    for members in families.values():
        for index, p in zip(members, adjust([p_values[index] for index in members]), strict=True):
            found[index] = float(p)
    return found


def family_size(benchmark: str, benchmarks: Sequence[str], procedure: Procedure) -> int:
    """Return with how many comparisons, itself among them, one on a benchmark is adjusted."""
    if procedure.adjust == "none" or procedure.family == "none":
        return 1
    return len(benchmarks) if procedure.family == "all" else list(benchmarks).count(benchmark)
