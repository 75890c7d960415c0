"""Whether a sandbox isolates: a program in it tries what must fail, and tells what it could do."""

import functools
import json
import os
import socket
import sys
import tempfile
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.sandbox.backends import BACKENDS, SCRATCH, places
from evalkit.sandbox.records import Ending, Limits
from evalkit.sandbox.sandbox import Sandbox

KINDS = ("auto", *BACKENDS)
_SYSTEM = ("/", "/etc", "/home", "/proc", "/root", "/sys", "/usr", "/var")
_LIMITS = Limits(seconds=5, wall_seconds=30, processes=8, scratch_bytes=2 * 2**20, memory_bytes=256 * 2**20)

_PROBE = """
import ctypes, json, os, socket, sys
def can(what):
    try:
        what()
    except (OSError, MemoryError):
        return False
    return True
def write(path):
    with open(path, "wb") as file:
        file.write(b"x")
def leave(path):
    write(path)
    os.remove(path)
def look(folder):
    if all(os.path.join(folder, name) in shown for name in os.listdir(folder)):
        raise OSError
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        client.connect(address)
def many_processes():
    children = []
    try:
        for _ in range(processes + 1):
            child = os.fork()
            if not child:
                os.close(wait[1])
                os.read(wait[0], 1)
                os._exit(0)
            children.append(child)
    finally:
        os.close(wait[1])
        for child in children:
            os.waitpid(child, 0)
def fill():
    files = [f"fill{number}" for number in range(3)]
    try:
        for file in files:
            with open(file, "wb") as opened:
                opened.write(bytes(scratch_bytes // 2))
    finally:
        for file in filter(os.path.exists, files):
            os.remove(file)
def root():
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0 or libc.unshare(0x10000000) == 0 or libc.chroot(b".") == 0:
        return
    raise OSError
wait = os.pipe()
tree = ["/", "/dev", "/evalkit", "/evalkit/inside", sys.prefix, os.path.dirname(os.__file__)]
print(json.dumps({
    "read a file outside": any([can(lambda p=p: open(p).close()) for p in outside]),
    "see the user's folders": any([can(lambda p=p: look(p)) for p in folders]),
    "write outside its folder": any([can(lambda p=p: leave(p + "/evalkit-probe")) for p in [*tree, *folders]]),
    "see other processes": os.path.exists("/proc/self") or os.getpid() > 9 or can(lambda: os.kill(parent, 0)),
    "reach the network": can(lambda: connect(socket.AF_INET, ("127.0.0.1", port))),
    "read the environment": "EVALKIT_PROBE" in os.environ or len(os.environ) > 8,
    "have a privileged user": can(root),
    "start more processes than allowed": can(many_processes),
    "take more memory than allowed": can(lambda: bytearray(memory_bytes)),
    "fill the disk": can(fill),
    "not use /dev/null": not can(lambda: write("/dev/null")),
    "not write in its own folder": not can(lambda: leave("mine")),
}))
"""


def find_sandbox(kind: str = "auto") -> Sandbox:
    """Return a sandbox that was tried and found to isolate, or the one that the user insists on.

    Args:
        kind: `auto` takes bubblewrap, else the kernel's namespaces; `bubblewrap`, `namespaces`; `none` is no isolation
            but limits and an empty environment, and is never chosen by `auto`.

    Raises:
        EvalkitError: an unknown kind, another system than Linux, or nothing here isolates: why, and what to install.
    """
    if kind not in KINDS:
        raise EvalkitError(f"--sandbox {kind}: unknown; use {', '.join(KINDS)}")
    if sys.platform != "linux":
        raise EvalkitError(
            f"code that a model writes is run on Linux only, not on {sys.platform}; use a virtual machine"
        )
    if kind == "none":
        return Sandbox(kind=kind)
    reasons = {}
    for name in [name for name in BACKENDS if name != "none"] if kind == "auto" else [kind]:
        reasons[name] = why_not(name)
        if not reasons[name]:
            return Sandbox(kind=name)
    found = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise EvalkitError(
        f"no sandbox works here ({found}); install bubblewrap (apt-get install bubblewrap) where user namespaces are "
        "allowed, run as a user or in a container that may make them, or accept the risk with --sandbox none"
    )


@functools.cache
def why_not(kind: str) -> str:
    """Return why programs cannot be isolated in this way here; "" if they can. Tried once per process."""
    with tempfile.TemporaryDirectory(prefix="evalkit-probe-") as folder, socket.socket() as server:
        secret = Path(folder) / "secret"
        secret.write_text("secret", encoding="utf-8")
        server.bind(("127.0.0.1", 0))
        server.listen()
        known = {
            "outside": [str(secret), "/etc/passwd", "/etc/hostname", f"/proc/{os.getpid()}/environ"],
            "folders": sorted({folder, str(Path.home()), os.getcwd(), *_SYSTEM} - {SCRATCH}),
            "shown": places(),
            "parent": os.getpid(),
            "port": server.getsockname()[1],
            "processes": _LIMITS.processes,
            "memory_bytes": _LIMITS.memory_bytes,
            "scratch_bytes": _LIMITS.scratch_bytes,
        }
        program = "".join(f"{name} = {value!r}\n" for name, value in known.items()) + _PROBE
        try:
            outcome = Sandbox(kind=kind).run(program, limits=_LIMITS)
        except OSError as error:
            return f"{error.filename or 'it'} cannot be started: {error.strerror}"
    if not outcome.passed:
        return f"{outcome.reason}{_last_line(outcome.stderr) if outcome.ending is not Ending.ERROR else ''}"
    could = [what for what, happened in json.loads(outcome.stdout).items() if happened]
    return f"a program in it can {', '.join(could)}" if could else ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return f": {lines[-1]}" if lines else ""
