"""`evalkit alpaca` on stored annotations: a run folder that other commands read, text, JSON, exit statuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.cli import app
from evalkit.command import run_command
from evalkit.run_folder import read_run

Write = Callable[..., Path]
Rows = Callable[..., list[dict[str, Any]]]


def evalkit(*words: object) -> int:
    return run_command(app, ["alpaca", *map(str, words)])


def test_a_run_folder_holds_every_judgement(
    write: Write, make_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_rows(30)
    rows[4]["preference"] = None
    output = tmp_path / "run"
    assert evalkit("--annotations", write(rows), "--output", output, "--resamples", 50, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert (shown["n_total"], shown["n_missing"]) == (29, 1)
    run = read_run(output)
    assert run.config["judge"] == "a_judge"
    assert len(run.items["alpaca_eval"]) == 29
    assert 100 * sum(item.score for item in run.items["alpaca_eval"]) / 29 == pytest.approx(shown["win_rate"])
    samples = [json.loads(line) for line in (output / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    (without,) = [row for row in samples if row["score"] is None]
    assert without["error"] == "the file has no preference"
    assert yaml.safe_load((output / "config.yaml").read_text(encoding="utf-8"))["benchmark"] == "alpaca_eval"


def test_a_run_folder_scores_as_its_annotations_do(
    write: Write, make_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert evalkit("--annotations", write(make_rows(30)), "--output", first, "--resamples", 20, "--json") == 0
    before = capsys.readouterr().out
    assert evalkit("--annotations", first, "--output", second, "--resamples", 20, "--json") == 0
    assert capsys.readouterr().out == before


def test_two_files_are_compared(write: Write, make_rows: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = write(make_rows(30), "a.json"), write(make_rows(29, seed=1, generator="other"), "b.json")
    assert evalkit("--annotations", one, "--compare", other, "--resamples", 100) == 0
    shown = capsys.readouterr().out
    assert "ours minus other" in shown
    assert "95% interval" in shown
    assert "length-controlled, minimal" in shown
    assert "1 instructions of ours have no counterpart" in shown


def test_text_names_every_method(
    write: Write, make_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evalkit("--annotations", write(make_rows(30)), "--output", tmp_path / "o", "--resamples", 20) == 0
    shown = capsys.readouterr().out
    method = json.loads((tmp_path / "o" / "results.json").read_text(encoding="utf-8"))["interval_method"]
    for part in (
        "win rate",
        method,
        "bootstrap over instructions",
        "no instruction difficulties were given",
    ):
        assert part in shown


def test_another_run_in_the_folder_is_not_replaced_unasked(
    write: Write, make_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    ours, other = write(make_rows(10), "a.json"), write(make_rows(10, generator="other"), "b.json")
    assert evalkit("--annotations", ours, "--output", output, "--resamples", 0) == 0
    assert evalkit("--annotations", other, "--output", output, "--resamples", 0) == 2
    assert "holds another run" in capsys.readouterr().err
    assert evalkit("--annotations", other, "--output", output, "--resamples", 0, "--overwrite") == 0


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_instructions_are_scored_as_far_as_they_go(
    write: Write, make_rows: Rows, tmp_path: Path, n: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evalkit("--annotations", write(make_rows(n)), "--output", tmp_path / "o", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["length_controlled"] == []
    assert (shown["standard_error"] is None) == (n == 1)
    assert not [note for note in shown["notes"] if "are missing" in note]  # they are of another set, not a part of it


def test_all_wins_have_no_interval_of_no_width(
    write: Write, make_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row | {"preference": 2} for row in make_rows(30)]
    assert evalkit("--annotations", write(rows), "--output", tmp_path / "o", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["win_rate"] == 100
    assert shown["win_rate_interval"][0] < 95


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--annotations", "none.json", "--output", "o"], "No such file"),
        (["--annotations", "{rows}"], "--output"),
        (["--annotations", "{rows}", "--output", "o", "--level", "95"], "must lie between 0 and 1"),
        (["--annotations", "{rows}", "--output", "o", "--df-gamed", "none.csv"], "none.csv: No such file"),
        (["--annotations", "{empty}", "--output", "o"], "not one of 1 rows has a preference"),
        (["--annotations", "{folder}", "--output", "o"], "not a finished run of evalkit alpaca"),
        (["--annotations", "{rows}", "--output", "{empty}"], "give a folder as --output"),
        (["--annotations", "{rows}", "--compare", "{rows}", "--resamples", "0"], "a difference needs at least 100"),
    ],
)
def test_bad_input_is_one_line(
    write: Write,
    make_rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = make_rows(10)
    places = {
        "{rows}": str(write(rows)),
        "{empty}": str(write([rows[0] | {"preference": None}], "empty.json")),
        "{folder}": str(tmp_path),
    }
    assert evalkit(*(places.get(word, word) for word in words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_model_against_itself_wins_half(
    write: Write, make_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row | {"output_2": row["output_1"], "preference": 1.5} for row in make_rows(30)]
    assert evalkit("--annotations", write(rows), "--output", tmp_path / "o", "--json", "--resamples", 20) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["win_rate"], shown["standard_error"], shown["n_draws"]) == (50, 0, 30)
    assert shown["length_controlled_winrate"] == pytest.approx(50)


def test_signs_that_a_terminal_or_utf_8_cannot_take_are_taken(
    write: Write, make_rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_rows(10, generator="evil\x1b[31m\nname")
    rows[0]["output_2"] = "a\ud800b"
    rows[1]["instruction"] += "\udfff"
    assert evalkit("--annotations", write(rows), "--output", tmp_path / "o", "--resamples", 20) == 0
    assert "\x1b" not in capsys.readouterr().out
    samples = [json.loads(line) for line in (tmp_path / "o" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["length"] for row in samples if row["response"] == "a\ufffdb"} == {3}
