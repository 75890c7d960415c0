"""An experiment: what it does by default, and the one way to run it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender, contenders
from halotheory.experiments.result import Result
from halotheory.worlds import ReferencePoint

Started = Callable[[str], None]
"""Is told what comes next."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an experiment is to do; all that was not asked for is its default.

    Attributes:
        losses: of the contract, or what `load_loss` reads.
        at: values of what is varied; none where nothing is.
        budget: what each contender may spend.
        settings: hyperparameters, for every loss that has them.
        reference_point: what losses are told as `kl`; None leaves it to the experiment.
        started: is told what comes next.
    """

    losses: Sequence[Loss | str]
    at: Sequence[float]
    budget: Budget
    settings: Mapping[str, float]
    reference_point: ReferencePoint | None
    started: Started

    def contenders(self) -> list[Contender]:
        """Return one contender for each loss.

        Raises:
            HaloTheoryError: no loss, one that cannot be loaded, or a setting that none of them has.
        """
        point = "kl" if self.reference_point is None else self.reference_point
        return contenders(self.losses, self.settings, reference_point=point)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment as Python and the command line know it.

    Attributes:
        name: on the command line.
        varies: what `at` gives values of, with unit and range; empty where nothing is varied.
        losses: that take part by default.
        at: values that are tried by default.
        result: does it.
        budget: that it has by default.
    """

    name: str
    varies: str
    losses: Sequence[Loss | str]
    at: Sequence[float]
    result: Callable[[Asked], Result]
    budget: Budget = field(default_factory=Budget)

    def run(
        self,
        losses: Sequence[Loss | str] | None = None,
        *,
        at: Sequence[float] | None = None,
        budget: Budget | None = None,
        settings: Mapping[str, float] | None = None,
        reference_point: ReferencePoint | None = None,
        started: Started = print,
    ) -> Result:
        """Return what the experiment finds; what is left out is its default.

        Args:
            losses: of the contract: built-ins by name, files, or `Loss`es. An unpaired one gets the same pairs as
                single outputs. The first is compared with each other one; one alone, with itself at the first value.
            at: values of what is varied (see `varies`).
            budget: what each loss may spend.
            settings: hyperparameters, for every loss that has them; they are then not tuned.
            reference_point: what losses are told as `kl`: "kl", "shared_kl", "mismatched", "moving_kl", or a number,
                nats.
            started: is told what comes next; prints it by default.

        Raises:
            HaloTheoryError: a loss, a value or a setting that cannot be used, or more than fits into memory.
        """
        if at is not None and not self.varies:
            raise HaloTheoryError(f"--at: '{self.name}' varies nothing that has values; leave it out")
        began = time.perf_counter()
        asked = Asked(
            losses=self.losses if losses is None else losses,
            at=self.at if at is None else sorted(at),
            budget=budget or self.budget,
            settings=settings or {},
            reference_point=reference_point,
            started=started,
        )
        return replace(self.result(asked), seconds=time.perf_counter() - began)
