"""AlpacaEval's annotations: an instruction is an item, whatever its row."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparing.compare import compare
from evalkit.errors import EvalkitError


def annotation(number: int, preference: float | None, **fields: object) -> dict[str, Any]:
    return {
        "instruction": f"Say {number}.",
        "output_1": "the baseline's",
        "generator_1": "gpt4",
        "output_2": "the model's",
        "generator_2": "kto",
        "annotator": "judge-1",
        "preference": preference,
    } | fields


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_a_score_is_the_preference_less_one_and_missing_is_missing(tmp_path: Path) -> None:
    preferences = [1.0, 2.0, 1.5, 1.25, None, 0, -1]
    path = written(tmp_path / "kto.json", [annotation(i, p) for i, p in enumerate(preferences)])
    comparison = compare([path])
    (score,) = comparison.scores
    assert (score.run, score.benchmark, score.failed) == ("kto", "alpaca_eval", 2)
    assert score.estimate.score == pytest.approx((0 + 1 + 0.5 + 0.25 + 0.5) / 5)
    assert any("no score for 2 of 7 items (left out, such as: the judge gave no" in c for c in comparison.caveats)


def test_one_file_of_two_models_is_two_runs_and_shuffled_rows_change_nothing(tmp_path: Path) -> None:
    rows = [annotation(i, 1 + (i % 3) / 2, generator_2="sft") for i in range(9)]
    rows += [annotation(i, 1 + (i % 2)) for i in range(9)]
    before = compare([written(tmp_path / "both.json", rows)])
    random.Random(1).shuffle(rows)
    after = compare([written(tmp_path / "both.json", rows)], baseline="sft")
    assert [(one.run, one.baseline) for one in before.compared] == [("kto", "sft")]
    assert [one.paired for one in before.compared] in (
        [one.paired for one in after.compared],
        [one.paired for one in compare([tmp_path / "both.json"], baseline="sft").compared],
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("annotator", "judge-2", r"differ in judge \(a: judge-1, b: judge-2\).*--allow-differences"),
        ("generator_1", "davinci", r"differ in baseline of the judge \(a: gpt4, b: davinci\)"),
    ],
)
def test_other_judges_and_other_baselines_are_refused_unless_allowed(
    field: str, value: str, message: str, tmp_path: Path
) -> None:
    a = written(tmp_path / "a.json", [annotation(i, 1 + i % 2) for i in range(6)])
    b = written(tmp_path / "b.json", [annotation(i, 2, **{field: value}) for i in range(6)])
    with pytest.raises(EvalkitError, match=message):
        compare([a, b])
    assert any("The runs differ in" in caveat for caveat in compare([a, b], allow_differences=True).caveats)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (annotation(1, 3), "annotation 2: preference 3; it lies between 1"),
        ({"instruction": "x"}, "annotation 2: no 'preference'"),
        (annotation(1, 0.5), "annotation 2: preference 0.5; it lies between 1"),
        (annotation(0, 2, output_1="another"), "annotation 2: item .* of alpaca_eval occurs twice"),
        (annotation(1, 1, annotator="other"), "kto has several of 'annotator'"),
    ],
)
def test_bad_annotations_are_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=message):
        compare([written(tmp_path / "a.json", [annotation(0, 1), row])])


def test_real_annotations_give_the_published_win_rates(data_dir: Path) -> None:
    folder = data_dir / "alpaca_eval"
    expected = {row["model"]: row for row in map(json.loads, (folder / "expected.jsonl").read_text().splitlines())}
    paths = sorted((folder / "annotations").glob("*.json"))
    comparison = compare(paths, allow_partial=True, baseline=paths[0])
    for score in comparison.scores:
        assert 100 * score.estimate.score == pytest.approx(expected[score.run]["win_rate_recomputed"], abs=1e-6)
    assert [one.paired.n for one in comparison.compared] == [805, 805, 804]
