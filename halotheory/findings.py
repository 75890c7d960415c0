"""What the checker may conclude: statuses, findings on single conditions, and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Literal


class Status(Enum):
    """What a method may conclude. Failing to prove is not refuting."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNDECIDED = "undecided"

    def __bool__(self) -> bool:
        raise TypeError("a Status has three values; compare it with `is`")


Witness = Mapping[str, str]
"""Named exact numbers, as SymPy-readable strings, that a reader can put into the loss."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One condition of the definition and what was found of it.

    Attributes:
        name: `log_ratio_only`, `reference_point`, `single_value_function`, `non_decreasing`, `concave_in_gains`
            or `non_constant`.
        status: proved, refuted or undecided.
        method: how, in a few words; for undecided, what was tried.
        statement: what was proved or refuted, or is open.
        witness: the counterexample; there is one exactly where the status is refuted.
        guilty: the smallest part of the loss that breaks the condition, where it was found.
        remedy: what would mend it.
    """

    name: str
    status: Status
    method: str
    statement: str
    witness: Witness | None = None
    guilty: str | None = None
    remedy: str | None = None

    def __post_init__(self) -> None:
        if (self.status is Status.REFUTED) != (self.witness is not None):
            raise ValueError(f"{self.name}: a witness belongs to a refutation, and a refutation needs one")


def undecided(name: str, statement: str, tried: str) -> Finding:
    """Return the finding that a condition stays open, with what was tried."""
    return Finding(name=name, status=Status.UNDECIDED, method=f"tried: {tried}", statement=f"open: {statement}")


@dataclass(frozen=True, kw_only=True)
class Construction:
    """The parts of a HALO, as SymPy-readable strings in z and the hyperparameters.

    Attributes:
        implied_reward: r(x, y) = l(y) * log-ratio.
        normalizer: l(y).
        value_function: v(z).
        reference_point: E_Q[r], with Q named.
        sign: a, and on what it depends.
        constant: C.
    """

    implied_reward: str
    normalizer: str
    value_function: str
    reference_point: str
    sign: str
    constant: str


VerdictWord = Literal["halo", "not_halo", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `halotheory check` says of a loss with the hyperparameters as set.

    Attributes:
        loss: the loss's name.
        verdict: `halo`, `not_halo` or `undecided`.
        strict: whether it is a HALO without any relaxation.
        relaxations: the named relaxations that the verdict needs.
        hyperparameters: the values as set.
        holds_for: for which hyperparameters the verdict holds.
        construction: the parts, or None where there is no HALO.
        conditions: the findings, in the order of the definition.
        notes: what a reader should know beside them.
        seconds: wall time of the check.
    """

    loss: str
    verdict: VerdictWord
    strict: bool
    relaxations: Sequence[str]
    hyperparameters: Mapping[str, float]
    holds_for: str
    construction: Construction | None
    conditions: Sequence[Finding]
    notes: Sequence[str] = field(default_factory=tuple)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """Return the object that `--json` prints."""
        conditions = [{**asdict(finding), "status": finding.status.value} for finding in self.conditions]
        return {
            **asdict(self),
            "relaxations": list(self.relaxations),
            "hyperparameters": dict(self.hyperparameters),
            "conditions": conditions,
            "notes": list(self.notes),
        }
