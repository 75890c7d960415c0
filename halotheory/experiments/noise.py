"""How much each loss loses as more labels are wrong."""

from collections.abc import Mapping, Sequence

from halotheory.contract import Loss
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import contenders
from halotheory.experiments.data import Data, drawn_pairs, drawn_worlds
from halotheory.experiments.measures import GAIN, KL, WIN
from halotheory.experiments.result import Result
from halotheory.experiments.sweep import Axis, Design, check_within, sweep
from halotheory.experiments.trials import Started
from halotheory.worlds import ReferencePoint, bradley_terry, with_label_noise

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4)


def run(
    losses: Sequence[Loss | str] = ("kto", "dpo"),
    *,
    at: Sequence[float] = LEVELS,
    budget: Budget | None = None,
    settings: Mapping[str, float] | None = None,
    reference_point: ReferencePoint = "kl",
    started: Started = print,
) -> Result:
    """Return the gain in reward where a share of the labels is turned round.

    Args:
        losses: of the contract; unpaired ones get the same pairs as single outputs.
        at: shares of labels that are turned round, in [0, 1].
        budget: what each may spend.
        settings: hyperparameters.
        reference_point: what losses are told as `kl`.
        started: is told what comes next.

    Raises:
        HaloTheoryError: a loss, a share or a setting that cannot be used.
    """
    check_within("a share of labels", at, 0, 1)
    budget = budget or Budget()

    def data(flipped: float, tuning: bool) -> Data:
        world = drawn_worlds(budget, tuning=tuning)
        people = bradley_terry(world)
        return drawn_pairs(world, people, with_label_noise(people, flipped), budget, tuning=tuning)

    design = Design(
        experiment="noise",
        question="Which loss stands wrong labels best?",
        axis=Axis(where="at {} label noise", label="labels that are turned round, %", at=sorted(at), percent=True),
        data=data,
        measures=(GAIN, WIN, KL),
    )
    return sweep(design, contenders(losses, settings, reference_point=reference_point), budget, started)
