"""Plain tables: their columns under our names, and one clear line for what is wrong."""

import json
from pathlib import Path

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparing.evaluation import evaluation
from evalkit.comparing.importing.table import read_table
from evalkit.comparing.procedure import Procedure
from evalkit.comparing.reading import ReadOptions
from evalkit.errors import EvalkitError

CSV = "question_id,correct,topic\nq1,1,a\nq2,0,a\nq3,true,b\nq4,,b\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_mapped_and_an_empty_score_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", CSV)
    (source,) = read_table(path, {"id": "question_id", "score": "correct", "subset": "topic"})
    items = evaluation(source).items["items"]
    assert [(subset, name, item.score) for (subset, name), item in items.items()] == [
        *(("a", "q1", 1.0), ("a", "q2", 0.0), ("b", "q3", 1.0), ("b", "q4", None))
    ]


def test_every_format_reads_alike(tmp_path: Path) -> None:
    rows = [{"id": "x", "score": 0.5, "prompt": "Größe, “1”?"}, {"id": "y", "score": 1, "prompt": "two\nlines"}]
    files = [
        written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        written(tmp_path / "a.json", json.dumps(rows)),
        written(tmp_path / "a.csv", '\ufeffid,score,prompt\nx,0.5,"Größe, “1”?"\ny,1,"two\nlines"\n'),
        written(tmp_path / "a.tsv", 'id\tscore\tprompt\nx\t0.5\tGröße, “1”?\ny\t1\t"two\nlines"\n'),
    ]
    read = [evaluation(read_table(path, {})[0], texts=True).items for path in files]
    assert all(found == read[0] for found in read)


def test_a_column_of_runs_makes_several_and_samples_are_averaged(tmp_path: Path) -> None:
    lines = ["run,id,sample,score"]
    lines += [
        f"{run},{item},{n},{int(item + n < 3 + (run == 'b'))}" for run in "ab" for item in range(4) for n in range(3)
    ]
    comparison = compare([written(tmp_path / "scores.csv", "\n".join(lines))])
    (one,) = comparison.compared
    assert (one.run, one.baseline, one.matched.num_samples) == ("b", "a", 3)
    assert comparison.scores[0].estimate.score == pytest.approx((1 + 2 / 3 + 1 / 3 + 0) / 4)


def test_without_ids_items_are_matched_by_the_prompts_content(tmp_path: Path) -> None:
    a = written(tmp_path / "a.csv", "prompt,score\none,1\ntwo,0\n")
    b = written(tmp_path / "b.csv", "prompt,score\ntwo,1\none,1\n")
    (one,) = compare([a, b]).compared
    assert (one.paired.wins, one.paired.losses) == (1, 0)


def test_any_column_may_name_clusters(tmp_path: Path) -> None:
    text = "id,score,topic\n" + "".join(f"q{i},{i % 3 % 2},{i // 5}\n" for i in range(20))
    a, b = written(tmp_path / "a.csv", text), written(tmp_path / "b.csv", text.replace(",0,", ",1,"))
    (one,) = compare([a, b], procedure=Procedure(clusters="topic")).compared
    assert one.paired.interval_method == "t, 4 clusters"
    with pytest.raises(EvalkitError, match=r"a\.csv:2: no 'subject'; --clusters names a column"):
        compare([a, b], procedure=Procedure(clusters="subject"))


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("id,score\nq1,good\n", {}, r"a\.csv:2: column 'score': 'good' is not a number"),
        ("id,score\nq1,inf\n", {}, r"a\.csv:2: the score inf is not a finite number"),
        ("id,correct\nq1,1\n", {}, r"no column 'score'; it has id, correct: say which with --columns score=NAME"),
        ("name,score\nq1,1\n", {}, r"no column 'id' and no 'prompt'.*--columns id=NAME"),
        ("id,score\nq1,1\n", {"id": "qid"}, r"no column 'qid' for id; it has id, score"),
        ("id,score\nq1,1\n", {"ids": "id"}, r"--columns ids=\.\.\.: no such field; it may be one of run, benchmark"),
        ("id,score\nq1,1,7\n", {}, r"a\.csv:2: 2 columns in the header, not in this row"),
        ("id,score\nq1,1\nq1,0\n", {}, r"a\.csv:3: item q1 of items occurs twice"),
        ("id,score,score\nq1,1,0\n", {}, r"a\.csv:1: two columns are called 'score'"),
        ("id,score\nq1,1_0\n", {}, r"a\.csv:2: column 'score': '1_0' is not a number"),
        ("id,score\n", {}, r"a\.csv: no rows"),
        ('id,score\nq1,"1\n', {}, r"a\.csv: not CSV"),
    ],
)
def test_a_bad_table_is_named_by_line_and_column(
    text: str, columns: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.csv", text)
    with pytest.raises(EvalkitError, match=message):
        compare([path], read=ReadOptions(columns=columns))


def test_a_long_answer_fits_into_a_field_and_an_id_may_be_a_list(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", f'id,score,response\nq1,1,"{"long " * 50_000}"\n')
    assert compare([path]).scores[0].estimate.n == 1
    rows = [json.dumps({"id": [task, 1], "score": 1}) for task in ("a", "b")]
    assert compare([written(tmp_path / "b.jsonl", "\n".join(rows))]).scores[0].estimate.n == 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("value", ["[" * 200_000, "9" * 5000])
def test_json_that_python_cannot_read_is_an_error_of_a_line(name: str, value: str, tmp_path: Path) -> None:
    row = f'{{"id": "q1", "score": {value}}}'
    with pytest.raises(EvalkitError, match=r"a\.jsonl?.*: .*(recursion depth|digits)"):
        compare([written(tmp_path / name, row if name == "a.jsonl" else f"[{row}]")])
