"""A tiny model on disk, a user's working folder, and the command line as a function."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from halotheory.command import run as run_command
from tests.trainer.tiny import make_model, make_tokenizer, pairs, thumbs, write_jsonl
from trainer.errors import HaloTheoryError

os.environ["HF_HUB_OFFLINE"] = "1"


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny model with a character tokenizer (BOS, no chat template)."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep reference log-probabilities out of the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _no_ceremony(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the loss of a run unchecked and its curves undrawn, which takes seconds; their own tests do both."""
    monkeypatch.setattr("trainer.run_folder.verdict_lines", lambda loss, spec: ["**not checked**: by a test"])
    monkeypatch.setattr("trainer.align.draw_curves", lambda folders, output: output)


@pytest.fixture
def workplace(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder of a user: `model`, `thumbs.jsonl`, `pairs.jsonl`."""
    shutil.copytree(model_folder, tmp_path / "model")
    write_jsonl(tmp_path / "thumbs.jsonl", thumbs())
    write_jsonl(tmp_path / "pairs.jsonl", pairs())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trainer(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Return the command line as a function of its words."""
    from trainer.cli import app

    def call(*words: str) -> Ended:
        capsys.readouterr()
        status = run_command(app, HaloTheoryError, words)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return call
