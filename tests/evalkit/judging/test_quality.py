"""Judges against people's labels: kappa against two libraries, published data, and biases by hand."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as scipy_t
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from evalkit.errors import EvalkitError
from evalkit.judging.agreement import cohen_kappa
from evalkit.judging.judge import judge
from evalkit.judging.labels import read_labelled
from evalkit.judging.options import Options, Spending
from evalkit.judging.outputs import read_rows
from evalkit.judging.plan import plan_labelled
from evalkit.judging.quality import Rated, quality, read_rated
from tests.evalkit.judging.server import JudgeServer

DATA = Path(os.environ.get("HALOTHEORY_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")) / "preference"
real_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}; set HALOTHEORY_DATA to a folder with real data")


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC")), min_size=2, max_size=60))
def test_kappa_and_its_interval_are_those_of_the_libraries(rated: list[tuple[str, str]]) -> None:
    first, second = zip(*rated, strict=True)
    found = cohen_kappa(first, second)
    assert found.n == len(rated)
    assert sum(sum(row.values()) for row in found.confusion.values()) == len(rated)
    if found.kappa is None:
        assert len({*first, *second}) == 1
        return
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    if found.interval is not None and found.interval[0] > -1 and found.interval[1] < 1:
        table = np.array([[found.confusion[a][b] for b in found.confusion] for a in found.confusion])
        theirs = cohens_kappa(table, return_results=True)
        assert found.interval == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=1e-9)


def test_kappa_of_the_textbook() -> None:
    # Fleiss, Cohen, Everitt 1969, table 1, 200 items: kappa 0.429, standard error 0.054 (weights all or nothing)
    table = [[106, 10, 4], [22, 28, 10], [2, 12, 6]]
    pairs = [(a, b) for a in range(3) for b in range(3) for _ in range(table[a][b])]
    found = cohen_kappa([str(a) for a, _ in pairs], [str(b) for _, b in pairs])
    assert found.kappa == pytest.approx(0.429, abs=5e-4)
    assert found.interval is not None
    assert (found.interval[1] - found.interval[0]) / (2 * 1.96) == pytest.approx(0.054, abs=5e-4)


def test_in_clusters_the_interval_is_the_jackknifes() -> None:
    rng = np.random.default_rng(0)
    prompts = np.repeat(np.arange(40), 5)
    human = rng.choice(["A", "B", "C"], 200, p=[0.5, 0.3, 0.2])
    judge = np.where(rng.random(200) < 0.6, human, "A")
    found = cohen_kappa(human.tolist(), judge.tolist(), clusters=prompts.tolist())
    without = [cohen_kappa_score(human[prompts != g], judge[prompts != g]) for g in range(40)]
    error = np.sqrt(39 / 40 * np.sum((np.array(without) - np.mean(without)) ** 2))
    half = scipy_t.ppf(0.975, 39) * error
    assert found.interval == pytest.approx((found.kappa - half, found.kappa + half), abs=1e-9)
    whole = cohen_kappa(["A", "A", "B", "B"], ["A", "A", "B", "B"], clusters=["p", "p", "p", "p"])
    assert (whole.kappa, whole.interval) == (1.0, None)


def test_biases_by_hand() -> None:
    # people: A A B B; the judge always takes the slot that comes first, but for the last pair
    rated = [
        Rated(cluster="1", human="A", judge="C", orders=("A", "B"), longer="A"),
        Rated(cluster="2", human="A", judge="C", orders=("A", "B"), longer="B"),
        Rated(cluster="3", human="B", judge="A", orders=("A", "A"), longer="A"),
        Rated(cluster="4", human="B", judge="B", orders=("B", "B"), longer="A"),
        Rated(cluster="5", human="", judge="B", orders=("B", "B"), longer="A"),
        Rated(cluster="6", human="A", judge="", orders=("", "B"), longer="A"),
    ]
    found = quality(rated)
    assert (found["n"], found["unlabelled"], found["without_verdict"]) == (4, 1, 1)
    assert found["agreement"]["share"] == 0.25
    assert found["agreement_decided"]["share"] == 0.5
    assert (found["swap"]["share"], found["swap"]["n"]) == (0.6, 5)
    assert (found["swap"]["first_slot_twice"], found["swap"]["second_slot_twice"]) == (2, 0)
    assert (found["longer"]["judge"], found["longer"]["human"]) == (0.5, 0.0)
    assert (found["first_answer"]["judge"], found["first_answer"]["human"]) == (0.5, 0.0)


@real_data
@pytest.mark.parametrize(
    ("judged", "agree", "kappa", "first"),
    # counted with awk: rows of equal words; verdicts "left" where neither is a tie
    [("gpt4_winner", 564, 0.4830, 368 / 752), ("gpt35_winner", 454, 0.2200, 509 / 705)],
)
def test_stored_verdicts_by_hand(judged: str, agree: int, kappa: float, first: float) -> None:
    found = quality(read_rated(DATA / "llmfao_crowd" / "judgements.jsonl.gz", human="crowd_majority", judge=judged))
    assert found["agreement"]["share"] == pytest.approx(agree / 766)
    assert found["kappa"]["kappa"] == pytest.approx(kappa, abs=5e-5)
    assert found["first_answer"]["judge"] == pytest.approx(first)


@real_data
def test_stored_gpt_4_verdicts_against_the_crowd() -> None:
    path = DATA / "llmfao_crowd" / "judgements.jsonl.gz"
    rows = [row for _, row in read_rows(path)]
    for judged in ("gpt4_winner", "gpt35_winner"):
        found = quality(read_rated(path, human="crowd_majority", judge=judged))
        pairs = [(row["crowd_majority"], row[judged]) for row in rows if row["crowd_majority"] != "none"]
        human, machine = zip(*pairs, strict=True)
        assert found["n"] == len(pairs) == 766
        assert found["unlabelled"] == 713
        assert found["agreement"]["share"] == pytest.approx(np.mean([a == b for a, b in pairs]))
        assert found["kappa"]["kappa"] == pytest.approx(cohen_kappa_score(human, machine))
        decided = [(a, b) for a, b in pairs if b != "tie"]
        assert found["agreement_decided"]["n"] == len(decided)
        assert found["first_answer"]["judge"] == pytest.approx(np.mean([b == "left" for _, b in decided]))
        assert found["first_answer"]["human"] == pytest.approx(np.mean([a == "left" for a, _ in decided]))


@real_data
def test_people_against_people_and_votes() -> None:
    path = DATA / "pandalm_human" / "judgements.jsonl.gz"
    rows = [row for _, row in read_rows(path)]
    found = quality(read_rated(path, human="annotator1", judge="annotator2"))
    theirs = cohen_kappa_score([row["annotator1"] for row in rows], [row["annotator2"] for row in rows])
    assert found["kappa"]["kappa"] == pytest.approx(theirs)
    votes = quality(read_rated(path, human="annotator1,annotator2,annotator3", judge="majority"))
    assert votes["agreement"]["share"] == 1.0
    assert votes["n"] == sum(max(Counter(row[f"annotator{i}"] for i in (1, 2, 3)).values()) > 1 for row in rows)


@real_data
@pytest.mark.parametrize("name", ["llmbar", "pandalm_human", "llmfao_crowd"])
def test_pairs_that_people_judged_are_read_as_they_are(name: str) -> None:
    path = DATA / name / "judgements.jsonl.gz"
    found = read_labelled(path)
    rows = [row for _, row in read_rows(path)]
    assert len(found) == len(rows)
    assert len({one.pair.id for one in found}) == len(rows)
    names = {"llmbar": "label", "pandalm_human": "majority", "llmfao_crowd": "crowd_majority"}
    words: dict[Any, str] = {1: "A", 2: "B", 0: "C", "left": "A", "right": "B", "none": ""}
    assert [one.label for one in found] == [words[row[names[name]]] for row in rows]


def test_a_judge_is_measured_on_labelled_pairs(tmp_path: Path, serve: Callable[..., JudgeServer]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "instruction": f"Question {i}?",
            "input": "Given." * (i % 2),
            "output_1": "x" * (5 + i % 3),
            "output_2": "y" * 6,
        }
        for i in range(12)
    ]
    for i, row in enumerate(rows):
        row["label"] = [1, 2, 0][i % 3] if i < 9 else None
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = serve()
    options, spending = Options(judge_model="judge-1", base_url=server.url), Spending()
    results = judge(plan_labelled(path, options, spending), tmp_path / "run", spending)
    found = results["benchmarks"]["judge:paper"]["quality"]
    # by_length takes the longer: B, (equal: a tie of both orders), A; people said A, B, C
    assert found["n"] == 9
    assert found["unlabelled"] == 3
    assert found["agreement"]["share"] == 0.0
    assert found["kappa"]["confusion"] == {
        "A": {"A": 0, "B": 3, "C": 0},
        "B": {"A": 0, "B": 0, "C": 3},
        "C": {"A": 3, "B": 0, "C": 0},
    }
    assert found["swap"]["first_slot_twice"] == 4
    assert sum("Given." in body["messages"][0]["content"] for body in server.bodies) == 12


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "a", "output_1": "x"}], "no two answers"),
        ([{"prompt": "a", "output_1": "x", "output_2": "y"}], "no label or human or majority"),
        ([{"prompt": "a", "output_1": "x", "output_2": "y", "label": 3}], "3 is no label; use 1, 2 or 0"),
        ([{"output_1": "x", "output_2": "y", "label": 1}], "no prompt or instruction or input"),
        ([], "holds no rows"),
    ],
)
def test_bad_labels_are_one_line(rows: list[Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(EvalkitError, match=message):
        read_labelled(path)


def test_no_pair_in_common_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rated.jsonl"
    path.write_text(json.dumps({"human": None, "judge": 1}) + "\n")
    with pytest.raises(EvalkitError, match="no pair has both a label and a verdict"):
        quality(read_rated(path, human="human", judge="judge"))


@pytest.mark.parametrize("columns", [{"human": "judge"}, {"human": "a,judge"}, {"human": "a", "swapped": "judge"}])
def test_a_judge_is_not_measured_against_itself(columns: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "rated.jsonl"
    path.write_text(json.dumps({"a": 1, "judge": 1}) + "\n")
    with pytest.raises(EvalkitError, match="--judge judge: the same column"):
        read_rated(path, judge="judge", **columns)
