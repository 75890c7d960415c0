"""How runs are compared: methods, clusters, families; and that the whole of it keeps its level."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evalkit.comparing.compare import compare, detectable
from evalkit.comparing.procedure import Procedure, adjusted
from evalkit.errors import EvalkitError
from evalkit.statistics import (
    PairedDesign,
    bias_reduced,
    bias_reduced_difference,
    clustered_bootstrap,
    detectable_difference,
    holm,
    mcnemar_exact,
    newcombe,
    paired_bootstrap,
    paired_permutation,
    paired_t,
    wild_bootstrap,
)
from tests.evalkit.conftest import write_rows

RunMaker = Callable[..., Path]


def scores(seed: int, n: int = 120) -> tuple[list[int], list[int]]:
    random = np.random.default_rng(seed)
    easy = random.normal(size=n)
    first, second = ((easy + random.normal(size=n) > shift).astype(int).tolist() for shift in (0.3, 0.0))
    return first, second


@pytest.fixture
def subset_runs(tmp_path: Path) -> list[Path]:
    """Two runs of eight subsets of unequal sizes, with a column `topic`."""
    first, second = scores(3)
    sizes = np.repeat(np.arange(8), [5, 10, 15, 20, 25, 20, 15, 10])
    for name, values in (("a", first), ("b", second)):
        rows = [
            {"benchmark": "x", "subset": f"s{s}", "topic": f"t{s % 4}", "id": f"i{i:03d}", "score": v, "metric": "acc"}
            for i, (s, v) in enumerate(zip(sizes.tolist(), values, strict=True))
        ]
        write_rows(tmp_path / name / "samples.jsonl", rows)
        (tmp_path / name / "results.json").write_text("{}")
    return [tmp_path / "a", tmp_path / "b"]


def test_each_method_is_the_statistic_of_that_name(make_run: RunMaker) -> None:
    first, second = scores(0)
    runs = [make_run("a", x=first), make_run("b", x=second)]
    order = sorted(range(len(first)), key=lambda i: f"item{i}")
    ours, theirs = np.array(second, dtype=float)[order], np.array(first, dtype=float)[order]
    wins, losses = int((ours > theirs).sum()), int((ours < theirs).sum())
    both, n = int((ours * theirs).sum()), len(ours)

    def found(method: str):
        return compare(runs, procedure=Procedure(method=method, seed=5)).compared[0].paired

    assert found("auto") == found("mcnemar")
    assert found("mcnemar-exact").p_value == mcnemar_exact(wins, losses)
    assert found("newcombe").interval == newcombe(both, wins, losses, n - both - wins - losses)
    assert found("t") == paired_t(ours - theirs)
    seed = [5, zlib.crc32(b"x")]
    assert found("permutation") == paired_permutation(ours, theirs, rng=np.random.default_rng(seed))
    assert found("bootstrap") == paired_bootstrap(ours, theirs, rng=np.random.default_rng(seed))


def test_clusters_are_subsets_or_a_column(subset_runs: list[Path]) -> None:
    def found(method: str, clusters: str):
        return compare(subset_runs, procedure=Procedure(method=method, clusters=clusters)).compared[0]

    one = found("clustered", "subset")
    matched, subsets = one.matched, one.matched.subsets
    assert one.paired == bias_reduced_difference(matched.first, matched.second, subsets)
    scores = compare(subset_runs, procedure=Procedure(clusters="subset")).scores
    assert scores[0].estimate == bias_reduced(matched.second, subsets)
    assert found("auto", "subset").paired == one.paired
    assert found("auto", "topic").paired.interval_method == "t, 4 clusters"  # of one size
    rng = np.random.default_rng([0, zlib.crc32(b"x")])
    expected = clustered_bootstrap(matched.first - matched.second, subsets, rng=rng)
    assert found("clustered-bootstrap", "subset").paired == expected
    rng = np.random.default_rng(0)
    assert found("wild-bootstrap", "subset").paired == wild_bootstrap(matched.first, matched.second, subsets, rng=rng)


def test_resampling_does_not_depend_on_the_order_of_rows_nor_on_other_runs(
    subset_runs: list[Path], make_run: RunMaker, tmp_path: Path
) -> None:
    procedure = Procedure(method="bootstrap")
    before = compare(subset_runs, procedure=procedure).compared[0].paired
    file = subset_runs[1] / "samples.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(np.random.default_rng(0).permutation(lines).tolist()))
    third = tmp_path / "c"
    third.mkdir()
    for name in ("samples.jsonl", "results.json"):
        (third / name).write_bytes((subset_runs[0] / name).read_bytes())
    assert compare([subset_runs[0], third, subset_runs[1]], procedure=procedure).compared[1].paired == before


def test_answers_to_one_prompt_belong_together_without_being_asked(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for name in ("a", "b"):
        rows = [
            {"benchmark": "judge:x", "id": f"i{i}", "cluster": f"p{i // 3}", "score": float(random.random())}
            for i in range(30)
        ]
        write_rows(tmp_path / name / "samples.jsonl", rows)
        (tmp_path / name / "results.json").write_text("{}")
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    assert comparison.compared[0].paired.interval_method == "t, 10 clusters"
    assert comparison.scores[0].estimate.method == "t, 10 clusters"


@pytest.mark.parametrize("named", ["a", "b"])
def test_one_run_may_say_what_belongs_together(named: str, make_run: RunMaker) -> None:
    """Whichever it is, the result is the same; cluster 0 is a cluster as any other."""
    first, second = scores(4, 40)
    runs = [make_run("a", x=first), make_run("b", x=second)]
    file = runs["ab".index(named)] / "samples.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    write_rows(file, [row | {"cluster": i // 5} for i, row in enumerate(rows)])
    (one,) = compare(runs).compared
    groups = [i // 5 for i in range(40)]
    assert one.paired.interval == pytest.approx(bias_reduced_difference(second, first, groups).interval)
    assert one.paired.interval_method == "t, 8 clusters"


def test_runs_that_group_items_differently_are_refused(make_run: RunMaker) -> None:
    runs = [make_run("a", x=[1, 0, 1, 0]), make_run("b", x=[1, 1, 0, 0])]
    for run, groups in zip(runs, ("ppqq", "rsrs"), strict=True):
        file = run / "samples.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        write_rows(file, [row | {"cluster": name} for row, name in zip(rows, groups, strict=True)])
    with pytest.raises(EvalkitError, match="b, a: x: the runs put the same items into different clusters"):
        compare(runs)
    file = runs[1] / "samples.jsonl"
    file.write_text(file.read_text().replace('"cluster": "s"', '"cluster": "r"').replace('"r"', '"t"', 2))
    assert compare(runs).compared[0].paired.interval_method == "t, 2 clusters"  # other names, the same groups


def test_an_id_may_stand_in_two_subsets(tmp_path: Path) -> None:
    first, second = scores(5, 40)
    for name, values in (("a", first), ("b", second)):
        rows = [
            {"benchmark": "x", "subset": f"s{i // 20}", "id": i % 20, "score": score} for i, score in enumerate(values)
        ]
        write_rows(tmp_path / name / "samples.jsonl", rows)
        (tmp_path / name / "results.json").write_text("{}")
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    assert comparison.compared[0].paired.interval_method == "Tango score"
    assert comparison.scores[0].estimate.method == "Wilson, stratified by 2 subsets"


def test_what_rounding_leaves_of_equal_scores_is_a_tie_by_every_method(make_run: RunMaker) -> None:
    runs = [make_run("a", x=[0.3, 0.5, 0.2, 0.9]), make_run("b", x=[0.1 + 0.2, 0.6, 0.4, 0.8])]
    for method in ("auto", "t", "permutation", "bootstrap"):
        (one,) = compare(runs, procedure=Procedure(method=method)).compared
        assert (one.paired.wins, one.paired.losses) == (2, 1)


def test_a_score_over_equal_subsets_is_compared_so(subset_runs: list[Path]) -> None:
    for run in subset_runs:
        (run / "results.json").write_text('{"benchmarks": {"x": {"method": "Wilson, macro average of 8 subsets"}}}')
    comparison = compare(subset_runs)
    (one,) = comparison.compared
    subsets = np.array(one.matched.subsets)
    gaps = [(one.matched.first - one.matched.second)[subsets == name].mean() for name in sorted(set(subsets))]
    assert one.paired.difference == pytest.approx(np.mean(gaps))
    means = [score.estimate.score for score in comparison.scores]
    assert means[1] - means[0] == pytest.approx(np.mean(gaps))
    with pytest.raises(EvalkitError, match="the mean of its subsets' means"):
        compare(subset_runs, procedure=Procedure(method="t"))


BAD = [
    ({"level": 95.0}, r"--level 95\.0: must lie between 0 and 1"),
    ({"resamples": 10**9}, "--resamples 1000000000: must be 100 to 10000000"),
    ({"method": "z"}, "--method z: it may be auto, mcnemar"),
    ({"adjust": "bonferroni"}, "--adjust bonferroni: it may be holm, bh, none"),
    ({"family": "x"}, "--family x: it may be all, benchmark, none"),
    ({"method": "clustered"}, "--method clustered: needs --clusters"),
    ({"method": "t", "clusters": "subset"}, "--method t: takes every item by itself and would ignore --clusters"),
    ({"resamples": 10}, "--resamples 10: must be 100 to 10000000"),
    ({"seed": -1}, "--seed -1"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_a_procedure_that_makes_no_sense_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        Procedure(**fields)


def test_methods_that_the_scores_do_not_allow_are_refused(make_run: RunMaker) -> None:
    graded = [make_run("a", x=[0.1, 0.5, 0.3]), make_run("b", x=[0.3, 0.6, 0.2])]
    with pytest.raises(EvalkitError, match="--method mcnemar: x has scores other than 0 and 1"):
        compare(graded, procedure=Procedure(method="mcnemar"))
    with pytest.raises(EvalkitError, match="--clusters subset: all items of x belong together"):
        compare(graded, procedure=Procedure(clusters="subset"))


def test_families() -> None:
    p, names = [0.01, 0.02, 0.03, 0.04], ["x", "x", "y", "y"]
    assert adjusted(p, names, Procedure()) == holm(p).tolist()
    assert adjusted(p, names, Procedure(family="benchmark")) == [0.02, 0.02, 0.06, 0.06]
    assert adjusted(p, names, Procedure(adjust="bh")) == pytest.approx([0.04] * 4)
    for none in (Procedure(adjust="none"), Procedure(family="none")):
        assert adjusted(p, names, none) == p


def test_many_unadjusted_comparisons_are_warned_of(make_run: RunMaker) -> None:
    runs = [make_run(name, x=[1, 0, 1], y=[0, 1, 1]) for name in "abc"]
    said = compare(runs, procedure=Procedure(adjust="none")).caveats
    assert any("4 comparisons, not adjusted: if no model differed from another, about 0.2" in text for text in said)
    said = compare(runs, procedure=Procedure(family="benchmark")).caveats
    assert any("for each benchmark by itself" in text for text in said)


def test_the_detectable_difference_is_that_of_the_exact_power(make_run: RunMaker) -> None:
    first, second = scores(1, n=1500)
    (one,) = compare([make_run("a", x=first), make_run("b", x=second)]).compared
    for family in (1, 6):  # a larger family hides more
        design = PairedDesign(discordant=(one.paired.wins + one.paired.losses) / 1500, comparisons=family)
        exact = detectable_difference(design, n=1500).difference
        assert detectable(one.paired, family) == pytest.approx(exact, rel=0.03)
    assert one.detectable == detectable(one.paired, 1)


@pytest.mark.slow
def test_the_chance_of_any_false_alarm_stays_within_the_level(make_run: RunMaker) -> None:
    """Four models that are alike, two benchmarks, all pairs: 12 comparisons; 100 worlds.

    The bound is the level and two and a half standard errors of 100 worlds; the whole simulation is in
    tests/benchmarks/compare.py.
    """
    random, alarms, worlds = np.random.default_rng(0), 0, 100
    for _ in range(worlds):
        runs = []
        easy = {"x": random.normal(size=100), "y": random.normal(size=60)}
        for name in "abcd":
            values = {k: (v + random.normal(size=len(v)) > 0).astype(int).tolist() for k, v in easy.items()}
            runs.append(make_run(name, **values))
        alarms += any(one.significant for one in compare(runs, all_pairs=True).compared)
    assert alarms / worlds <= 0.05 + 2.5 * (0.05 * 0.95 / worlds) ** 0.5
