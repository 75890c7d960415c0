"""A new root, process table and network for this process, where bubblewrap is not there to make them."""

import ctypes
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .confine import die_with_parent

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER = 0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000
_NEWPID, _NEWNET = 0x20000000, 0x40000000
_ALL = _NEWNS | _NEWCGROUP | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
_BIND, _RECURSIVE, _PRIVATE, _REMOUNT, _READ_ONLY, _NOSUID, _NODEV = 4096, 16384, 1 << 18, 32, 1, 2, 4
_MOUNT_SETATTR = 442  # the same number on every machine
_DETACH, _WORKING_FOLDER, _AT_RECURSIVE = 2, -100, 0x8000

_libc = ctypes.CDLL(None, use_errno=True)


def isolate(plan: Mapping[str, Any]) -> None:
    """Return in a grandchild that sees only what `plan` names; this process and the child only wait for it.

    Args:
        plan: `read_only` (pairs of a path and its place), `devices`, `scratch_bytes`, `scratch`.

    Raises:
        OSError: the system refuses a namespace or a mount.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0 and not _libc.unshare(_ALL):
        pass  # with root's capabilities no user namespace is needed; the program runs as another user
    else:
        _check(_libc.unshare(_ALL | _NEWUSER), "unshare: new namespaces")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"65534 {user} 1")
        _write("/proc/self/gid_map", f"65534 {group} 1")
    if child := os.fork():
        _end_as(child)
    die_with_parent()  # this is process 1 of the new table: when it ends, the kernel kills all the others
    _new_root(plan["read_only"], plan["devices"], plan["scratch"], plan["scratch_bytes"])
    if child := os.fork():
        _end_as(child)


def _new_root(read_only: Sequence[tuple[str, str]], devices: Sequence[str], scratch: str, scratch_bytes: int) -> None:
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    base = "/tmp"  # noqa: S108 (a place that exists; what is mounted there only we see)
    _mount("tmpfs", base, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m,nr_inodes=4096")
    os.mkdir(f"{base}/old", 0o755)
    _check(_libc.pivot_root(base.encode(), f"{base}/old".encode()), "pivot_root")
    os.chdir("/")
    os.makedirs(scratch, 0o755, exist_ok=True)  # before the others, of which some may lie in it
    _mount("tmpfs", scratch, "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={scratch_bytes},nr_inodes=16384")
    for source, place in read_only:
        _bind(f"/old{source}", place)
        _make_read_only(place)
    for device in devices:
        _bind(f"/old{device}", device)
    _check(_libc.umount2(b"/old", _DETACH), "umount of the old root")
    os.rmdir("/old")
    _mount("none", "/", None, _REMOUNT | _BIND | _READ_ONLY | _NOSUID | _NODEV)
    os.chdir(scratch)


def _bind(source: str, place: str) -> None:
    if os.path.isdir(source):
        os.makedirs(place, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(os.path.realpath(source), place, None, _BIND | _RECURSIVE)


def _make_read_only(place: str) -> None:
    """Make a mount and those below it read-only (Linux 5.12 and newer)."""
    attributes = struct.pack("=4Q", _READ_ONLY | _NOSUID | _NODEV, 0, 0, 0)  # the flags of mount_setattr are the same
    size = ctypes.c_size_t(len(attributes))
    folder, flags = ctypes.c_int(_WORKING_FOLDER), ctypes.c_uint(_AT_RECURSIVE)
    number = ctypes.c_long(_MOUNT_SETATTR)
    _check(_libc.syscall(number, folder, place.encode(), flags, attributes, size), f"read-only mount of {place}")


def _mount(source: str, place: str, kind: str | None, flags: int, options: str = "") -> None:
    kind_bytes = kind.encode() if kind else None
    failed = _libc.mount(source.encode(), place.encode(), kind_bytes, ctypes.c_ulong(flags), options.encode())
    _check(failed, f"mount of {place}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _check(failed: int, what: str) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, f"{what} is refused: {os.strerror(number)}")


def _end_as(child: int) -> NoReturn:
    """Wait for a child, reaping orphans on the way, and end as it ended (128 + the signal, as shells say it)."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()  # a reader of the program's output must see its end
    os.closerange(0, 4096)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
