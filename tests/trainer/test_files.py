"""Outputs: one process at a time, under names that can be written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.errors import TrainerError
from trainer.files import locked, output_file, write_text

fcntl = pytest.importorskip("fcntl")


@pytest.mark.parametrize("folder", [False, True])
def test_two_do_not_write_to_one_place(tmp_path: Path, folder: bool) -> None:
    output = tmp_path / "out"
    if folder:
        output.mkdir()
    with locked(output):
        told = rf"out: another process \(PID {os.getpid()}\) is writing here; wait for it, or choose another --output"
        with pytest.raises(TrainerError, match=told), locked(output):
            pass
    with locked(output), locked(tmp_path / "other"):
        pass
    assert list(tmp_path.rglob("*")) == ([output] if folder else [])


def test_a_link_is_locked_as_what_it_stands_for(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to("out.jsonl")
    with (
        locked(tmp_path / "out.jsonl"),
        pytest.raises(TrainerError, match="another process"),
        locked(tmp_path / "link.jsonl"),
    ):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib; from trainer.files import locked; lock = locked(pathlib.Path(sys.argv[1])); "
        "lock.__enter__(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], check=False)
    assert ended.returncode == -9
    assert (tmp_path / "out.lock").exists()
    with locked(tmp_path / "out"):
        assert (tmp_path / "out.lock").read_text() == f"{os.getpid()}\n"
    assert not (tmp_path / "out.lock").exists()


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "out"), locked(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_no_part_of_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_text(tmp_path / "page.html", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainerError, match=r"page.html: cannot be written: No space left on device; free or choose"):
        write_text(tmp_path / "page.html", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"page.html": "old"}


def test_an_output_is_the_file_that_its_link_stands_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.jsonl").symlink_to(Path("far") / "out.jsonl")
    assert output_file("link.jsonl") == tmp_path.resolve() / "far" / "out.jsonl"
    assert output_file("a/out.jsonl") == Path("a/out.jsonl")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\udcff.jsonl", r"--output 'a\udcff.jsonl': the name is not UTF-8; give the file another"),
        ("ä" * 125 + ".jsonl", "File name too long; give another"),
        ("long/" * 1000 + "out.jsonl", "File name too long; give another"),
    ],
)
def test_names_that_no_output_can_have(name: str, message: str) -> None:
    with pytest.raises(TrainerError) as error:
        output_file(name)
    assert message in str(error.value)
