"""Online rounds: one tiny round through the real commands, and what is refused."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from model import make_model
from task import demonstrations, problems

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "online" / "online.py"
TASK = SCRIPT.parents[1] / "demo" / "pocket_gsm.yaml"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """Return a folder as the demo leaves it, with a model that has learned nothing and a few held-out problems."""
    folder = tmp_path / "demo"
    drawn = problems(80, random.Random(1))
    texts = [row["prompt"] + row["completion"] for row in demonstrations(drawn, random.Random(2), careful_share=1)]
    make_model(folder / "sft" / "model", texts, seed=0)
    (folder / "benchmark").mkdir()
    (folder / "benchmark" / TASK.name).write_text(TASK.read_text(encoding="utf-8"), encoding="utf-8")
    rows = [json.dumps({"prompt": one.prompt, "answer": one.answer}) + "\n" for one in drawn[:6]]
    (folder / "benchmark" / "heldout.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


def online(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_round_samples_labels_aligns_and_is_scored(demo: Path, tmp_path: Path) -> None:
    output = tmp_path / "online"
    words = ("--demo", str(demo), "--output", str(output), "--prompts", "3", "--samples", "2", "--steps", "1")
    ended = online(*words, "--rounds", "1")
    assert ended.returncode == 0, ended.stderr
    asked, samples = read(output / "round-1.prompts.jsonl"), read(output / "round-1.samples.jsonl")
    assert len(asked) == 3
    assert not {row["prompt"] for row in asked} & {row["prompt"] for row in read(demo / "benchmark" / "heldout.jsonl")}
    assert [row["prompt"] for row in samples] == [row["prompt"] for row in asked for _ in range(2)]
    thumbs = read(output / "round-1.thumbs.jsonl")
    assert [(row["completion"], row["label"]) for row in thumbs] == [(row["completion"], False) for row in samples]
    assert (output / "round-1" / "model" / "model.safetensors").exists()
    table = (output / "rounds.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| round-0", "| round-1"]
    assert "\n".join(table) in ended.stdout
    commands = [row["line"].split(" --")[0] for row in read(output / "commands.jsonl")]
    assert [line.split()[:2] for line in commands] == [
        ["evalkit", "run"],
        ["trainer", "sample"],
        ["trainer", "align"],
        ["evalkit", "run"],
        ["evalkit", "compare"],
    ]

    refused = online(*words, "--rounds", "1", "--seed", "3")
    assert refused.returncode == 2
    assert "holds a loop of another --seed; give another --output" in refused.stderr


def test_a_folder_of_something_else_is_left_alone(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    ended = online("--demo", str(demo), "--output", str(tmp_path / "mine"))
    assert ended.returncode == 2
    assert "exists, and is no loop; give another --output" in ended.stderr
