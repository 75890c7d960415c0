"""`evalkit power`: planned comparisons, and runs that are there."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.cli import app
from evalkit.command import run_command
from evalkit.planning.plan import CORRELATIONS
from evalkit.published import ITEMS
from evalkit.statistics import PairedDesign, detectable_difference, sample_size
from evalkit.statistics import power as power_of

RunMaker = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


def evalkit(*words: object) -> int:
    return run_command(app, [str(word) for word in words])


def answer(capsys: Capture, *words: object) -> list[dict[str, Any]]:
    assert evalkit("power", *words, "--json") == 0
    return json.loads(capsys.readouterr().out)["analyses"]


@pytest.fixture
def two_runs(make_run: RunMaker) -> tuple[Path, Path]:
    random = np.random.default_rng(0)
    ability = random.normal(size=400)
    scores = [(random.random(400) < 1 / (1 + np.exp(-ability - gap))).astype(int).tolist() for gap in (0.0, 0.1)]
    graded = [(random.random(300) + 0.05 * run).round(3).tolist() for run in range(2)]
    first, second = (make_run(f"run{i}", sums=scores[i], essays=graded[i]) for i in range(2))
    return first, second


def test_a_benchmark_by_its_name_has_a_line_per_usual_correlation(capsys: Capture) -> None:
    lines = answer(capsys, "--benchmark", "gsm8k", "--baseline-score", 0.55)
    assert [line["correlation"] for line in lines] == list(CORRELATIONS)
    for line in lines:
        design = PairedDesign(baseline_score=0.55, correlation=line["correlation"])
        assert line["difference"] == detectable_difference(design, n=ITEMS["gsm8k"]).difference
        assert line["solved_for"] == "difference"
    assert lines[0]["difference"] > lines[-1]["difference"]


def test_a_difference_gives_the_power_and_the_items(capsys: Capture) -> None:
    have, need = answer(capsys, "--n", 1319, "--discordant", 0.2, "--difference", 0.03, "--comparisons", 6)
    design = PairedDesign(discordant=0.2, comparisons=6)
    assert have["power"] == power_of(design, n=1319, difference=0.03).power
    assert need["n"] == sample_size(design, difference=0.03).n
    assert (have["solved_for"], need["solved_for"]) == ("power", "items")
    assert have["alpha"] == pytest.approx(0.05 / 6)


def test_clusters_and_graded_scores(capsys: Capture) -> None:
    clustered = answer(capsys, "--benchmark", "mmlu", "--discordant", 0.2, "--clusters", 57, "--icc", 0.05)
    assert clustered[0]["design_effect"] > 10
    graded = answer(capsys, "--n", 805, "--sd", 0.4)
    assert graded[0]["difference"] == detectable_difference(PairedDesign(deviation=0.4), n=805).difference
    assert graded[0]["discordant"] is None


def test_text_names_methods_suppositions_and_caveats(capsys: Capture) -> None:
    assert evalkit("power", "--n", 500, "--discordant", 0.2) == 0
    printed = capsys.readouterr()
    assert "Smallest difference that is found" in printed.out
    assert "McNemar mid-p, exact" in printed.out
    assert "supposed: only one of the two is right on 20.00% of the items; items are independent." in printed.out
    assert "training again" in printed.out
    assert "judges" in printed.out
    assert printed.err == ""


def test_two_runs_are_planned_with_their_observed_noise(two_runs: tuple[Path, Path], capsys: Capture) -> None:
    essays, sums = sorted(answer(capsys, *two_runs), key=lambda line: line["benchmark"])
    rows = [[json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()] for run in two_runs]
    differ = [a["score"] - b["score"] for a, b in zip(*rows, strict=True) if a["benchmark"] == "sums"]
    assert sums["discordant"] == np.mean(np.abs(differ))
    assert sums["n"] == 400
    gaps = [a["score"] - b["score"] for a, b in zip(*rows, strict=True) if a["benchmark"] == "essays"]
    assert essays["deviation"] == pytest.approx(np.std(gaps, ddof=1))
    assert {sums["alpha"], essays["alpha"]} == {0.025}  # two benchmarks are a family of two


def test_one_run_is_the_baseline_and_correlations_are_supposed(two_runs: tuple[Path, Path], capsys: Capture) -> None:
    lines = answer(capsys, two_runs[0], "--comparisons", 1)
    assert len(lines) == 2 * len(CORRELATIONS)
    sums = [line for line in lines if line["benchmark"] == "sums"]
    rows = [json.loads(line) for line in (two_runs[0] / "samples.jsonl").read_text().splitlines()]
    score = np.mean([row["score"] for row in rows if row["benchmark"] == "sums"])
    design = PairedDesign(baseline_score=float(score), correlation=0.5)
    assert sums[1]["difference"] == pytest.approx(detectable_difference(design, n=400).difference)
    known = answer(capsys, two_runs[0], "--correlation", 0.8)
    assert {line["correlation"] for line in known} == {0.8}
    observed = answer(capsys, two_runs[0], "--discordant", 0.3)
    assert {line["discordant"] for line in observed} == {0.3}


def test_subsets_as_clusters_widen_what_is_detectable(make_run: RunMaker, capsys: Capture) -> None:
    random = np.random.default_rng(2)
    folders = []
    for name, lean in (("a", 1), ("b", -1)):
        chances = 0.5 + 0.3 * lean * np.repeat([1, -1, 1, -1, 1, -1], 50)
        folder = make_run(name, sums=(random.random(300) < chances).astype(int).tolist())
        rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
        text = "".join(json.dumps(row | {"subset": f"s{i // 50}"}) + "\n" for i, row in enumerate(rows))
        (folder / "samples.jsonl").write_text(text)
        folders.append(folder)
    plain = answer(capsys, *folders)[0]
    assert evalkit("power", *folders, "--cluster-subsets", "--json") == 0
    clustered = json.loads(capsys.readouterr().out)["analyses"][0]
    assert clustered["problem"] is None
    assert clustered["difference"] > 3 * plain["difference"]


def test_items_in_one_run_only_are_left_out_and_counted(make_run: RunMaker, capsys: Capture) -> None:
    first, second = make_run("a", sums=[1, 0] * 60), make_run("b", sums=[0, 1, 1] * 30)
    assert evalkit("power", first, second) == 0
    printed = capsys.readouterr().out
    assert "sums: 30 items are in one of the runs only, and left out." in printed


def test_what_cannot_be_planned_is_said_beside_what_can(make_run: RunMaker, capsys: Capture) -> None:
    first = make_run("a", sums=[1, 0] * 100, easy=[1] * 50)
    second = make_run("b", sums=[0, 0] * 100, easy=[1] * 50)
    by_name = {line["benchmark"]: line for line in answer(capsys, first, second)}
    assert "differ alike on every item" in by_name["easy"]["problem"]
    assert by_name["sums"]["problem"] is None
    alone = {line["benchmark"]: line for line in answer(capsys, first)}
    assert "every item scores 1" in alone["easy"]["problem"]
    assert math.isfinite(alone["sums"]["difference"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "nothing to work out"),
        ("--n 100", "say how noisy"),
        ("--n 100 --discordant 0.2 --benchmark gsm8k", "not both"),
        ("--benchmark gsm9k --sd 1", "known are gsm8k, bbh"),
        ("--n 100 --discordant 0.2 --correlation 0.5", "not both"),
        ("--n 100 --discordant 0.2 --sd 0.4", "give one of --baseline-score, --discordant and --sd"),
        ("--n 100 --baseline-score 55", "such as 0.55; got 55"),
        ("--n 100 --baseline-score nan", "got nan"),
        ("--n 0 --sd 1", "items must be 2 to"),
        ("--n -5 --discordant 0.2", "items must be 2 to"),
        ("--n 100 --discordant 0.2 --power 80", "such as 0.8; got 80"),
        ("--n 100 --discordant 0.2 --level 95", "such as 0.95; got 95"),
        ("--n 100 --discordant 0.2 --clusters 5", "belong together"),
        ("--n 100 --discordant 0.2 --difference 0.5", "at most 0.2 here; got 0.5"),
        ("--n 100 --discordant 0.2 --cluster-subsets", "is for two runs"),
        ("--n 100 --discordant 0.2 --comparisons 0", "at least 1; got 0"),
        ("--n many --sd 1", "be a valid integer"),
        ("nowhere", "nowhere: no such folder"),
        ("a b c", "of one run or of two; got 3"),
        ("a b --discordant 0.2", "two runs have their own noise"),
        ("a --baseline-score 0.2", "a run has its own score"),
        ("a --n 5", "leave --n and --benchmark out"),
        ("a --cluster-subsets", "is for two runs"),
        ("a other", "no benchmark in common"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(
    words: str, message: str, make_run: RunMaker, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in "abc":
        make_run(name, sums=[1, 0] * 20)
    make_run("other", essays=[1, 0] * 20)
    monkeypatch.chdir(tmp_path)
    assert evalkit("power", *words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
