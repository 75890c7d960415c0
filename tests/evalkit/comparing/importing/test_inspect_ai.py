"""Logs of inspect_ai 0.3.285, real ones of four sums: `.eval` with two epochs, `.json` with one."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparing.evaluation import evaluation
from evalkit.comparing.importing import inspect_ai
from evalkit.comparing.importing.inspect_ai import read_eval_file, read_log
from evalkit.comparing.procedure import Procedure
from evalkit.comparing.reading import ReadOptions
from evalkit.errors import EvalkitError

LOGS = Path(__file__).parents[1] / "logs"
EVAL, JSON = LOGS / "arithmetic.eval", LOGS / "arithmetic.json"


def log() -> dict[str, Any]:
    return json.loads(JSON.read_text())


def accuracy(results: dict[str, Any], scorer: str) -> float:
    return next(s["metrics"]["accuracy"]["value"] for s in results["scores"] if s["name"] == scorer)


@pytest.mark.parametrize("scorer", ["match", "includes"])
def test_the_mean_is_what_inspect_ai_says_it_is(scorer: str) -> None:
    with zipfile.ZipFile(EVAL) as archive, EVAL.open("rb") as file:
        header = inspect_ai._member(EVAL, archive, file, "header.json")
    found = evaluation(read_eval_file(EVAL, metric=scorer)).items["arith"].values()
    assert sum(item.score or 0 for item in found) / len(found) == accuracy(header["results"], scorer)
    assert {item.num_samples for item in found} == {2}
    found = evaluation(read_log(JSON, log(), metric=scorer)).items["arith"].values()
    assert sum(item.score or 0 for item in found) / len(found) == accuracy(log()["results"], scorer)


def test_logs_of_both_kinds_are_compared_and_a_choice_is_said() -> None:
    comparison = compare([f"one={EVAL}", f"two={JSON}"], read=ReadOptions(texts=True))
    (one,) = comparison.compared
    assert (one.run, one.baseline, one.benchmark, one.paired.n) == ("two", "one", "arith", 4)
    assert "inspect_ai: arith scored by match; also there: includes." in comparison.caveats
    assert any("the mean over its samples" in caveat for caveat in comparison.caveats)
    texts = next(iter(comparison.runs["two"].items["arith"].values())).texts
    assert texts is not None
    assert (texts.prompt, texts.response, texts.target) == ("0+1=", "1", "1")


def test_metadata_may_name_clusters() -> None:
    comparison = compare([f"one={EVAL}", f"two={JSON}"], procedure=Procedure(clusters="subject"))
    assert comparison.compared[0].paired.interval_method == "t, 2 clusters"


def test_metadata_says_nothing_that_a_column_of_ours_says() -> None:
    named = log()
    for sample in named["samples"]:
        sample["metadata"] = {"cluster": "all", "higher_is_better": 0, "num_samples": "many", "prompt_hash": "x"}
    assert evaluation(read_log(JSON, named)).items == evaluation(read_log(JSON, log())).items


def test_questions_that_differ_in_their_choices_alone_are_two() -> None:
    asked = log()
    for number, sample in enumerate(asked["samples"]):
        sample |= {"input": "Which is true?", "target": "A", "choices": [f"{number} is even", "It is odd"]}
    assert len(evaluation(read_log(JSON, asked)).items["arith"]) == 4


def test_what_failed_has_no_score_and_says_why() -> None:
    failed = log()
    failed["samples"][1] |= {"scores": {}, "error": {"message": "connection lost"}}
    failed["samples"][2]["scores"] = None
    failed["status"] = "error"
    source = read_log(JSON, failed)
    items = list(evaluation(source).items["arith"].values())
    assert [item.score for item in items].count(None) == 2
    assert [item.error for item in items] == ["", "connection lost", "no score by match", ""]
    assert "ended as 'error'" in source.notes[-1]


@pytest.mark.parametrize(
    ("value", "score"), [("C", 1), ("I", 0), ("P", 0.5), ("N", 0), (True, 1), (0.25, 0.25), ("0.75", 0.75), ("Yes", 1)]
)
def test_values_are_read_as_inspect_ai_reads_them(value: object, score: float) -> None:
    other = log()
    other["samples"][0]["scores"]["match"]["value"] = value
    first = next(iter(evaluation(read_log(JSON, other)).items["arith"].values()))
    assert first.score == score


def test_older_eval_files_are_deflated(tmp_path: Path) -> None:
    whole = log()
    samples = whole.pop("samples")
    path = tmp_path / "old.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(whole))
        for one in samples:
            archive.writestr(f"samples/{one['id']}_epoch_1.json", json.dumps(one))
    assert evaluation(read_eval_file(path)).items == evaluation(read_log(JSON, log())).items


def _value(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda whole: whole["samples"][0]["scores"]["match"].update(value=value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole.pop("samples"), "no samples; log them"),
        (_value({"a": 1}), r"sample 1, epoch 1: match gave .* not a number; choose another scorer with --metric"),
        (_value("splendid"), "match gave 'splendid'"),
    ],
)
def test_a_log_that_cannot_be_used_says_where(change: Callable[[dict[str, Any]], object], message: str) -> None:
    whole = log()
    change(whole)
    with pytest.raises(EvalkitError, match=message):
        evaluation(read_log(JSON, whole))


def test_a_scorer_that_is_not_there_is_refused() -> None:
    with pytest.raises(EvalkitError, match="no scorer 'x'; it has match, includes"):
        read_eval_file(EVAL, metric="x")


def test_a_damaged_eval_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(EVAL.read_bytes())
    cut, flipped, text = (tmp_path / f"{name}.eval" for name in ("cut", "flipped", "text"))
    cut.write_bytes(content[: len(content) // 2])
    content[2000] ^= 0xFF
    flipped.write_bytes(content)
    text.write_text("not a zip")
    for path in (cut, flipped, text):
        with pytest.raises(EvalkitError, match=rf"{path.name}: "):
            evaluation(read_eval_file(path))


def test_without_zstandard_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(EvalkitError, match=r"pip install zstandard.*inspect log convert"):
        read_eval_file(EVAL)
