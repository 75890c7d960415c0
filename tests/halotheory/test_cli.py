"""The command `halotheory`: exit statuses, one-line errors, JSON, and what is not imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from halotheory.cli import app
from halotheory.command import run
from halotheory.errors import HaloTheoryError


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


def test_undecided_ends_with_3() -> None:
    assert status_of("check", f"{Path(__file__).parent / 'zoo.py'}:length_normalised") == 3


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("check", "kto", "--set", "beta=0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hyperparameters"]["beta"] == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nowhere.py"], "nowhere.py: no such file"),
        (["check", "dpo", "--set", "beta"], "expected name=number"),
        (["check", "dpo", "--sett", "beta=1"], "No such option"),
        (["check"], "Missing argument"),
        (["chek", "dpo"], "No such command"),
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


def test_the_table_of_losses_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("losses", "--json") == 0
    verdicts = {row["loss"]: row["verdict"] for row in json.loads(capsys.readouterr().out)}
    assert verdicts == {"dpo": "halo", "hinge": "halo", "ipo": "not_halo", "kto": "halo", "sft": "not_halo"}


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
