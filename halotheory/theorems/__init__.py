"""The KTO paper's statements, each verified in a file of its own."""

import difflib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from halotheory.errors import HaloTheoryError

if TYPE_CHECKING:
    from halotheory.theorems.claims import Statement

NAMES: Mapping[str, tuple[str, ...]] = {
    "lemma1": ("lemma1",),
    "theorem1": ("theorem1",),
    "proposition2": ("proposition2",),
    "theorem3": ("theorem3",),
    "theorem4": ("theorem4_dpo", "theorem4_kto", "theorem4_kto_weights", "theorem4_kto_outputs"),
    "kl_estimate": ("kl_estimate",),
}
"""What may be verified, with the files that hold its parts."""


def verify(names: Iterable[str] = (), *, started: Callable[[str], None] = lambda name: None) -> "list[Statement]":
    """Return statements, verified now, in the order of the paper.

    Args:
        names: of statements, of `NAMES` or of their parts; all by default.
        started: is called with each part's name as its turn comes.

    Raises:
        HaloTheoryError: there is no such statement.
    """
    return [_timed(part, started) for part in parts_of(names)]


def parts_of(names: Iterable[str]) -> list[str]:
    """Return the parts of statements, each once, in the order of the paper; of all of them where none is named."""
    everything = [part for parts in NAMES.values() for part in parts]
    wanted: set[str] = set()
    for name in names:
        if name not in NAMES and name not in everything:
            raise _unknown(name, dict.fromkeys([*NAMES, *everything]))
        wanted.update(NAMES.get(name, (name,)))
    return [part for part in everything if part in wanted] if wanted else everything


def _unknown(name: str, known: Iterable[str]) -> HaloTheoryError:
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"; did you mean '{near[0]}'?" if near else ""
    return HaloTheoryError(f"unknown statement '{name}'{guess}; there are {', '.join(known)}")


def _timed(part: str, started: Callable[[str], None]) -> "Statement":
    started(part)
    began = time.perf_counter()
    statement: Statement = import_module(f"halotheory.theorems.{part}").verify()
    return replace(statement, seconds=time.perf_counter() - began)
