"""The items that two evaluations share."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.comparing.evaluation import Evaluation, Item, Key
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The items of a benchmark that two runs both scored, in the order of their keys.

    Attributes:
        keys: subset and content hash, (n,).
        first: scores of the first run, (n,).
        second: scores of the second, (n,).
        clusters: what each item belongs to, (n,); its own key without clusters.
        unmatched: items that only the first, and only the second, has.
        failed: items of both that the first, and that the second, has no score for; left out, never wrong.
        different_prompts: shared items that the models were asked in other words.
        num_samples: the most answers of which a score is the mean.
        metric: what a score is.
        higher_is_better: its direction.
        equal_subsets: whether the benchmark's score is the mean of its subsets' means.
    """

    keys: tuple[Key, ...]
    first: "NDArray"
    second: "NDArray"
    clusters: tuple[Hashable, ...]
    unmatched: tuple[int, int]
    failed: tuple[int, int]
    different_prompts: int
    num_samples: int
    metric: str
    higher_is_better: bool
    equal_subsets: bool

    @property
    def subsets(self) -> list[str]:
        """The subset of each item, (n,)."""
        return [subset for subset, _ in self.keys]


def match(runs: Mapping[str, Evaluation], pair: tuple[str, str], benchmark: str, *, allow_partial: bool) -> Matched:
    """Return the items of a benchmark that both runs of a pair scored.

    Args:
        runs: by name.
        pair: names of the first and of the second.
        benchmark: on which.
        allow_partial: go on with the shared items where one run has others.

    Raises:
        EvalkitError: different items, clusters or metrics, or no item with two scores.
    """
    import numpy as np

    ours, theirs = (runs[name].items[benchmark] for name in pair)
    metric, higher_is_better = _metric(pair, benchmark, [*ours.values(), *theirs.values()])
    shared = [key for key in ours if key in theirs]
    unmatched = (len(ours) - len(shared), len(theirs) - len(shared))
    where = ", ".join(str(runs[name].path) for name in pair)
    if any(unmatched) and (not allow_partial or not shared):
        remedy = "use --allow-partial to compare those in both" if shared else "evaluate both on the same items"
        raise EvalkitError(
            f"{where}: {benchmark}: {len(shared)} items in both, {unmatched[0]} only in the first, "
            f"{unmatched[1]} only in the second; {remedy}"
        )
    # sorted, so that no resampling depends on the order of rows in a file
    scored = sorted(key for key in shared if ours[key].score is not None and theirs[key].score is not None)
    if not scored:
        raise EvalkitError(f"{where}: {benchmark}: no item has a score in both; evaluate what failed again")
    return Matched(
        keys=tuple(scored),
        first=np.array([ours[key].score for key in scored], dtype=float),
        second=np.array([theirs[key].score for key in scored], dtype=float),
        clusters=_clusters(pair, benchmark, [(key, ours[key].cluster, theirs[key].cluster) for key in scored]),
        unmatched=unmatched,
        failed=(_failed(ours, shared), _failed(theirs, shared)),
        different_prompts=sum(_asked_differently(ours[key], theirs[key]) for key in scored),
        num_samples=max(max(ours[key].num_samples, theirs[key].num_samples) for key in scored),
        metric=metric,
        higher_is_better=higher_is_better,
        equal_subsets=any(has_equal_subsets(runs[name], benchmark) for name in pair),
    )


def has_equal_subsets(run: Evaluation, benchmark: str) -> bool:
    """Return whether a run's score on a benchmark is the mean of its subsets' means."""
    return benchmark in (run.settings.get("equal_subsets") or ()) and len({key[0] for key in run.items[benchmark]}) > 1


def _metric(pair: tuple[str, str], benchmark: str, items: Sequence[Item]) -> tuple[str, bool]:
    metrics = {(item.metric, item.higher_is_better) for item in items if item.score is not None}
    if len(metrics) > 1:
        shown = ", ".join(sorted(f"{name or 'unnamed'}{'' if up else ' (lower is better)'}" for name, up in metrics))
        raise EvalkitError(f"{', '.join(pair)}: {benchmark} was scored by different metrics: {shown}; score both alike")
    return next(iter(metrics), ("", True))


def _clusters(pair: tuple[str, str], benchmark: str, items: Sequence[tuple[Key, str, str]]) -> tuple[Hashable, ...]:
    """Return what each item belongs to, by the run that says so; if both do, they must group the items alike."""
    both = {(ours, theirs) for _, ours, theirs in items if ours and theirs}
    if len({ours for ours, _ in both}) < len(both) or len({theirs for _, theirs in both}) < len(both):
        raise EvalkitError(
            f"{', '.join(pair)}: {benchmark}: the runs put the same items into different clusters; name them alike"
        )
    renamed = {theirs: ours for ours, theirs in both}
    return tuple(ours or renamed.get(theirs, theirs) or key for key, ours, theirs in items)


def _failed(items: Mapping[Key, Item], keys: Sequence[Key]) -> int:
    return sum(items[key].score is None for key in keys)


def _asked_differently(ours: Item, theirs: Item) -> bool:
    """Return whether both sources hash prompts, and differently."""
    return bool(ours.prompt_hash and theirs.prompt_hash) and ours.prompt_hash != theirs.prompt_hash
