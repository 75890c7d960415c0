"""The table of built-in losses, each with the verdict that the checker comes to now."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import halotheory.losses
from halotheory.checking import check
from halotheory.contract import Kind, load_loss
from halotheory.errors import HaloTheoryError
from halotheory.findings import Verdict


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One built-in loss.

    Attributes:
        loss: its name.
        kind: which family of arguments it takes.
        verdict: what was decided, or None where it could not be checked.
        error: why it could not be checked, or None.
    """

    loss: str
    kind: Kind
    verdict: Verdict | None
    error: str | None

    def as_dict(self) -> dict[str, object]:
        """Return the object that `halotheory losses --json` prints: the verdict's, with the kind."""
        if self.verdict is None:
            return {"loss": self.loss, "kind": self.kind, "error": self.error}
        printed = self.verdict.as_dict()
        return {"loss": printed.pop("loss"), "kind": self.kind, **printed}


def catalogue(
    names: Sequence[str] | None = None, *, timeout: float = 60.0, started: Callable[[str], None] = lambda name: None
) -> list[Entry]:
    """Return the verdicts on the built-in losses, computed.

    Args:
        names: some of them; by default all.
        timeout: seconds for each.
        started: told the name of each loss as its turn comes.
    """
    entries = []
    for name in halotheory.losses.__all__ if names is None else names:
        started(name)
        loss = load_loss(name)
        try:
            verdict, error = check(loss, timeout=timeout), None
        except HaloTheoryError as refused:
            verdict, error = None, str(refused)
        except Exception as fault:  # one loss's fault does not take the table away
            verdict, error = None, f"the checker failed, which is a fault of its own: {type(fault).__name__}: {fault}"
        entries.append(Entry(loss=name, kind=loss.kind, verdict=verdict, error=error))
    return entries
