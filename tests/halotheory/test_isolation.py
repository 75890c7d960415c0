"""A loss file in its child process: whatever it does ends in a verdict or in one line that names it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halotheory.checking import check
from halotheory.errors import HaloTheoryError
from halotheory.isolation import check_file_isolated, is_file, verdict_from

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can fork")

LOSS = """
def loss(policy_chosen_logps, policy_rejected_logps, *, beta=1.0):
    return -torch.nn.functional.logsigmoid(beta * (policy_chosen_logps - policy_rejected_logps))
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(code: str, *, then: str = LOSS) -> Path:
        path = tmp_path / "my_loss.py"
        path.write_text(f"{code}\nimport torch\n{then}", encoding="utf-8")
        return path

    return write


def alive(word: str) -> list[str]:
    """Return the processes whose command line or environment names the word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "environ").read_bytes() and folder.name != str(os.getpid()):
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_the_verdict_is_that_of_this_process(write) -> None:
    path = write("")
    apart, here = (function(str(path), settings={"beta": 0.5}) for function in (check_file_isolated, check))
    assert {**apart.as_dict(), "seconds": 0} == {**here.as_dict(), "seconds": 0}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("while True:\n    pass", r"my_loss\.py:[12]: no answer within 1 s, while importing the file"),
        ("import itertools\nsum(itertools.repeat(1))", r"my_loss\.py:2: no answer within 1 s"),
        ("import os\nos._exit(0)", "the process ended with exit status 0, while importing the file"),
        ("import sys\nsys.exit(0)", r"my_loss\.py:2: importing the file raised SystemExit: 0"),
        ("raise KeyboardInterrupt", r"my_loss\.py:1: raised KeyboardInterrupt"),
        ("import ctypes\nctypes.string_at(0)", r"my_loss\.py:2: the process ended with SIGSEGV"),
        ("import os\nos.kill(0, 9)", "the process ended with SIGKILL, perhaps for want of memory"),
        ("input()", r"my_loss\.py:1: importing the file raised EOFError"),
        ("raise ValueError('no')", r"my_loss\.py:1: importing the file raised ValueError: no"),
    ],
)
def test_what_a_file_does_while_it_is_imported_is_one_line(write, code: str, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(HaloTheoryError, match=message) as error:
        check_file_isolated(str(write(code)), timeout=1)
    assert "\n" not in str(error.value)
    assert time.monotonic() - began < 20


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
@pytest.mark.parametrize(
    "code", ["x = [bytes(2**24) for _ in range(10**6)]", "import torch\nx = torch.ones(2**40)", "x = bytearray(2**36)"]
)
def test_a_hungry_file_is_told_its_line_and_the_bound(write, code: str) -> None:
    with pytest.raises(HaloTheoryError, match=r"my_loss\.py:[12]: needed more than 0\.5 GiB of memory"):
        check_file_isolated(str(write(code)), memory=0.5)


def test_a_loss_that_hears_no_alarm_is_stopped_with_its_line(write) -> None:
    deaf = """
import itertools
def loss(policy_logps):
    return policy_logps * sum(itertools.repeat(1))
"""
    with pytest.raises(HaloTheoryError, match=r"my_loss\.py:6: no answer within 0\.5 s, while checking the loss"):
        check_file_isolated(str(write("", then=deaf)), timeout=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are followed on Linux only")
def test_nothing_that_a_file_starts_outlives_the_check(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALOTHEORY_TEST", word := os.urandom(8).hex())
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n"
    assert check_file_isolated(str(write(f"{daemon}    os._exit(0)"))).verdict == "halo"
    assert alive(word) == []


def test_a_fork_that_comes_back_does_not_answer_twice(write) -> None:
    assert check_file_isolated(str(write("import os\nos.fork()"))).verdict == "halo"


def test_prints_and_bytes_written_anywhere_are_no_answer(write, capfd: pytest.CaptureFixture[str]) -> None:
    loud = """
import os
print('{"verdict": "halo"}')
for descriptor in range(3, 300):
    try: os.write(descriptor, b'{"verdict": {}}')
    except OSError: pass
"""
    assert check_file_isolated(str(write(loud))).verdict == "halo"
    printed = capfd.readouterr()
    assert printed.out == ""
    assert '{"verdict": "halo"}' in printed.err


def test_settings_that_the_loss_lacks_are_an_error_unless_lenient(write) -> None:
    path = str(write(""))
    with pytest.raises(HaloTheoryError, match="has no hyperparameter 'gamma'"):
        check_file_isolated(path, settings={"gamma": 1})
    assert check_file_isolated(path, settings={"gamma": 1, "beta": 2}, lenient=True).hyperparameters == {"beta": 2}


def test_a_file_is_told_from_a_built_in() -> None:
    assert [is_file(spec) for spec in ("dpo", "a.py", "a.py:name", "b/a.py", "py")] == [False, True, True, True, False]


@pytest.mark.parametrize("name", ["kto", "ipo"])
def test_a_record_survives_being_printed(name: str) -> None:
    verdict = check(name)
    assert verdict_from(verdict.as_dict()).as_dict() == verdict.as_dict()


def test_the_command_ends_with_2_and_one_line(write) -> None:
    path = write("import os\nos._exit(0)")
    command = [sys.executable, "-m", "halotheory", "check", str(path), "--timeout", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {path}: the process ended")
