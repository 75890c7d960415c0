"""An import is a run folder that says the same as its source."""

import json
from pathlib import Path

import pytest

from evalkit.cli import app
from evalkit.command import run_command
from evalkit.comparing.compare import compare
from evalkit.comparing.importing.as_run import import_runs
from evalkit.errors import EvalkitError
from evalkit.run_folder import read_run

LOGS = Path(__file__).parents[1] / "logs"


def test_an_imported_run_compares_as_its_source_does(tmp_path: Path) -> None:
    for name in ("arithmetic.eval", "arithmetic.json"):
        assert import_runs(LOGS / name, tmp_path / name) == [tmp_path / name]
    direct = compare([LOGS / "arithmetic.json", f"other={LOGS / 'arithmetic.eval'}"])
    imported = compare([tmp_path / "arithmetic.json", tmp_path / "arithmetic.eval"])
    assert [one.paired for one in imported.compared] == [one.paired for one in direct.compared]
    results = json.loads((tmp_path / "arithmetic.json" / "results.json").read_text())
    assert results["benchmarks"]["arith"]["score"] == imported.scores[0].estimate.score
    assert read_run(tmp_path / "arithmetic.json").items["arith"]  # other commands read it, too


def test_a_table_of_several_runs_becomes_a_folder_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("run,id,score\nsft,a,1\nkto/1,a,0\n")
    words = ["import", str(tmp_path / "t.csv"), "--output", str(tmp_path / "out"), "--json"]
    assert run_command(app, words) == 0
    expected = [str(tmp_path / "out" / name) for name in ("sft", "kto_1")]
    assert json.loads(capsys.readouterr().out) == {"runs": expected}


def test_nothing_is_written_where_the_import_fails(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,score\na,1\na,0\n")
    with pytest.raises(EvalkitError, match="occurs twice"):
        import_runs(tmp_path / "t.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(EvalkitError, match="full: not empty"):
        import_runs(LOGS / "arithmetic.json", tmp_path / "full")


def test_what_json_cannot_hold_is_text_and_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": "a", "score": 1, "temperature": NaN}\n')
    (folder,) = import_runs(tmp_path / "t.jsonl", tmp_path / "out")
    assert json.loads((folder / "samples.jsonl").read_text())["temperature"] == "nan"
    with pytest.raises(EvalkitError, match="cannot be written: Not a directory"):
        import_runs(tmp_path / "t.jsonl", tmp_path / "t.jsonl" / "x")
