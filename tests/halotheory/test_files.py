"""Files written whole: links, modes, pipes, and what cannot be written."""

import os
import stat
from pathlib import Path

import pytest

from halotheory.errors import HaloTheoryError
from halotheory.files import write_text


def test_a_file_is_written_and_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "page", "π")
    assert (tmp_path / "page").read_bytes() == "π".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_link_stays_one_and_its_target_is_written(existing: bool, tmp_path: Path) -> None:
    folder, link = tmp_path / "elsewhere", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder / "page")
    if existing:
        (folder / "page").write_text("old")
    write_text(link, "new")
    assert link.is_symlink()
    assert (folder / "page").read_text() == "new"


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("old")
    page.chmod(0o640)
    write_text(page, "new")
    assert stat.S_IMODE(page.stat().st_mode) == 0o640


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no/such/folder/page", "No such file or directory"), ("a" * 300, "name too long")],
)
def test_what_cannot_be_written_is_one_line(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(HaloTheoryError, match=f"cannot be written: .*{reason}"):
        write_text(tmp_path / name, "text")
