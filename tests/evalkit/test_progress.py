"""Progress: the time left is estimated from this start alone."""

import pytest

from evalkit import progress
from evalkit.progress import Progress


def test_the_time_left_leaves_out_what_was_finished_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with Progress() as shown:
        shown.start(total=1000, finished=400)
        shown.skip(100)  # found in the journal
        now = 20.0
        shown.reach(500, "gsm8k")
        now = 40.0
        shown.reach(600, "gsm8k")
        now = 50.0
        shown.reach(650, "gsm8k")  # so soon again: no line
        now = 100.0
        shown.reach(510, "bbh")
    assert capsys.readouterr().err.splitlines() == [
        "  gsm8k: 500 of 1000 items",
        "  gsm8k: 600 of 1000 items, about 3 min left",
        "  bbh: 510 of 1000 items, about 82 min left",
    ]


def test_lines_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        shown.say("a server said: \x1b[2J\rdone\nand \u202e so on")
    assert capsys.readouterr().err == "a server said: \ufffd[2J\ufffddone\nand \ufffd so on\n"
