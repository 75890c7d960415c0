"""What is found to isolate, and what is refused."""

import dataclasses
import os
import subprocess
import sys

import pytest

from evalkit.errors import EvalkitError
from evalkit.sandbox import Limits, Sandbox, backends, find_sandbox, probe


@pytest.fixture(autouse=True)
def fresh() -> None:
    probe.why_not.cache_clear()


def test_auto_takes_what_isolates_and_never_none() -> None:
    if all(probe.why_not(kind) for kind in ("bubblewrap", "namespaces")):
        with pytest.raises(EvalkitError, match="no sandbox works here"):
            find_sandbox()
        return
    found = find_sandbox()
    assert found.kind in {"bubblewrap", "namespaces"}
    assert find_sandbox(found.kind) == found


@pytest.mark.parametrize(
    ("left_out", "found"),
    [
        (["--unshare-pid"], "see other processes"),
        (["--size", str(probe._LIMITS.scratch_bytes)], "fill the disk"),
        (["--dev-bind", "/dev/null", "/dev/null"], "/dev/null"),
    ],
)
def test_isolation_that_is_not_whole_is_found(monkeypatch: pytest.MonkeyPatch, left_out: list[str], found: str) -> None:
    if reason := probe.why_not("bubblewrap"):
        pytest.skip(f"bubblewrap does not work here: {reason}")
    probe.why_not.cache_clear()
    whole = backends.bubblewrap

    def without(scratch_bytes: int) -> backends.Start:
        start = whole(scratch_bytes)
        words = list(start.command)
        place = next(n for n in range(len(words)) if words[n : n + len(left_out)] == left_out)
        del words[place : place + len(left_out)]
        return dataclasses.replace(start, command=tuple(words))

    monkeypatch.setitem(backends.BACKENDS, "bubblewrap", without)
    with pytest.raises(EvalkitError) as error:
        find_sandbox("bubblewrap")
    assert found in str(error.value)
    assert "--sandbox none" in str(error.value)


@pytest.mark.parametrize("kind", ["bubblewrap", "namespaces"])
def test_a_mount_too_much_is_found(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if reason := probe.why_not(kind):
        pytest.skip(f"{kind} does not work here: {reason}")
    probe.why_not.cache_clear()
    monkeypatch.setattr(backends, "_LIBRARIES", (*backends._LIBRARIES, "/etc/passwd"))
    with pytest.raises(EvalkitError, match="read a file outside"):
        find_sandbox(kind)


def test_without_bubblewrap_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EvalkitError, match=r"bubblewrap: bwrap cannot be started: No such file.*apt-get install"):
        find_sandbox("bubblewrap")


REFUSED = """
import ctypes, os
from evalkit.errors import EvalkitError
from evalkit.sandbox import find_sandbox
libc = ctypes.CDLL(None)
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: as in a container
os.execv({python!r}, [{python!r}, "-c", {program!r}])
"""
FIND = """
from evalkit.errors import EvalkitError
from evalkit.sandbox import find_sandbox
try:
    print(find_sandbox().kind)
except EvalkitError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to lose")
def test_root_without_capabilities_is_refused_with_reasons() -> None:
    program = REFUSED.format(python=sys.executable, program=FIND)
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "no sandbox works here (bubblewrap: " in said
    assert "namespaces: " in said


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(EvalkitError, match=r"--sandbox docker: unknown; use auto, bubblewrap, namespaces, none"):
        find_sandbox("docker")


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EvalkitError, match="on Linux only, not on darwin; use a virtual machine"):
        find_sandbox("none")


def test_none_still_limits_and_hides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_TEST_KEY", "hunter2")
    sandbox = find_sandbox("none")
    outcome = sandbox.run("import os\nprint(os.environ, os.getcwd())\nopen('mine', 'w').write('x')")
    assert outcome.passed
    assert "hunter2" not in outcome.stdout
    assert not os.path.exists(outcome.stdout.split()[-1])
    assert sandbox.run("bytearray(10**11)").ending == "out of memory"
    assert sandbox.run("while True: pass", limits=Limits(seconds=1)).ending == "timed out"
    assert not sandbox.run("import socket; socket.socket()").passed


@pytest.mark.parametrize("name", ["seconds", "wall_seconds", "memory_bytes", "processes", "output_bytes"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive, not 0"):
        Limits(**{name: 0})


def test_sandboxes_side_by_side_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    from concurrent.futures import ThreadPoolExecutor

    program = (
        "import os, time\nopen('mine', 'w').write('{0}')\ntime.sleep(0.2)\nprint(open('mine').read(), os.listdir())"
    )
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda number: sandbox.run(program.format(number)), range(8)))
    assert [outcome.stdout for outcome in outcomes] == [f"{number} ['mine']\n" for number in range(8)]
