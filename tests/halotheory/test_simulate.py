"""The command `halotheory simulate`: what it prints, what it writes, and how it ends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from halotheory.cli import app
from halotheory.command import run
from halotheory.errors import HaloTheoryError
from halotheory.simulate import EXPERIMENTS

SMALL = ["--seeds=5", "--tuning-seeds=5", "--prompts=2", "--outputs=3", "--examples=20", "--steps=4"]
QUICK = [*SMALL, "--set", "beta=0.3"]
LOSS = """
import torch

def loss(policy_logps, reference_logps, desirable, *, beta=0.1):
    z = beta * (policy_logps - reference_logps)
    return torch.where(desirable, -z, z)
"""


def status_of(*words: str) -> int:
    return run(app, HaloTheoryError, ["simulate", *words])


def test_without_an_experiment_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(EXPERIMENTS)


def test_a_result_is_printed_with_what_was_held_equal(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("noise", "--at", "0,0.2", *QUICK) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "kto against dpo: no difference shown in reward" in printed.out or "than dpo" in printed.out
    assert "beta = 0.3, as set" in printed.out
    assert "4 steps of gradient descent" in printed.out


def test_json_is_one_object_and_the_same_for_a_seed(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for seed in ("1", "1", "2"):
        assert status_of("noise", "--at", "0.1", "--seed", seed, "--json", *QUICK) == 0
        found.append(json.loads(capsys.readouterr().out)["measurements"])
    assert found[0] == found[1] != found[2]
    assert {each["contender"] for each in found[0]} == {"kto", "dpo"}


def test_files_agree_with_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, picture = tmp_path / "run", tmp_path / "figure.pdf"
    words = ["noise", "--at", "0.1,0.3", "--output", str(folder), "--figure", str(picture), *QUICK]
    assert status_of(*words) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["figure.svg", "page.html", "result.json", "table.csv"]
    result = json.loads((folder / "result.json").read_text())
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert len(rows) == len(result["measurements"])
    for row, each in zip(rows, result["measurements"], strict=True):
        assert float(row["mean"]) == pytest.approx(each["mean"], rel=1e-5)
    assert ElementTree.parse(folder / "figure.svg").getroot().tag.endswith("svg")
    page = (folder / "page.html").read_text()
    assert result["findings"][0].replace("'", "&#39;") in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert picture.read_bytes().startswith(b"%PDF")
    before = (folder / "figure.svg").read_bytes()
    assert status_of(*words) == 0
    assert (folder / "figure.svg").read_bytes() == before
    assert f"written: {folder / 'result.json'}" in capsys.readouterr().err


def test_a_loss_file_is_run_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(LOSS)
    assert status_of("noise", "--loss", "mine.py", "-l", "kto", "--at", "0.1", "--json", *QUICK) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["comparisons"][0]["first"]["contender"] == "mine.py:loss"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nois"], "unknown experiment 'nois'; did you mean 'noise'?"),
        (["noise", "--loss", "ktoo"], "did you mean 'kto'?"),
        (["noise", "--loss", "nowhere.py"], "nowhere.py: no such file"),
        (["noise", "--loss", "bad.py"], "bad.py:3: unknown argument 'policy_logp'"),
        (["noise", "--loss", "raises.py", *SMALL], "raises.py:3: loss() raised"),
        (["noise", "--set", "beta"], "expected name=number"),
        (["noise", "--set", "gamma=1"], "none of these losses"),
        (["noise", "--at", "0,x"], "give numbers with commas"),
        (["noise", "--at", "2"], "numbers from 0 to 1"),
        (["noise", "--seeds", "1"], "seeds=1; give 2 or more"),
        (["noise", "--seeds", "many"], "valid integer"),
        (["noise", "--device", "moon"], "--device moon: cannot be used"),
        (["noise", "--reference-point", "middle", *QUICK], "unknown reference point 'middle'"),
        (["utility", "--at", "1"], "varies nothing that has values"),
        (["imbalance", "--loss", "dpo", *QUICK, "--at", "0.5"], "takes pairs"),
        (["noise", "--output", "bad.py"], "is a file"),
        (["noise", "--output", "no/such/run"], "no such folder"),
        (["noise", "--figure", "picture.bmp"], "not '.bmp'"),
        (["noise", "--figure", "."], "is a folder"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "bad.py": "import torch\n\ndef loss(policy_logp):\n    return policy_logp\n",
        "raises.py": "\ndef loss(policy_logps):\n    return policy_logps[1000000]\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert status_of(*words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == set(files)


def test_an_interruption_ends_with_130_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "halotheory", "simulate", "noise", "--seeds", "5000", "--output", "run"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        time.sleep(8)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.strip().endswith("error: interrupted")
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys; from halotheory.cli import app; from halotheory.command import run; "
        "from halotheory.errors import HaloTheoryError; status = run(app, HaloTheoryError, ['simulate', '--help']); "
        "sys.exit(status or 'torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    printed = " ".join(done.stdout.split())
    assert "A loss file is your own code, and is run." in printed
    assert f"Experiments: {', '.join(EXPERIMENTS)}." in printed
