"""Output whose reader has gone away."""

import errno
import io
import os
import sys

import pytest

from trainer.unheard import going_on_unheard


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_nobody_reads_goes_nowhere_and_stops_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, name, stream)
        with going_on_unheard():
            print("heard", file=getattr(sys, name), flush=True)
            assert os.read(reader, 100) == b"heard\n"
            os.close(reader)
            print("not heard", file=getattr(sys, name), flush=True)
        assert getattr(sys, name) is stream
        print("nor is this, without the help of a wrapper", file=stream, flush=True)


class Full(io.StringIO):
    """A log file on a disk that is full for one line."""

    lines = 0

    def write(self, text: str) -> int:
        self.lines += 1
        if self.lines == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_file_on_a_full_disk_has_what_comes_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Full()
    monkeypatch.setattr(sys, "stderr", log)
    with going_on_unheard():
        sys.stderr.write("one\n")
        sys.stderr.write("two\n")
    assert log.getvalue() == "two\n"
