"""What a sandboxed program may use, and how it ended."""

import math
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

MEBIBYTE = 2**20
FILES = 64


class Ending(StrEnum):
    """How a program ended; for a function under test, `PASSED` means that the test ran to its end."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    TOO_MUCH_OUTPUT = "too much output"
    ERROR = "error"  # of the sandbox or of the test: says nothing about the program


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: processor time of each of its processes, s, rounded up.
        wall_seconds: until all are killed, s; the longer this is, the less a busy machine changes the outcome.
        memory_bytes: address space of each process; all together have at most `processes` times as much.
        processes: processes and threads at a time.
        output_bytes: what standard output and standard error may carry, each.
        scratch_bytes: what its folder may hold, the largest file included.
    """

    seconds: float = 3.0
    wall_seconds: float = 15.0
    memory_bytes: int = 512 * MEBIBYTE
    processes: int = 8
    output_bytes: int = 4 * MEBIBYTE
    scratch_bytes: int = 16 * MEBIBYTE

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")

    def inside(self) -> dict[str, int]:
        """Return the limits that the kernel keeps for each process."""
        return {
            "cpu_seconds": math.ceil(self.seconds),
            "memory_bytes": self.memory_bytes,
            "processes": self.processes,
            "file_bytes": self.scratch_bytes,
            "files": FILES,
        }

    def but(self, **changes: Any) -> "Limits":
        """Return these limits with some changed."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a program ended.

    Attributes:
        ending: see `Ending`. For a whole program `PASSED` is exit status 0 and no more; only `check_function` shows
            that a test ran to its end.
        reason: one line; "" where the ending says it all.
        stdout: the end of its standard output.
        stderr: the end of its standard error.
        seconds: on the wall clock, with the start of the sandbox.
    """

    ending: Ending
    reason: str = ""
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it passed."""
        return self.ending is Ending.PASSED
