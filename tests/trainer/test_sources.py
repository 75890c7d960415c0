"""Runs whose model, data or loss changed under the same name are refused, begun or finished."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import Ended
from tests.trainer.tiny import make_model, thumbs, write_jsonl
from trainer import loop
from trainer.sources import loss_files
from trainer.step import z0_of_step

LOSS = "def loss(policy_logps, desirable):\n    return -policy_logps * (2.0 * desirable - 1)\n"
WORDS = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", "--max-steps", "2")


@pytest.fixture
def loss_file(workplace: Path) -> Path:
    (workplace / "helper.py").write_text("SCALE = 1.0\n")
    path = workplace / "mine.py"
    path.write_text("from helper import SCALE\n" + LOSS)
    return path


@pytest.mark.parametrize("changed", ["loss", "a file that the loss imports", "data", "model"])
def test_a_finished_run_of_what_has_changed_since_is_refused(
    workplace: Path, loss_file: Path, trainer: Callable[..., Ended], changed: str
) -> None:
    words = (*WORDS, "--loss", "mine.py")
    assert trainer(*words).status == 0
    assert "this run is finished" in trainer(*words).stderr
    if changed == "loss":
        loss_file.write_text(loss_file.read_text().replace("-policy_logps", "-2.0 * policy_logps"))
    elif changed == "data":
        write_jsonl(workplace / "thumbs.jsonl", thumbs(30))
    elif changed == "model":
        make_model(seed=5).save_pretrained(workplace / "model")
    else:
        (workplace / "helper.py").write_text("SCALE = 2.0\n")
    named = {"data": "data thumbs.jsonl", "model": "model model"}.get(changed, "loss mine.py")
    ended = trainer(*words)
    assert ended.status == 2
    assert f"since it began this changed: {named}; give another --output, or --overwrite" in ended.stderr
    assert trainer(*words, "--overwrite").status == 0
    assert "this run is finished" in trainer(*words).stderr


def test_a_killed_run_is_not_continued_from_another_model(
    workplace: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*WORDS, "--loss", "kto", "--save-steps", "1", "--reference-model", "reference")
    make_model(seed=4).save_pretrained(workplace / "reference")

    def killed(training: Any, microbatches: Any, step: int) -> Any:
        if step == 1:
            raise RuntimeError("killed")
        return z0_of_step(training, microbatches, step)

    monkeypatch.setattr(loop, "z0_of_step", killed)
    with pytest.raises(RuntimeError, match="killed"):
        trainer(*words)
    make_model(seed=5).save_pretrained(workplace / "reference")
    assert "this changed: reference model reference" in trainer(*words).stderr


def test_a_finished_run_whose_data_are_gone_is_finished(workplace: Path, trainer: Callable[..., Ended]) -> None:
    words = (*WORDS, "--loss", "kto")
    assert trainer(*words).status == 0
    (workplace / "thumbs.jsonl").unlink()
    assert "this run is finished" in trainer(*words).stderr


@pytest.mark.usefixtures("workplace")
def test_a_loss_that_failed_at_its_first_step_is_mended_and_run_again(trainer: Callable[..., Ended]) -> None:
    Path("mine.py").write_text(LOSS.replace("-policy_logps", "float('nan') * policy_logps"))
    assert "the loss is nan at step 1" in trainer(*WORDS, "--loss", "mine.py").stderr
    Path("mine.py").write_text(LOSS)
    assert trainer(*WORDS, "--loss", "mine.py").status == 0
    assert "this run is finished" in trainer(*WORDS, "--loss", "mine.py").stderr


@pytest.mark.usefixtures("workplace")
def test_a_file_that_only_names_the_loss_counts_too(trainer: Callable[..., Ended]) -> None:
    Path("two.py").write_text(LOSS.replace("loss", "one") + LOSS.replace("loss", "other"))
    Path("mine.py").write_text("from two import one as loss\n")
    assert trainer(*WORDS, "--loss", "mine.py").status == 0
    Path("mine.py").write_text("from two import other as loss\n")
    assert "this changed: loss mine.py" in trainer(*WORDS, "--loss", "mine.py").stderr


def test_files_that_a_loss_imports_are_found(tmp_path: Path) -> None:
    for name, text in {
        "loss.py": "import torch\nfrom shapes import huber\nimport parts.one\n",
        "shapes.py": "def huber(): ...\n",
        "parts/__init__.py": "",
        "parts/one.py": "import parts.two\n",
        "parts/two.py": "import loss\n",
        "other.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = loss_files(tmp_path / "loss.py")
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "loss.py",
        "parts/__init__.py",
        "parts/one.py",
        "parts/two.py",
        "shapes.py",
    ]
