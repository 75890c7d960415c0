"""Progress on standard error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer import progress as module
from trainer.metrics import shown
from trainer.progress import duration, progress


def test_plain_lines_come_now_and_then_and_once_at_the_end_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 4 seconds: a line every 10, the first three units were done before."""
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    with progress("step", 10, done=3) as report:
        for done in range(4, 11):
            report(done, f"loss {done}")
        report(10, "evaluation 1/2")
    assert capsys.readouterr().err.splitlines() == [
        "step 6/10  loss 6  0:16 left",
        "step 9/10  loss 9  0:04 left",
        "step 10/10  loss 10",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_other_processes_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("step", 1, show=False) as report:
        report(1, "loss 1")
    assert capsys.readouterr().err == ""


def test_a_line_says_what_is_watched_and_leaves_out_what_is_not_there() -> None:
    line = {"loss": 0.43211, "reward_margin": -1.5, "kl": 0.25, "tokens_per_second": 12345.6, "saturation": 0.1}
    assert shown(line) == "loss 0.4321  margin -1.500  kl 0.250  12,346 tokens/s"
    assert shown({"loss": 2.0}) == "loss 2.0000"
    assert shown({"loss": -1e-6, "reward_margin": -4e-4}) == "loss 0.0000  margin 0.000"


BAR = """
from trainer.progress import progress
with progress("step", 200, done=20) as report:
    report(60, "loss 0.4321  margin 12.120  kl 0.030  11,240 tokens/s")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_terminal_of_eighty_columns_shows_one_whole_line() -> None:
    import pty

    own, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    folder = Path(module.__file__).parent.parent
    subprocess.run([sys.executable, "-c", BAR], stderr=theirs, env=environment, cwd=folder, check=True)
    os.close(theirs)
    drawn = os.read(own, 65536).decode()
    os.close(own)
    assert " 60/200" in drawn
    assert "loss 0.4321  margin 12.120  kl 0.030  11,240 tokens/s" in drawn
