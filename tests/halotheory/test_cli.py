"""The command `halotheory`: exit statuses, one-line errors, JSON, and what is not imported."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from halotheory.checking import check
from halotheory.cli import app
from halotheory.command import run
from halotheory.errors import HaloTheoryError
from tests.halotheory.reporting.statements import OPEN, made


def status_of(*words: str) -> int:
    return run(app, HaloTheoryError, words)


def test_a_halo_ends_with_0_and_names_its_value_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("check", "dpo") == 0
    printed = capsys.readouterr()
    assert "dpo is a human-aware loss, strictly" in printed.out
    assert "-log(1 + exp(-z))" in printed.out
    assert printed.err == ""


def test_a_loss_that_is_none_ends_with_1_and_shows_its_witness(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("check", "ipo") == 1
    assert "v(z1) = 0, v(z2) = -2/beta**2" in capsys.readouterr().out


def test_undecided_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    open_question = replace(check("dpo"), verdict="undecided", strict=False, construction=None)
    monkeypatch.setattr("halotheory.checking.check", lambda *_, **__: open_question)
    assert status_of("check", "dpo") == 3


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("check", "kto", "--set", "beta=0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hyperparameters"]["beta"] == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nowhere.py"], "nowhere.py: no such file"),
        (["check", "dpo", "--set", "beta"], "expected name=number"),
        (["new", "a.py", "-v", "__import__('os')"], "unknown function '__import__'"),
        (["new", "a.txt", "-v", "z"], "a loss file ends in .py"),
        (["new", "a.py", "-v", "z", "--reference-point", "zero"], "'zero' is not one of"),
        (["new", "a.py"], "Missing option"),
        (["new", "no/a.py", "-v", "z"], "no: no such folder"),
        (["check", "dpo", "--sett", "beta=1"], "No such option"),
        (["check"], "Missing argument"),
        (["chek", "dpo"], "No such command"),
        (["verify", "theorm4"], "unknown statement 'theorm4'"),
        (["verify", "lema1"], "did you mean 'lemma1'?"),
        (["verify", "lemma1", "--html", "no/such/folder/page.html"], "no such folder"),
        (["plot", "dpo", "--output", "picture.bmp"], "not '.bmp'"),
        (["plot", "dpo", "--output", "no/such/folder/picture.svg"], "no such folder"),
        (["plot", "ipo", "--output", "picture.svg"], "no value function to draw"),
        (["plot", "dpo", "--set", "gamma=1", "--output", "picture.svg"], "none of these losses"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status_of(*words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("first", "second"), [("page", "page"), ("my_loss.py", "page"), (".", "page")])
def test_what_is_written_must_not_take_the_place_of_something_else(
    first: str, second: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_loss.py").write_text("def loss(policy_logps):\n    return -policy_logps\n")
    assert status_of("check", "my_loss.py", "--html", first, "--latex", second) == 2
    assert re.search("would be overwritten|is a folder", capsys.readouterr().err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line() -> None:
    command = [sys.executable, "-m", "halotheory", "check", "--help"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("cannot be written: No space left on device\n")


def test_a_reader_that_goes_away_is_no_answer() -> None:
    command = f"{sys.executable} -m halotheory --help | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", command], timeout=60, check=False).returncode in {0, 141}


def test_a_bare_command_shows_its_help_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of() == 2
    printed = capsys.readouterr()
    assert "Usage:" in printed.out
    assert printed.err == ""


def test_a_program_of_one_command_runs_without_words() -> None:
    program, ran = typer.Typer(), []

    @program.command()
    def only() -> None:
        ran.append(True)

    assert run(program, HaloTheoryError, []) == 0
    assert ran == [True]


def test_the_table_of_losses_is_computed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halotheory.losses.__all__", ["dpo", "ipo", "sft"])
    assert status_of("losses", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["loss"], row["kind"], row["verdict"]) for row in rows] == [
        ("dpo", "paired", "halo"),
        ("ipo", "paired", "not_halo"),
        ("sft", "unpaired", "not_halo"),
    ]
    assert status_of("losses") == 0
    assert "dpo   paired    HALO, strictly  -log(1 + exp(-z))" in capsys.readouterr().out


def test_a_verified_statement_ends_with_0_and_shows_its_derivation(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("verify", "lemma1") == 0
    printed = capsys.readouterr()
    assert "proved     same_optimal_policy" in printed.out
    assert "proved: exact rewriting" in printed.out
    assert printed.err == ""


def test_verifying_as_json_is_one_object_with_formulas_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("verify", "lemma1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["statements", "seconds"]
    [statement] = found["statements"]
    assert {claim["status"] for claim in statement["claims"]} == {"proved", "refuted"}
    formulas = [step["formula"] for claim in statement["claims"] for step in claim["steps"] if step["formula"]]
    assert all(isinstance(formula, str) for formula in formulas)
    for claim in statement["claims"]:
        assert (claim["witness"] is None) == (claim["status"] == "proved")


@pytest.mark.parametrize(
    ("words", "shown", "hidden"),
    [
        ([], "There are infinitely many twin primes.", "A step that failed."),
        (["--steps"], "A step that failed.", "nothing"),
        (["theorem4"], "A step that failed.", "nothing"),
        (["theorem4", "--no-steps"], "open: everything", "A step that failed."),
    ],
)
def test_an_open_claim_ends_with_3_and_shows_as_much_as_was_asked(
    words: list[str], shown: str, hidden: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halotheory.theorems.parts_of", list)
    monkeypatch.setattr("halotheory.theorems.verify", lambda names, started: [made("theorem4_kto", OPEN)])
    assert status_of("verify", *words) == 3
    printed = capsys.readouterr().out
    assert shown in printed
    assert hidden not in printed
    assert "1 statement, 1 claim: 0 proved, 0 refuted, 1 undecided" in printed


def test_verify_writes_a_page_and_an_article_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, article = tmp_path / "theorems.html", tmp_path / "theorems.tex"
    assert status_of("verify", "lemma1", "--html", str(page), "--latex", str(article)) == 0
    assert capsys.readouterr().err == f"written: {page}\nwritten: {article}\n"
    assert "<h1>Lemma 1: " in page.read_text(encoding="utf-8")
    assert article.read_text(encoding="utf-8").startswith("\\documentclass")


def test_new_writes_a_loss_that_check_reads(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status_of("new", "my_loss.py", "--value-function", "tanh(beta*z)", "--set", "beta=0.5") == 0
    printed = capsys.readouterr()
    assert printed.out == "my_loss.py\n"
    assert printed.err == "next: halotheory check my_loss.py\n"
    assert status_of("check", "my_loss.py") == 0
    assert "beta = 0.5" in capsys.readouterr().out


def test_the_next_command_can_be_pasted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status_of("new", "my loss.py", "-v", "z") == 0
    assert capsys.readouterr().err == "next: halotheory check 'my loss.py'\n"


def test_a_file_is_checked_elsewhere_and_its_prints_are_no_result(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "my_loss.py"
    path.write_text("print('hello')\ndef loss(policy_logps):\n    return -policy_logps\n")
    assert status_of("check", str(path), "--json") == 1
    printed = capfd.readouterr()
    assert json.loads(printed.out)["verdict"] == "not_halo"
    assert "hello" in printed.err


@pytest.mark.parametrize("command", ["", "check", "losses", "new", "plot", "verify"])
def test_every_help_shows_an_example_and_is_quick(command: str) -> None:
    words = [sys.executable, "-m", "halotheory", *command.split(), "--help"]
    began = time.perf_counter()
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert time.perf_counter() - began < 2  # 0.15 s where nothing else runs
    assert f"halotheory {command}" in printed.partition("\n")[2]


def test_a_picture_depends_on_its_content_alone(tmp_path: Path) -> None:
    pictures = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for picture in pictures:
        assert status_of("plot", "dpo", "kto", "--set", "beta=1", "--output", str(picture)) == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert b"<svg" in pictures[0].read_bytes()


@pytest.mark.parametrize("statement", ["import halotheory", "import halotheory.cli"])
def test_importing_is_light(statement: str) -> None:
    code = (
        f"import sys; {statement}; print(sorted({{'torch', 'sympy', 'z3', 'matplotlib', 'numpy'}} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
