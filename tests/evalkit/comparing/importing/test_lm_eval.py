"""Logged samples of lm-eval: real ones, and what may be wrong with them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparing.evaluation import evaluation
from evalkit.comparing.importing.lm_eval import is_lm_eval, read_lm_eval
from evalkit.comparing.reading import ReadOptions
from evalkit.errors import EvalkitError
from tests.evalkit.conftest import ARITHMETIC, write_rows

TWO_FILTERS = """
filter_list:
  - {name: first-word, filter: [{function: regex, regex_pattern: "(\\\\S+)"}, {function: take_first}]}
  - {name: whole, filter: [{function: take_first}]}
"""


@pytest.fixture(scope="module")
def logged(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The task files, and what `lm_eval --log_samples` writes for a group of two."""
    folder = tmp_path_factory.mktemp("lm_eval")
    write_rows(folder / "items.jsonl", [{"question": f"{i} is", "answer": " A"} for i in range(12)])
    for name in ("plus", "minus"):
        text = ARITHMETIC.replace("task: arithmetic", f"task: sums_{name}") + TWO_FILTERS
        text = text.replace("items.jsonl", str(folder / "items.jsonl"))
        (folder / f"{name}.yaml").write_text(text)
    group = {"group": "sums", "task": ["sums_plus", "sums_minus"]}
    aggregated = {"aggregate_metric_list": [{"metric": "exact_match", "filter_list": "whole", "weight_by_size": True}]}
    (folder / "sums.yaml").write_text(json.dumps(group | aggregated))
    words = ["--model", "hf", "--model_args", f"pretrained={model}", "--tasks", "sums", "--include_path", str(folder)]
    words += ["--output_path", str(folder / "out"), "--log_samples", "--batch_size", "12", "--device", "cpu"]
    ran = subprocess.run([sys.executable, "-m", "lm_eval", "run", *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return folder, folder / "out"


@pytest.mark.slow
def test_what_lm_eval_logs_is_read_as_a_benchmark_with_its_subsets(logged: tuple[Path, Path]) -> None:
    _, output = logged
    assert is_lm_eval(output)
    (own,) = output.iterdir()
    results = json.loads(next(own.glob("results_*.json")).read_text())
    for path in (output, own):
        source = read_lm_eval(path)
        found = evaluation(source, texts=True)
        assert list(found.items) == ["sums"]
        items = list(found.items["sums"].values())
        assert {item.subset for item in items} == {"sums_plus", "sums_minus"}
        assert {item.metric for item in items} == {"exact_match,first-word"}
        assert all(item.texts and item.texts.prompt.endswith(" is") and item.texts.target == " A" for item in items)
        for subset in ("sums_plus", "sums_minus"):
            scores = [item.score for item in items if item.subset == subset]
            assert len(scores) == 12
            mean = sum(score for score in scores if score is not None) / 12
            assert mean == pytest.approx(results["results"][subset]["exact_match,first-word"])
        assert found.settings["chat_template"] is False
        assert found.settings["versions"] == {"sums/sums_plus": "1.0", "sums/sums_minus": "1.0"}
        assert any("scored by first-word; also there: whole (--filter)" in note for note in found.notes)


@pytest.mark.slow
def test_another_filter_may_be_chosen(logged: tuple[Path, Path]) -> None:
    _, output = logged
    results = json.loads(next(output.glob("*/results_*.json")).read_text())["results"]
    found = evaluation(read_lm_eval(output, answer_filter="whole"))
    scores = [item.score for item in found.items["sums"].values() if item.subset == "sums_plus"]
    assert sum(score for score in scores if score is not None) / 12 == results["sums_plus"]["exact_match,whole"]
    assert found.notes == ()
    with pytest.raises(EvalkitError, match=r"\.jsonl: no filter 'x'; it has first-word, whole"):
        evaluation(read_lm_eval(output, answer_filter="x"))
    with pytest.raises(EvalkitError, match=r"jsonl:1: no metric 'acc'; it has exact_match"):
        evaluation(read_lm_eval(output, metric="acc"))


@pytest.mark.slow
def test_a_run_of_lm_eval_and_one_of_evalkit_have_the_same_items(
    logged: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    from evalkit.running.run import run

    folder, output = logged
    run(str(model), [str(folder / "plus.yaml")], tmp_path / "own")
    own = next(output.glob("*/samples_sums_plus_*.jsonl"))
    (one,) = compare([tmp_path / "own", f"lm_eval={own}"], read=ReadOptions()).compared
    assert one.benchmark == "sums_plus"
    assert (one.paired.n, one.paired.wins, one.paired.losses) == (12, 0, 0)
    assert one.matched.different_prompts == 0


def sample(number: int, **fields: object) -> dict[str, Any]:
    """What lm-eval logs of one item, without what is not read."""
    return {
        "doc_id": number,
        "doc": {"question": number},
        "target": "4",
        "arguments": {"gen_args_0": {"arg_0": f"{number}?", "arg_1": {"until": []}}},
        "resps": [["It is 4."]],
        "filtered_resps": ["4"],
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": 1.0,
        "prompt_hash": f"hash{number}",
    } | fields


DATE, LATER = "2026-01-02T03-04-05.678901", "2026-02-02T03-04-05.678901"


def test_the_newest_run_of_a_folder_is_read_and_said(tmp_path: Path) -> None:
    write_rows(tmp_path / "m" / f"samples_sums_{DATE}.jsonl", [sample(1, exact_match=0.0)])
    write_rows(tmp_path / "m" / f"samples_sums_{LATER}.jsonl", [sample(1)])
    found = evaluation(read_lm_eval(tmp_path))
    assert [item.score for item in found.items["sums"].values()] == [1.0]
    assert "of 2 lm-eval runs in the folder, the newest is read" in found.notes[0]


def test_equal_items_of_a_task_are_told_apart(tmp_path: Path) -> None:
    write_rows(tmp_path / f"samples_sums_{DATE}.jsonl", [sample(1), sample(2, doc={"question": 1})])
    first, second = (key[1] for key in evaluation(read_lm_eval(tmp_path)).items["sums"])
    assert second == f"{first}#2"


def test_what_evalkit_calls_gsm8k_and_bbh_is_called_so(tmp_path: Path) -> None:
    write_rows(tmp_path / f"samples_gsm8k_cot_{DATE}.jsonl", [sample(1)])
    write_rows(tmp_path / f"samples_bbh_cot_fewshot_snarks_{DATE}.jsonl", [sample(1)])
    groups = {"group_subtasks": {"bbh_cot_fewshot": ["bbh_cot_fewshot_snarks"]}}
    (tmp_path / f"results_{DATE}.json").write_text(json.dumps(groups))
    found = evaluation(read_lm_eval(tmp_path)).items
    assert {(name, key[0]) for name, items in found.items() for key in items} == {("gsm8k", ""), ("bbh", "snarks")}


def test_log_likelihoods_and_the_likeliest_choice_are_shown(tmp_path: Path) -> None:
    choices = sample(
        1, resps=[[["-1.5", "False"]], [["-0.5", "True"]]], metrics=["acc", "acc_norm"], acc=0.0, acc_norm=1
    )
    write_rows(tmp_path / f"samples_mc_{DATE}.jsonl", [choices])
    (item,) = evaluation(read_lm_eval(tmp_path), texts=True).items["mc"].values()
    assert (item.score, item.metric) == (0.0, "acc,none")
    assert item.texts is not None
    assert "-1.5" in item.texts.response
    (item,) = evaluation(read_lm_eval(tmp_path, metric="acc_norm")).items["mc"].values()
    assert item.score == 1.0


BAD: dict[str, tuple[Callable[[], list[dict[str, Any]]], str]] = {
    "no_samples": (lambda: [], r"samples_x_.*\.jsonl: no samples"),
    "no_doc": (lambda: [{"doc_id": 0}], r"jsonl:1: not a sample of lm-eval"),
    "corpus_metric": (
        lambda: [sample(1), sample(2, exact_match=[1, 2])],
        r"jsonl:2: exact_match is \[1, 2\], not",
    ),
    "nan": (lambda: [sample(1, exact_match=float("nan"))], r"jsonl:1: the score nan is not a finite number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_samples_are_named_by_their_line(name: str, tmp_path: Path) -> None:
    rows, message = BAD[name]
    write_rows(tmp_path / f"samples_x_{DATE}.jsonl", rows())
    with pytest.raises(EvalkitError, match=message):
        evaluation(read_lm_eval(tmp_path))


def test_samples_of_several_models_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_rows(tmp_path / name / f"samples_x_{DATE}.jsonl", [sample(1)])
    with pytest.raises(EvalkitError, match=r"samples of several models; name one of .*one, .*two"):
        read_lm_eval(tmp_path)
