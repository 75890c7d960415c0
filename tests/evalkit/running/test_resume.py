"""Resuming: whatever stops a run, the same command ends with the same items, and asks for nothing twice."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from evalkit.errors import EvalkitError
from evalkit.run_folder import locked
from evalkit.running import run as running
from evalkit.running.journal import Journal
from evalkit.running.run import run

SAMPLED: dict[str, Any] = {"temperature": 0.7, "samples": 3}


def lines(folder: Path) -> list[str]:
    return (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()


class Asked:
    """Counts what a model is asked, and stops it after so many batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches, self.requests, self.stop_after = 0, 0, 10**9
        load = running.load

        def counted(choice: Any) -> Any:
            backend = load(choice)
            for kind in ("generate_until", "_loglikelihood_tokens"):
                setattr(backend.model, kind, self._counted(getattr(backend.model, kind)))
            return backend

        monkeypatch.setattr(running, "load", counted)

    def _counted(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(requests: Any, **settings: Any) -> Any:
            if self.batches == self.stop_after:
                raise KeyboardInterrupt
            self.batches += 1
            self.requests += len(requests)
            return ask(requests, **settings)

        return asked


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.mark.parametrize("settings", [{}, SAMPLED], ids=["greedy", "sampled"])
def test_an_interrupted_run_goes_on_at_the_batch(
    settings: dict[str, Any], model: Path, task: Path, tmp_path: Path, asked: Asked
) -> None:
    run(str(model), [str(task)], tmp_path / "whole", batch_size=4, **settings)
    whole, asked.batches, asked.requests = asked.requests, 0, 0
    assert whole == 30 * settings.get("samples", 1)
    for stop in (1, 3, 6):
        asked.stop_after = stop
        with pytest.raises(KeyboardInterrupt):
            run(str(model), [str(task)], tmp_path / "run", batch_size=4, **settings)
        assert not (tmp_path / "run" / "results.json").exists()
    asked.stop_after = 10**9
    run(str(model), [str(task)], tmp_path / "run", batch_size=4, **settings)
    assert asked.requests == whole
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "config.yaml",
        "results.json",
        "samples.jsonl",
    ]


def test_an_interrupted_run_of_choices_goes_on_at_the_batch(
    model: Path, made_up_data: Path, tmp_path: Path, asked: Asked
) -> None:
    settings: dict[str, Any] = {"data_dir": made_up_data, "limit": 1, "batch_size": 4}
    run(str(model), ["mmlu"], tmp_path / "whole", **settings)
    whole, asked.requests, asked.batches, asked.stop_after = asked.requests, 0, 0, 5
    with pytest.raises(KeyboardInterrupt):
        run(str(model), ["mmlu"], tmp_path / "run", **settings)
    asked.stop_after = 10**9
    run(str(model), ["mmlu"], tmp_path / "run", **settings)
    assert (whole, asked.requests) == (57 * 4, 57 * 4)
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_a_finished_benchmark_is_not_asked_again(
    model: Path, task: Path, made_up_data: Path, tmp_path: Path, asked: Asked
) -> None:
    names = ["gsm8k", str(task)]
    asked.stop_after = 1  # the three items of gsm8k are one batch
    with pytest.raises(KeyboardInterrupt):
        run(str(model), names, tmp_path / "run", data_dir=made_up_data)
    part = tmp_path / "run" / "parts" / "gsm8k.jsonl"
    part.write_text(part.read_text().replace('"prediction": "', '"prediction": "kept: '))
    asked.stop_after = 10**9
    run(str(model), names, tmp_path / "run", data_dir=made_up_data)
    rows = [json.loads(line) for line in lines(tmp_path / "run")]
    assert [str(row["prediction"]).startswith("kept: ") for row in rows] == [True] * 3 + [False] * 30


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Processes to be ended, whatever happens."""
    children: list[int] = []
    yield children
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


@pytest.mark.parametrize("settings", [{}, SAMPLED], ids=["greedy", "sampled"])
def test_ten_kills_change_nothing(
    settings: dict[str, Any], model: Path, task: Path, tmp_path: Path, started: list[int]
) -> None:
    run(str(model), [str(task)], tmp_path / "whole", batch_size=1, **settings)  # imports what the children use, too
    journal, kills = tmp_path / "run" / "parts" / "arithmetic.answers.jsonl", 0
    all_answers = 30 * settings.get("samples", 1)
    for target in range(all_answers // 11, all_answers, all_answers // 11):
        child = os.fork()
        if child == 0:
            tqdm.set_lock(threading.RLock())  # its own is shared with this process, and a kill would leave it taken
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            run(str(model), [str(task)], tmp_path / "run", batch_size=1, **settings)
            os._exit(0)
        started.append(child)
        deadline = time.monotonic() + 60
        while not (journal.is_file() and journal.read_bytes().count(b"\n") >= target) and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(started.pop(), 0)[1] == signal.SIGKILL
        kills += 1
        with journal.open("ab") as file:
            file.write(b'{"key": "torn')  # as a kill in the midst of a write leaves it
    assert kills >= 10
    run(str(model), [str(task)], tmp_path / "run", batch_size=1, **settings)
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_a_full_disk_is_one_error_and_costs_nothing(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    run(str(model), [str(task)], tmp_path / "whole", batch_size=4)
    append, appended = Journal.append, []

    def full(journal: Journal, answers: Any) -> None:
        if len(appended) == 3:
            with open("/dev/full", "ab") as device:
                journal._file, kept = device, journal._file
                try:
                    append(journal, answers)
                finally:
                    journal._file = kept
        appended.append(answers)
        append(journal, answers)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        with pytest.raises((EvalkitError, OSError), match="No space left"):
            run(str(model), [str(task)], tmp_path / "run", batch_size=4)
    before = asked.requests
    run(str(model), [str(task)], tmp_path / "run", batch_size=4)
    assert asked.requests - before == 30 - 12
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_another_process_in_the_same_folder_is_refused(model: Path, task: Path, tmp_path: Path) -> None:
    run(str(model), [str(task)], tmp_path / "run", limit=2)
    before = lines(tmp_path / "run")
    with locked(tmp_path / "run"), pytest.raises(EvalkitError, match="another evalkit run is writing to it"):
        run(str(model), [str(task)], tmp_path / "run", overwrite=True)
    assert lines(tmp_path / "run") == before
