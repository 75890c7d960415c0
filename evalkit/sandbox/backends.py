"""Ways to isolate a program, as the command that starts one in it."""

import atexit
import compileall
import functools
import itertools
import os
import py_compile
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRATCH = "/tmp"  # noqa: S108 (a file system of its own, in the sandbox)
_INSIDE = Path(__file__).parent / "inside"
_PLACE = "/evalkit"  # where the launcher is in the sandbox
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store", "/etc/ld.so.cache")
_FIRST_USER = 2_000_000_000  # far from the users that systems give out
_OTHER_FIRST_USER = 60_000
_NUM_USERS = 4_000


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a process is started.

    Attributes:
        command: the words.
        isolate: what the launcher has to do itself; None where `command` does it.
        user: whom the program runs as; None for whoever the command made it.
    """

    command: tuple[str, ...]
    isolate: dict[str, Any] | None
    user: int | None


def bubblewrap(scratch_bytes: int) -> Start:
    """Return how bubblewrap starts a Python with a read-only installation and a scratch folder."""
    program = shutil.which("bwrap") or "bwrap"
    words = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:  # to become a user whose processes the kernel counts; root's it does not
        words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    words += ["--die-with-parent", "--hostname", "sandbox"]
    words += ["--perms", "1777", "--size", str(scratch_bytes), "--tmpfs", SCRATCH]
    parents = {str(folder) for _, place in _read_only() for folder in Path(place).parents[:-1]} | {"/dev"}
    for folder in sorted(parents - {SCRATCH}):
        words += ["--perms", "0755", "--dir", folder]  # or it takes on the mode that a folder like /root has
    for source, place in _read_only():
        words += ["--ro-bind", source, place]
    for device in _devices():
        words += ["--dev-bind", device, device]
    words += ["--remount-ro", "/", "--chdir", SCRATCH, *_python(_PLACE)]
    return Start(command=tuple(words), isolate=None, user=_unused_user())


def namespaces(scratch_bytes: int) -> Start:
    """Return how the launcher makes the same sandbox by itself, through the kernel's namespaces."""
    plan = {
        "read_only": [list(pair) for pair in _read_only()],
        "devices": list(_devices()),
        "scratch": SCRATCH,
        "scratch_bytes": scratch_bytes,
    }
    return Start(command=_python(_launcher()), isolate=plan, user=_unused_user())


def none(scratch_bytes: int) -> Start:
    """Return how a program starts without isolation: limits, an empty environment and a folder to be in."""
    return Start(command=_python(_launcher()), isolate=None, user=None)


BACKENDS = {"bubblewrap": bubblewrap, "namespaces": namespaces, "none": none}


def places() -> list[str]:
    """Return every path that is there in a sandbox, and the folders above; what lies below is not listed."""
    shown = {Path(place) for _, place in _read_only()} | {Path(device) for device in _devices()} | {Path(SCRATCH)}
    return sorted({str(path) for place in shown for path in (place, *place.parents)})


def _python(place: str) -> tuple[str, ...]:
    """Return the command of a bare Python that runs the launcher: no site-packages, no .pyc written."""
    code = f"import sys; sys.path.insert(0, {place!r}); from inside.launch import main; del sys.path[0]; main()"
    return (_executable(), "-P", "-s", "-S", "-B", "-X", "utf8", "-c", code)


def _executable() -> str:
    """Return the interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _read_only() -> Iterator[tuple[str, str]]:
    """Yield what of the file system a program may read, and where: Python, shared libraries, the launcher."""
    python = Path(_executable())
    prefix = Path(sys.base_prefix).resolve()
    shown: list[str] = []
    for path in (*_LIBRARIES, str(prefix / "lib"), str(prefix / "lib64"), sysconfig.get_paths()["stdlib"], str(python)):
        if os.path.exists(path) and not any(Path(path).is_relative_to(other) for other in shown):
            shown.append(path)
            yield path, path
    yield _launcher(), _PLACE


@functools.cache
def _launcher() -> str:
    """Return a folder that holds the launcher, compiled once, as every sandbox begins with it; gone at the exit."""
    folder = Path(tempfile.mkdtemp(prefix="evalkit-launcher-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for source in _INSIDE.glob("*.py"):
        copy = folder / "inside" / source.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o644)
    compileall.compile_dir(folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for place in (folder, folder / "inside", folder / "inside" / "__pycache__"):
        place.chmod(0o755)  # the program runs as another user
    return str(folder)


def _devices() -> Iterator[str]:
    return (device for device in _DEVICES if os.path.exists(device))


_users = itertools.count(os.getpid())


def _unused_user() -> int | None:
    """Return a user that no other sandbox of this process is, so that its processes are counted alone."""
    if os.geteuid() != 0:
        return None
    number = next(_users) % _NUM_USERS
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        first, _, count = map(int, line.split())
        if first <= _FIRST_USER and first + count >= _FIRST_USER + _NUM_USERS:
            return _FIRST_USER + number
    return _OTHER_FIRST_USER + number
