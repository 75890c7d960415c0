"""Limits and loss of privileges of the process that is about to run unknown code."""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Mapping

from . import seccomp

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def confine(limits: Mapping[str, int], user: int | None) -> None:
    """Set the resource limits, become `user` for good, give up capabilities, and filter system calls.

    Args:
        limits: `cpu_seconds` (s), `memory_bytes`, `processes`, `file_bytes`, `files`.
        user: the number of a user and group that nothing on this machine belongs to; None to stay who we are.

    Raises:
        OSError: the system refuses one of these.
    """
    for name, soft, hard in (
        ("RLIMIT_CPU", limits["cpu_seconds"], limits["cpu_seconds"] + 1),  # SIGXCPU may be caught, the kill not
        ("RLIMIT_AS", limits["memory_bytes"], limits["memory_bytes"]),
        ("RLIMIT_FSIZE", limits["file_bytes"], limits["file_bytes"]),
        ("RLIMIT_NOFILE", limits["files"], limits["files"]),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_MEMLOCK", 0, 0),
        ("RLIMIT_MSGQUEUE", 0, 0),
        ("RLIMIT_NPROC", limits["processes"], limits["processes"]),
    ):
        _limit(getattr(resource, name), soft, hard)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _drop_capabilities()
    seccomp.forbid_privileges()
    seccomp.install()


def _limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit, or keep the one that the process has where that is lower."""
    _, before = resource.getrlimit(kind)
    if before != resource.RLIM_INFINITY:
        soft, hard = min(soft, before), min(hard, before)
    resource.setrlimit(kind, (soft, hard))


def _drop_capabilities() -> None:
    """Empty the effective, permitted and inheritable sets, which a process in its own user namespace has full."""
    header = struct.pack("=Ii", 0x20080522, 0)  # version 3, this process
    none = struct.pack("=6I", *([0] * 6))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.create_string_buffer(header, len(header)), ctypes.create_string_buffer(none, len(none))):
        raise OSError(ctypes.get_errno(), "capset is refused")
