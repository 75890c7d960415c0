"""Trackers: told what metrics.jsonl holds, and never in the way of a run."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.trainer.conftest import Ended
from tests.trainer.tiny import read_metrics
from trainer import watch
from trainer.watch import trackers, without_secrets

ALIGN = ("align", "--model", "model", "--data", "thumbs.jsonl", "--output", "out", "--batch-size", "8")


class Told:
    """A trackio that writes down what it is told, and may fail."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.fails_at = fails_at
        self.opened: list[dict[str, Any]] = []
        self.lines: list[tuple[dict[str, float], int]] = []
        self.finished = 0

    def init(self, **how: Any) -> SimpleNamespace:
        self._perhaps_fail("init")
        print("a banner on standard output")
        self.opened.append(how)
        return SimpleNamespace(log=self.log)

    def log(self, numbers: dict[str, float], *, step: int) -> None:
        self._perhaps_fail("log")
        self.lines.append((numbers, step))

    def finish(self) -> None:
        self._perhaps_fail("finish")
        self.finished += 1

    def _perhaps_fail(self, at: str) -> None:
        if at == self.fails_at:
            raise ConnectionError(f"no network at {at}\nwith the key 0123456789abcdef")


@pytest.fixture
def trackio(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Install a trackio that fails where it is told to."""

    def install(**how: Any) -> Told:
        told, module = Told(**how), ModuleType("trackio")
        module.__dict__.update(init=told.init, finish=told.finish, __spec__=SimpleNamespace(name="trackio"))
        monkeypatch.setitem(sys.modules, "trackio", module)
        return told

    return install


def test_a_tracker_is_told_what_the_files_of_the_run_hold(
    workplace: Path, trainer: Callable[..., Ended], trackio: Callable[..., Told]
) -> None:
    told = trackio()
    ended = trainer(*ALIGN, "--tracker", "trackio", "--eval-share", "0.25", "--eval-steps", "1")
    assert (ended.status, ended.stdout) == (0, "out/model\n")
    (opened,) = told.opened
    assert opened["name"].startswith("out-")
    assert (opened["config"]["loss"], opened["config"]["eval_share"]) == ("kto", 0.25)
    train = [(step, numbers["train/loss"]) for numbers, step in told.lines if "train/loss" in numbers]
    evaluations = [step for numbers, step in told.lines if "eval/reward_margin" in numbers]
    assert train == [(line["step"], line["loss"]) for line in read_metrics(workplace / "out")]
    assert evaluations == [0, 1, 2, 3]
    assert told.finished == 1


@pytest.mark.parametrize("at", ["init", "log", "finish"])
def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on(
    workplace: Path,
    trainer: Callable[..., Ended],
    trackio: Callable[..., Told],
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "0123456789abcdef")
    told = trackio(fails_at=at)
    ended = trainer(*ALIGN, "--tracker", "trackio")
    assert ended.status == 0
    warnings = [line for line in ended.stderr.splitlines() if "trackio" in line]
    expected = f"warning: trackio is left out from here on: no network at {at} with the key $SOME_API_KEY; "
    assert warnings == [expected + "metrics.jsonl has every line"]
    assert [line["step"] for line in read_metrics(workplace / "out")] == [1, 2, 3]
    assert len(told.lines) == (3 if at == "finish" else 0)


def test_one_of_two_goes_on_where_the_other_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = Told(), Told(fails_at="log")
    for name, told in (("wandb", bad), ("trackio", good)):
        monkeypatch.setitem(
            watch.__dict__["_OPEN"],
            name,
            lambda run, told=told: watch.Tracker(log=lambda n, s: told.log(n, step=s), finish=told.finish),
        )
    with trackers(("wandb", "trackio"), tmp_path / "run", {}, 0) as opened:
        for step in (1, 2):
            opened.log({"step": step, "loss": 0.5, "kl": float("inf"), "grad_norm": None}, prefix="train/")
    assert good.lines == [({"train/loss": 0.5}, 1), ({"train/loss": 0.5}, 2)]
    assert (good.finished, bad.finished) == (1, 0)


def test_a_continued_run_has_the_identity_of_its_beginning_and_another_run_has_not(
    tmp_path: Path, trackio: Callable[..., Told]
) -> None:
    told = trackio()
    for name in ("a", "a", "b"):
        with trackers(("trackio",), tmp_path / name, {}, 0):
            pass
    names = [opened["name"] for opened in told.opened]
    assert names[0] == names[1]
    assert names[0].split("-")[1] != names[2].split("-")[1]
    assert told.opened[0]["resume"] == "allow"


def test_without_trackers_nothing_is_written(tmp_path: Path) -> None:
    with trackers((), tmp_path / "run", {}, 0) as opened:
        opened.log({"step": 1, "loss": 0.5})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tracker", "wandb"), "error: --tracker wandb: wandb is not installed; pip install wandb"),
        (("--tracker", "mlflow"), "error: --tracker mlflow: expected tensorboard, wandb, trackio"),
        (("--tracker", "trackio,comet"), "error: --tracker trackio,comet: expected tensorboard, wandb, trackio"),
    ],
)
def test_bad_trackers(
    workplace: Path,
    trainer: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setattr(watch, "find_spec", lambda name: None)
    ended = trainer(*ALIGN, *words)
    assert (ended.status, ended.stderr.splitlines()) == (2, [message])
    assert not (workplace / "out").exists()


@pytest.mark.usefixtures("workplace")
def test_trackers_may_change_when_a_run_is_continued(
    trainer: Callable[..., Ended], trackio: Callable[..., Told]
) -> None:
    trackio()
    assert trainer(*ALIGN, "--max-steps", "1", "--tracker", "trackio").status == 0
    ended = trainer(*ALIGN, "--max-steps", "1")
    assert "this run is finished" in ended.stderr


def test_secrets_are_replaced_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijk")
    monkeypatch.setenv("SHORT_KEY", "a")
    assert without_secrets("401 for hf_abcdefghijk at a place") == "401 for $HF_TOKEN at a place"
