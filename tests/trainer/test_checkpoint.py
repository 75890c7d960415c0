"""Runs that are killed, told to stop, finished, or told something else than before."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from halotheory.command import run as run_command
from tests.trainer.conftest import Ended
from tests.trainer.tiny import make_model, make_tokenizer, read_metrics, same_weights, thumbs, weights, write_jsonl
from trainer import checkpoint, metrics
from trainer.cli import app
from trainer.errors import HaloTheoryError
from trainer.files import locked
from trainer.metrics import CLOCKED, Window
from trainer.stopping import told_to_stop

ROOT = Path(__file__).parents[2]
WORDS = (
    *("align", "--loss", "kto", "--model", "model", "--data", "thumbs.jsonl", "--batch-size", "6"),
    *("--epochs", "5", "--learning-rate", "1e-3", "--save-steps", "4", "--log-steps", "3", "--dropout"),
    *("--eval-data", "thumbs.jsonl", "--eval-steps", "2"),
)


def start(output: str) -> "subprocess.Popen[str]":
    """Start a run in a process of its own; 24 rows in steps of 6 are 20 steps."""
    command = [sys.executable, "-m", "trainer", *WORDS, "--output", output]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def kill_after(output: str, step: int) -> None:
    process = start(output)
    wait_for(Path(output) / "checkpoints" / f"step-{step:06d}")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def wait_for(path: Path, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working folder with an undisturbed run, `whole`, and one killed after step 4, `killed`."""
    folder = tmp_path_factory.mktemp("runs")
    make_model(attention_dropout=0.2).save_pretrained(folder / "model")
    make_tokenizer().save_pretrained(folder / "model")
    write_jsonl(folder / "thumbs.jsonl", thumbs())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        kill_after("killed", 4)
        assert not (folder / "killed" / "model").exists()
        assert run_command(app, HaloTheoryError, (*WORDS, "--output", "whole")) == 0
    return folder


@pytest.fixture
def killed(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return `out`, a copy of the killed run, in a working folder of its own."""
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "killed").rename(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "out" / "config.yaml"
    config.write_text(config.read_text().replace("output: killed", "output: out"))
    return tmp_path / "out"


def assert_same_run(one: Path, other: Path) -> None:
    assert same_weights(one / "model", other / "model")
    first, second = read_metrics(one), read_metrics(other)
    for line in (*first, *second):
        for name in CLOCKED:
            line.pop(name)
    assert first == second
    assert (one / "eval.jsonl").read_bytes() == (other / "eval.jsonl").read_bytes()


def test_a_killed_run_ends_with_the_weights_and_metrics_of_an_undisturbed_one(
    killed: Path, runs: Path, trainer: Callable[..., Ended]
) -> None:
    """SIGKILL twice at any moment, dropout on, checkpoints between two logged lines."""
    kill_after("out", 12)
    assert not (killed / "model").exists()
    ended = trainer(*WORDS, "--output", "out")
    assert ended.status == 0
    assert "continues from step" in ended.stderr
    assert_same_run(killed, runs / "whole")
    assert [line["step"] for line in read_metrics(killed)] == [3, 6, 9, 12, 15, 18, 20]
    assert [line["step"] for line in metrics.read(killed / "eval.jsonl")] == list(range(0, 21, 2))


@pytest.mark.slow
def test_twenty_kills_at_random_moments_leave_no_trace(runs: Path, tmp_path: Path) -> None:
    """A checkpoint after every step, so that many a kill comes while one is written."""
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    words = (*WORDS, "--batch-size", "2", "--epochs", "8", "--save-steps", "1", "--output")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for command in (
        [sys.executable, "-m", "trainer", *words, "undisturbed"],
        [sys.executable, "-m", "tests.trainer.killed_often", "often", "0", *words, "often"],
    ):
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("continues from step") == 20
    assert_same_run(tmp_path / "often", tmp_path / "undisturbed")
    assert not list((tmp_path / "often" / "checkpoints").glob(".*"))


@pytest.mark.parametrize("kilobytes", [20, 150])
def test_a_full_disk_costs_the_checkpoint_alone(
    kilobytes: int, killed: Path, runs: Path, trainer: Callable[..., Ended]
) -> None:
    """No file may grow larger than this: the weights are cut off, or those of the optimizer."""
    largest = max(path.stat().st_size for path in (killed / "checkpoints" / "step-000004").iterdir())
    assert kilobytes * 1024 < largest
    script = 'ulimit -f "$1"; shift; exec "$@"'
    command = ["bash", "-c", script, "-", str(kilobytes), sys.executable, "-m", "trainer", *WORDS, "--output", "out"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: out/checkpoints/step-000008: cannot be written: ")
    assert "Traceback" not in ended.stderr
    assert [path.name for path in (killed / "checkpoints").glob("step-*")] == ["step-000004"]
    assert trainer(*WORDS, "--output", "out").status == 0
    assert_same_run(killed, runs / "whole")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_run_told_to_stop_saves_and_continues(
    killed: Path, runs: Path, trainer: Callable[..., Ended], name: str
) -> None:
    process = start("out")
    wait_for(killed / "checkpoints" / "step-000008")
    process.send_signal(getattr(signal, name))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopping after this step, with a checkpoint; a second Ctrl-C gives that up" in stderr
    saved, interrupted = stderr.splitlines()[-2:]
    assert saved.endswith("the same command continues from it")
    assert interrupted == "error: interrupted"
    assert trainer(*WORDS, "--output", "out").status == 0
    assert_same_run(killed, runs / "whole")


def test_a_run_goes_on_when_nobody_reads_what_it_says(killed: Path, runs: Path) -> None:
    process = start("out")
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert_same_run(killed, runs / "whole")


def test_a_terminal_that_is_closed_takes_the_output_and_leaves_a_checkpoint(killed: Path) -> None:
    process = start("out")
    assert process.stderr is not None
    wait_for(killed / "checkpoints" / "step-000008")
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=120) == 130
    assert not (killed / "model").exists()
    assert checkpoint.last(killed / "checkpoints") is not None


def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with told_to_stop() as told:
            signal.raise_signal(signal.SIGHUP)
        assert told == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_first_interruption_waits_for_the_step_and_the_second_does_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    with told_to_stop() as told:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert told == [signal.SIGTERM, signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_changed_data_are_refused_by_a_run_in_progress(killed: Path, trainer: Callable[..., Ended]) -> None:
    write_jsonl(killed.parent / "thumbs.jsonl", thumbs(30))
    ended = trainer(*WORDS, "--output", "out")
    assert ended.status == 2
    assert (
        "holds a run, and since it began this changed: data thumbs.jsonl, eval data thumbs.jsonl; give" in ended.stderr
    )
    (killed / "sources.json").unlink()  # as of an older run: the tokens tell
    assert "the data or the loss file changed since this checkpoint" in trainer(*WORDS, "--output", "out").stderr


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin"])
def test_a_damaged_checkpoint_is_one_error_that_names_it(
    killed: Path, trainer: Callable[..., Ended], name: str
) -> None:
    (killed / "checkpoints" / "step-of-mine").mkdir()
    (damaged, _) = checkpoint.last(killed / "checkpoints") or pytest.fail("no checkpoint")
    (damaged / name).write_bytes((damaged / name).read_bytes()[:100])
    ended = trainer(*WORDS, "--output", "out")
    assert ended.status == 2
    assert f"{damaged.name}: the checkpoint cannot be loaded" in ended.stderr


def test_a_checkpoint_without_its_random_states_is_not_continued(killed: Path, trainer: Callable[..., Ended]) -> None:
    (damaged, _) = checkpoint.last(killed / "checkpoints") or pytest.fail("no checkpoint")
    (damaged / "random_states_0.pkl").unlink()
    ended = trainer(*WORDS, "--output", "out")
    assert ended.status == 2
    assert "random_states_0.pkl: missing" in ended.stderr


def test_damaged_random_states_are_not_passed_over(killed: Path, trainer: Callable[..., Ended]) -> None:
    (damaged, _) = checkpoint.last(killed / "checkpoints") or pytest.fail("no checkpoint")
    states = damaged / "random_states_0.pkl"
    states.write_bytes(states.read_bytes()[:100])
    ended = trainer(*WORDS, "--output", "out")
    assert ended.status == 2
    assert f"{damaged.name}: the checkpoint cannot be loaded" in ended.stderr


def test_a_checkpoint_of_fewer_processes_is_not_blamed(killed: Path) -> None:
    (path, position) = checkpoint.last(killed / "checkpoints") or pytest.fail("no checkpoint")
    two: Any = SimpleNamespace(num_processes=2, process_index=1)
    with pytest.raises(HaloTheoryError, match=r"is of 1 process.es., and 2 were started; start at most 1"):
        checkpoint.restore(two, path, position, position.fingerprint)


def test_a_model_that_cannot_be_written_costs_no_step(
    killed: Path, runs: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("trainer.run_folder.write_model", full)
        ended = trainer(*WORDS, "--output", "out")
    assert ended.status == 2
    assert "out/model: cannot be written: No space left on device" in ended.stderr
    ended = trainer(*WORDS, "--output", "out")
    assert "continues from step 20 of 20" in ended.stderr
    assert_same_run(killed, runs / "whole")
    assert not (killed / "checkpoints" / "step-000020").exists()


def test_a_last_checkpoint_that_does_not_fit_does_not_keep_the_model_from_being_written(
    killed: Path, trainer: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("accelerate.Accelerator.save_state", full)
    ended = trainer(*WORDS, "--output", "out", "--save-steps", "100", "--overwrite")
    assert ended.status == 0
    assert "warning: out/checkpoints/step-000020: cannot be written: No space left on device; free or" in ended.stderr
    assert (killed / "model" / "model.safetensors").exists()


def test_two_runs_do_not_write_to_one_folder(killed: Path, trainer: Callable[..., Ended]) -> None:
    with locked(killed):
        for words in ((), ("--overwrite",)):
            ended = trainer(*WORDS, "--output", "out", *words)
            assert ended.status == 2
            assert f"out: another process (PID {os.getpid()}) is writing here" in ended.stderr
    assert trainer(*WORDS, "--output", "out").status == 0
    assert not (killed / ".lock").exists()


@pytest.mark.parametrize("option", ["--reference-model", "--eval-data", "--loss"])
def test_overwrite_does_not_remove_what_the_run_reads(
    workplace: Path, trainer: Callable[..., Ended], option: str
) -> None:
    words = ("align", "--model", "model", "--data", "thumbs.jsonl", "--max-steps", "1", "--output", "out")
    assert trainer(*words).status == 0
    shutil.copy("thumbs.jsonl", "out/model/rows.jsonl")
    Path("out/model/mine.py").write_text("def loss(policy_logps):\n    return -policy_logps\n")
    given = {"--reference-model": "out/model", "--eval-data": "out/model/rows.jsonl", "--loss": "out/model/mine.py"}
    ended = trainer(*words, "--overwrite", option, given[option])
    assert ended.status == 2
    assert "lies in it; give another --output" in ended.stderr
    assert (workplace / "out" / "model" / "model.safetensors").exists()


def test_weights_that_the_last_step_broke_are_not_written(workplace: Path, trainer: Callable[..., Ended]) -> None:
    words = ("align", "--model", "model", "--data", "thumbs.jsonl", "--max-steps", "1", "--output", "out")
    ended = trainer(*words, "--learning-rate", "1e300")
    assert ended.status == 2
    assert "not finite after the last step; no model is written; lower --learning-rate" in ended.stderr
    assert not (workplace / "out" / "model").exists()


def test_a_finished_run_says_so_and_does_nothing(workplace: Path, trainer: Callable[..., Ended]) -> None:
    words = (*WORDS, "--output", "out", "--max-steps", "2")
    assert trainer(*words).status == 0
    before = {path: path.stat().st_mtime_ns for path in (workplace / "out").rglob("*")}
    ended = trainer(*words)
    assert (ended.status, ended.stdout) == (0, "out/model\n")
    assert ended.stderr == "out: this run is finished; its model is out/model\n"
    assert {path: path.stat().st_mtime_ns for path in (workplace / "out").rglob("*")} == before


def test_another_configuration_is_refused_by_name_and_overwrite_starts_anew(
    workplace: Path, trainer: Callable[..., Ended]
) -> None:
    words = (*WORDS, "--output", "out", "--max-steps", "2")
    assert trainer(*words).status == 0
    ended = trainer(*words, "--seed", "3", "--set", "beta=0.2")
    assert ended.status == 2
    assert "hyperparameters was {} and is {'beta': 0.2}, seed was 0 and is 3" in ended.stderr
    assert "give another --output, or --overwrite" in ended.stderr
    old = weights(workplace / "out" / "model")["lm_head.weight"]
    assert trainer(*words, "--seed", "3", "--set", "beta=0.2", "--overwrite").status == 0
    assert [line["step"] for line in read_metrics(workplace / "out")] == [2]
    assert not (weights(workplace / "out" / "model")["lm_head.weight"] == old).all()


def test_folders_that_are_not_a_runs_are_left_alone(workplace: Path, trainer: Callable[..., Ended]) -> None:
    for output, message in ((".", "lies in it; give another --output"), ("other", "is of no run")):
        (workplace / "other" / "model").mkdir(parents=True, exist_ok=True)
        ended = trainer(*WORDS, "--output", output)
        assert ended.status == 2
        assert message in ended.stderr
    assert (workplace / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model/x", "mine\n"),
        ("config.yaml", "mine: 1\n"),
        ("config.yaml", "model: model\ndata: thumbs.jsonl\n"),
        ("data_report.json", "[]\n"),
        ("curves.html", "mine\n"),
    ],
)
def test_overwrite_replaces_nothing_that_is_of_no_run(
    workplace: Path, trainer: Callable[..., Ended], name: str, content: str
) -> None:
    path = workplace / "other" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    for words in ((), ("--overwrite",)):
        ended = trainer(*WORDS, "--output", "other", *words)
        assert ended.status == 2
        told = f"error: other/{name.partition('/')[0]}: exists, and is of no run; give another --output, or move it"
        assert ended.stderr == f"{told} away\n"
    assert [one.read_text() for one in (workplace / "other").rglob("*") if one.is_file()] == [content]


def test_overwrite_replaces_a_run_of_which_files_are_gone(killed: Path, trainer: Callable[..., Ended]) -> None:
    """As after a kill between what is removed and what is written anew."""
    (killed / "config.yaml").unlink()
    (killed / "sources.json").unlink()
    assert (
        "the run's config.yaml is gone; give another --output, or --overwr" in trainer(*WORDS, "--output", "out").stderr
    )
    assert trainer(*WORDS, "--output", "out", "--overwrite").status == 0


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    """A folder whose position is missing or torn is passed over; numbers compare as numbers."""
    from trainer.files import write_text

    position = '{"step": %d, "window": {}, "fingerprint": "f", "processes": 1}'
    for step in (999999, 1000000):
        write_text(tmp_path / f"step-{step:06d}" / "position.json", position % step)
    found = checkpoint.last(tmp_path)
    assert found is not None
    assert (found[1].step, found[1].window) == (1000000, Window())
    for damaged in ('{"step": 10', position % 7, position.replace("%d", '"x"')):
        write_text(tmp_path / "step-1000000" / "position.json", damaged)
        found = checkpoint.last(tmp_path)
        assert found is not None
        assert found[0].name == "step-999999"
    shutil.rmtree(tmp_path / "step-999999")
    assert checkpoint.last(tmp_path) is None


def test_beside_an_adapter_only_trained_weights_are_saved() -> None:
    """Of quantised weights neither their statistics, which are in the state and are no parameters."""
    model = make_model().requires_grad_(False)
    model.lm_head.requires_grad_(True)
    state = {**model.state_dict(), "model.layers.0.mlp.up_proj.weight.absmax": torch.ones(3)}
    checkpoint._leave_out_frozen([model], [state], "folder")
    assert set(state) == {"lm_head.weight"}
    whole = make_model()
    state = {**whole.state_dict(), "buffer": torch.ones(3)}
    checkpoint._leave_out_frozen([whole], [state], "folder")
    assert "buffer" in state
