"""Comparisons: items matched by content, differences with their test, adjusted over the family."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evalkit.comparing.as_json import comparison_json
from evalkit.comparing.breakdown import break_down
from evalkit.comparing.compare import compare
from evalkit.comparing.procedure import Procedure
from evalkit.errors import EvalkitError
from evalkit.statistics import EVERY_COMPARISON, holm, mcnemar_mid_p, tango
from tests.evalkit.conftest import write_rows

RunMaker = Callable[..., Path]


def test_a_difference_is_that_of_the_matched_items(make_run: RunMaker) -> None:
    sft = make_run("sft", arithmetic=[1, 0, 0, 0, 1, 0, 0, 1])
    kto = make_run("kto", arithmetic=[1, 1, 1, 1, 0, 1, 0, 1])
    comparison = compare([sft, kto])
    (one,) = comparison.compared
    assert (one.run, one.baseline, one.benchmark) == ("kto", "sft", "arithmetic")
    assert (one.paired.wins, one.paired.losses, one.paired.n) == (4, 1, 8)
    assert one.paired.difference == 3 / 8
    assert one.paired.interval == tango(4, 1, 8)
    assert one.paired.p_value == one.p_adjusted == mcnemar_mid_p(4, 1)
    assert [(s.run, s.estimate.score) for s in comparison.scores] == [("sft", 3 / 8), ("kto", 6 / 8)]


def test_the_family_is_every_comparison_made(make_run: RunMaker) -> None:
    random = np.random.default_rng(0)
    runs = [
        make_run(name, one=random.binomial(1, p, 80).tolist(), two=random.binomial(1, p, 60).tolist())
        for name, p in (("a", 0.3), ("b", 0.5), ("c", 0.7))
    ]
    comparison = compare(runs, baseline=runs[1])
    assert [(one.benchmark, one.run) for one in comparison.compared] == [
        *(("one", "a"), ("one", "c"), ("two", "a"), ("two", "c"))
    ]
    expected = holm([one.paired.p_value for one in comparison.compared])
    assert [one.p_adjusted for one in comparison.compared] == expected.tolist()
    assert len({one.p_adjusted for one in comparison.compared}) > 1
    pairs = compare(runs, all_pairs=True, benchmarks=["two"])
    assert [(one.run, one.baseline) for one in pairs.compared] == [("b", "a"), ("c", "a"), ("c", "b")]
    assert pairs.baseline is None


def test_the_order_of_items_in_a_file_changes_nothing(make_run: RunMaker) -> None:
    a = make_run("a", arithmetic=[1, 0, 1, 1, 0, 0])
    b = make_run("b", arithmetic=[0, 0, 1, 0, 1, 0])
    before = compare([a, b])
    lines = (b / "samples.jsonl").read_text().splitlines()
    (b / "samples.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    assert compare([a, b]) == before


def test_significance_is_decided_by_the_adjusted_p_value_at_the_level(make_run: RunMaker) -> None:
    a, b = make_run("a", arithmetic=[0] * 8 + [1] * 8), make_run("b", arithmetic=[1] * 8 + [1] * 8)
    at_95, at_999 = compare([a, b]), compare([a, b], procedure=Procedure(level=0.999))
    assert at_95.compared[0].p_adjusted == pytest.approx(2**-8)
    assert (at_95.compared[0].significant, at_999.compared[0].significant) == (True, False)


def test_items_of_one_run_alone_are_refused_and_counted(make_run: RunMaker) -> None:
    a, b = make_run("a", arithmetic=[1, 0, 1, 1, 0]), make_run("b", arithmetic=[1, 1, 1])
    with pytest.raises(EvalkitError, match=r"arithmetic: 3 items in both, 0 only in the first, 2 only in the second"):
        compare([a, b])
    partial = compare([a, b], allow_partial=True)
    assert (partial.compared[0].paired.n, partial.compared[0].matched.unmatched) == (3, (0, 2))
    assert any("leaves out 0 items that only the first and 2" in caveat for caveat in partial.caveats)


def test_a_benchmark_of_one_run_alone_is_refused_unless_left_out(make_run: RunMaker) -> None:
    a, b = make_run("a", one=[1, 0], two=[1, 1]), make_run("b", one=[1, 1])
    with pytest.raises(EvalkitError, match="has no benchmark 'two'"):
        compare([a, b])
    assert [one.benchmark for one in compare([a, b], benchmarks=["one"]).compared] == ["one"]
    partial = compare([a, b], allow_partial=True)
    assert [one.benchmark for one in partial.compared] == ["one"]
    assert "two: not in b; no comparison with it there." in partial.caveats


def test_runs_with_nothing_in_common_are_refused_even_in_part(make_run: RunMaker) -> None:
    a, b = make_run("a", one=[1, 0]), make_run("b", two=[1, 1])
    with pytest.raises(EvalkitError, match="no benchmark in common"):
        compare([a, b], allow_partial=True)


def test_equal_folder_names_are_told_apart_by_their_parents(make_run: RunMaker) -> None:
    runs = [make_run("sft/eval", arithmetic=[0, 1]), make_run("kto/eval", arithmetic=[1, 1])]
    assert [score.run for score in compare(runs).scores] == ["sft/eval", "kto/eval"]


def test_what_differs_between_runs_is_said(make_run: RunMaker) -> None:
    a = make_run("a", arithmetic=[1, 0], config={"chat_template": False}, fields={"prompt_hash": "x"})
    b = make_run("b", arithmetic=[1, 0], config={"chat_template": True}, fields={"prompt_hash": "y"})
    caveats = compare([a, b]).caveats
    assert caveats[: len(EVERY_COMPARISON)] == EVERY_COMPARISON
    assert "The runs differ in chat template (a: False, b: True)." in caveats
    assert "arithmetic: b and a got different prompts for 2 of 2 items." in caveats
    assert len(compare([a, make_run("c", arithmetic=[0, 0], config={}, fields={"prompt_hash": "x"})]).caveats) == len(
        EVERY_COMPARISON
    )


def test_scores_of_different_metrics_are_not_compared(make_run: RunMaker) -> None:
    a = make_run("a", arithmetic=[1, 0])
    b = make_run("b", arithmetic=[1, 0], fields={"metric": "exact_match,flexible-extract"})
    with pytest.raises(EvalkitError, match="different metrics: exact_match,flexible-extract, exact_match,none"):
        compare([a, b])


def test_graded_scores_are_compared_by_a_paired_t(make_run: RunMaker) -> None:
    a, b = make_run("a", rouge=[0.1, 0.5, 0.3, 0.9]), make_run("b", rouge=[0.3, 0.6, 0.2, 1.0])
    (one,) = compare([a, b]).compared
    assert (one.paired.test, one.paired.interval_method) == ("paired t", "Student's t")
    assert one.paired.difference == pytest.approx(0.075)


def test_one_json_object_holds_it_all(make_run: RunMaker) -> None:
    a, b = make_run("a", arithmetic=[0.5, 0.5], other=[1, 0]), make_run("b", arithmetic=[0.5, 0.5], other=[1, 1])
    comparison = compare([a, b])
    shown = comparison_json(comparison, break_down(comparison))
    assert (shown["baseline"], shown["level"], shown["family_size"]) == ("a", 0.95, 2)
    assert shown["runs"][1] == {"name": "b", "path": str(b), "kind": "evalkit run", "model": "b"}
    score = shown["scores"][0]
    assert score.pop("assumptions")
    assert score == {
        "run": "a",
        "benchmark": "arithmetic",
        "score": 0.5,
        "n": 2,
        "interval": None,
        "method": "Student's t",
        "failed": 0,
    }
    one = shown["comparisons"][1]
    assert one.pop("assumptions")
    assert one.pop("detectable") > 0.5
    assert one == {
        "run": "b",
        "baseline": "a",
        "benchmark": "other",
        "difference": 0.5,
        "interval": pytest.approx(list(tango(1, 0, 2))),
        "interval_method": "Tango score",
        "n": 2,
        "wins": 1,
        "losses": 0,
        "metric": "exact_match,none",
        "higher_is_better": True,
        "unmatched": [0, 0],
        "failed": [0, 0],
        "different_prompts": 0,
        "p_value": pytest.approx(0.5),
        "test": "McNemar mid-p",
        "p_adjusted": pytest.approx(1.0),
        "adjustment": "holm",
        "family_size": 2,
        "significant": False,
    }
    assert shown["failures"] is None
    assert shown["subsets"] == {"scores": [], "comparisons": []}


@pytest.mark.slow
def test_two_runs_of_the_size_of_mmlu_are_compared_in_two_seconds_with_a_clustered_bootstrap(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    subjects = random.integers(0, 57, 14042).tolist()
    for name in ("a", "b"):
        scores = random.binomial(1, 0.6, 14042).tolist()
        rows = [
            {"benchmark": "mmlu", "subset": f"s{subject}", "id": f"i{i}", "score": score, "prompt": "x" * 700}
            for i, (subject, score) in enumerate(zip(subjects, scores, strict=True))
        ]
        write_rows(tmp_path / name / "samples.jsonl", rows)
        (tmp_path / name / "results.json").write_text("{}")
    procedure = Procedure(clusters="subset", method="clustered-bootstrap", resamples=10_000)
    compare([tmp_path / "a", tmp_path / "b"], procedure=procedure)
    began = time.process_time()  # of this process alone, however busy the machine is
    (one,) = compare([tmp_path / "a", tmp_path / "b"], procedure=procedure).compared
    assert time.process_time() - began < 2  # 0.35 s
    assert one.paired.test == "bootstrap over 57 clusters, studentized"
