"""What the numbers of a comparison do not hold."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.comparing.comparability import differences
from evalkit.comparing.evaluation import Evaluation
from evalkit.comparing.procedure import Procedure
from evalkit.statistics import EVERY_COMPARISON
from evalkit.tables import printable

if TYPE_CHECKING:
    from evalkit.comparing.compare import Compared


def caveats(
    runs: Mapping[str, Evaluation], benchmarks: Sequence[str], compared: Sequence["Compared"], procedure: Procedure
) -> list[str]:
    """Return the sentences that belong beside a comparison."""
    said = list(EVERY_COMPARISON)
    said += [note for run in runs.values() for note in run.notes]
    said += differences(runs, benchmarks)
    said += _limited(runs)
    said += [sentence for one in compared for sentence in _of_pair(one)]
    said += [sentence for benchmark in benchmarks for sentence in _of_benchmark(runs, benchmark)]
    said += _repeated(compared)
    said += _length(compared)
    said += _many(compared, procedure)
    return list(dict.fromkeys(printable(" ".join(sentence.split())) for sentence in said))


def _limited(runs: Mapping[str, Evaluation]) -> Iterator[str]:
    limited = {name: run.settings["limit"] for name, run in runs.items() if run.settings.get("limit")}
    if limited:
        shown = ", ".join(f"{name}: {limit}" for name, limit in limited.items())
        yield f"Only the first items of each task were asked (limit of {shown}): these are not scores of the benchmark."


def _of_pair(one: "Compared") -> Iterator[str]:
    matched, names = one.matched, f"{one.benchmark}: {one.run} and {one.baseline}"
    if any(matched.unmatched):
        yield (
            f"{one.benchmark}: {one.run} against {one.baseline} leaves out {matched.unmatched[0]} items that only "
            f"the first and {matched.unmatched[1]} that only the second has."
        )
    if matched.different_prompts:
        yield f"{names} got different prompts for {matched.different_prompts} of {one.paired.n} items."
    if matched.failed[0] != matched.failed[1]:
        yield (
            f"{names} failed on different numbers of items ({matched.failed[0]} and {matched.failed[1]}), which are "
            "left out: if a model fails on hard items, it looks better than it is."
        )


def _of_benchmark(runs: Mapping[str, Evaluation], benchmark: str) -> Iterator[str]:
    without = [name for name, run in runs.items() if benchmark not in run.items]
    if without:
        yield f"{benchmark}: not in {', '.join(without)}; no comparison with it there."
    for name, run in runs.items():
        items = run.items.get(benchmark, {}).values()
        failed = [item for item in items if item.score is None]
        if failed:
            reason = next((f", such as: {item.error[:120]}" for item in failed if item.error), "")
            yield f"{benchmark}: {name} has no score for {len(failed)} of {len(items)} items (left out{reason})."
    if not all(item.higher_is_better for run in runs.values() for item in run.items.get(benchmark, {}).values()):
        yield f"{benchmark}: a lower score is better; a negative difference is an improvement."


def _length(compared: Sequence["Compared"]) -> Iterator[str]:
    if any(one.benchmark == "alpaca_eval" for one in compared):
        yield (
            "alpaca_eval: these are plain win rates, which longer answers raise; `evalkit alpaca --compare` has the "
            "difference of the length-controlled ones."
        )


def _repeated(compared: Sequence["Compared"]) -> Iterator[str]:
    for benchmark in dict.fromkeys(one.benchmark for one in compared if one.matched.num_samples > 1):
        yield (
            f"{benchmark}: an item's score is the mean over its samples; the item, not the sample, is the unit of "
            "intervals and tests."
        )


def _many(compared: Sequence["Compared"], procedure: Procedure) -> Iterator[str]:
    number = len(compared)
    if number < 2:
        return
    if procedure.adjust == "none" or procedure.family == "none":
        yield (
            f"{number} comparisons, not adjusted: if no model differed from another, about "
            f"{number * procedure.alpha:.2g} of them would still come out below {procedure.alpha:.4g}."
        )
    elif procedure.family == "benchmark" and len({one.benchmark for one in compared}) > 1:
        yield (
            "p-values are adjusted for each benchmark by itself: the chance of a false alarm over all of them together "
            f"is more than {procedure.alpha:.4g}."
        )
