"""A judged run that is killed, interrupted or runs out of disk: nothing lost, nothing paid twice."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.evalkit.judging.conftest import Files, write_outputs
from tests.evalkit.judging.server import JudgeServer, by_hash

Serve = Callable[..., JudgeServer]


def start(files: Files, output: Path, server: JudgeServer, *more: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "evalkit", "judge", "--judge-model", "judge-1", "--base-url", server.url]
    words = ["--outputs", str(files[0]), "--against", str(files[1]), "--output", str(output), *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, *words], env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes, **options)  # type: ignore[call-overload]


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of a command that ends by itself."""
    shown, told = process.communicate(timeout=120)
    return process.returncode, shown, told


def journalled(output: Path) -> list[str]:
    """Return the keys of whole lines."""
    path = output / "journal.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line)["key"] for line in lines]


def wait_for(server: JudgeServer, answers: int, process: subprocess.Popen[str]) -> None:
    while sum(server.answered.values()) < answers and process.poll() is None:
        time.sleep(0.002)


def killed_runs(folder: Path, serve: Serve, *, pairs: int, kills: int, concurrency: int) -> None:
    files = write_outputs(folder, pairs)
    calm, server = serve(rule=by_hash), serve(rule=by_hash, latency=0.02)
    words = ("--concurrency", str(concurrency))
    status, expected, told = finish(start(files, folder / "calm", calm, *words))
    assert status == 0, told
    chance = random.Random(0)
    for kill in range(kills):
        kept, before = journalled(folder / "run"), server.asked.copy()
        process = start(files, folder / "run", server, *words)
        goal = (kill + 1) * 2 * pairs // (kills + 2)  # the last kill leaves a part, so that no start is the last one
        wait_for(server, goal, process)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run was over before it was killed"
        assert all(server.asked[key] == before[key] for key in kept)  # a finished call is not asked again
    kept, before = journalled(folder / "run"), server.asked.copy()
    status, shown, told = finish(start(files, folder / "run", server, *words))
    assert status == 0, told
    assert all(server.asked[key] == before[key] for key in kept)
    assert sum(server.asked.values()) <= 2 * pairs + 1 + kills * concurrency
    finished = journalled(folder / "run")
    assert len(set(finished)) == len(finished) == 2 * pairs + 1
    for name in ("samples.jsonl", "results.json"):
        assert (folder / "run" / name).read_text() == (folder / "calm" / name).read_text()
    assert shown == expected


def test_a_run_that_is_killed_again_and_again_ends_like_one_that_is_not(tmp_path: Path, serve: Serve) -> None:
    killed_runs(tmp_path, serve, pairs=60, kills=3, concurrency=8)


def test_an_interrupted_run_keeps_what_it_has_and_says_so(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 40), serve(latency=0.05)
    process = start(files, tmp_path / "run", server, "--concurrency", "4")
    wait_for(server, 20, process)
    process.send_signal(signal.SIGINT)
    status, shown, told = finish(process)
    assert status == 130
    assert shown == ""
    assert told.splitlines()[-1] == "error: interrupted; the same command goes on from here"
    assert "Traceback" not in told
    kept = len(journalled(tmp_path / "run"))
    assert kept >= 16
    assert not (tmp_path / "run" / "results.json").exists()
    assert finish(start(files, tmp_path / "run", server))[0] == 0
    assert sum(server.asked.values()) <= 81 + 4


def test_a_full_disk_costs_the_calls_in_flight(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 30), serve(latency=0.01)

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    process = start(files, tmp_path / "run", server, "--concurrency", "4", preexec_fn=small_files)
    status, _, told = finish(process)
    assert status == 2
    assert "journal.jsonl: File too large; the replies written before are kept: make room" in told
    assert "Traceback" not in told
    kept = journalled(tmp_path / "run")
    assert len(kept) > 5
    before = server.asked.copy()
    assert finish(start(files, tmp_path / "run", server))[0] == 0
    assert all(server.asked[key] == before[key] for key in kept)
    assert sum(server.asked.values()) <= 61 + 8


def test_two_runs_do_not_pay_for_one_journal(tmp_path: Path, serve: Serve) -> None:
    files, server = write_outputs(tmp_path, 10), serve(latency=0.3)
    first = start(files, tmp_path / "run", server, "--concurrency", "2")
    wait_for(server, 2, first)
    status, _, told = finish(start(files, tmp_path / "run", server))
    assert status == 2
    assert "another evalkit judge is writing it" in told
    assert finish(first)[0] == 0
    assert sum(server.asked.values()) == 21
