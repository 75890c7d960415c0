"""Who takes part in an experiment: losses of the contract, each with what it is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from halotheory.contract import Loss, load_loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.data import Data
from halotheory.worlds import Feedback, ReferencePoint
from halotheory.worlds.reference_point import check_reference_point

Adapted = Callable[[Feedback], Mapping[str, Tensor]]
"""Hyperparameters, one for each world, from the data that is trained on."""


def _nothing(feedback: Feedback) -> Mapping[str, Tensor]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A loss in an experiment.

    Attributes:
        name: in tables and figures.
        loss: with hyperparameters as set.
        fixed: hyperparameters that were set by hand and are not tuned.
        reference_point: what it is told as `kl`.
        selected: what it gets of the data; by default all, as pairs or as single outputs.
        adapted: hyperparameters that depend on the data.
    """

    name: str
    loss: Loss
    fixed: frozenset[str] = frozenset()
    reference_point: ReferencePoint = "kl"
    selected: Callable[[Data], Feedback] | None = None
    adapted: Adapted = field(default=_nothing)

    def feedback(self, data: Data) -> Feedback:
        """Return the data in the form that the loss takes.

        Raises:
            HaloTheoryError: a paired loss where there are no pairs.
        """
        if self.selected is not None:
            return self.selected(data)
        if self.loss.kind != "paired":
            return data.thumbs
        if data.pairs is None:
            raise HaloTheoryError(f"{self.name}: takes pairs; here people judge single outputs: leave it out")
        return data.pairs


def contenders(
    losses: Sequence[Loss | str],
    settings: Mapping[str, float] | None = None,
    *,
    reference_point: ReferencePoint = "kl",
) -> list[Contender]:
    """Return one contender for each loss.

    Args:
        losses: of the contract; names or files as `load_loss` reads them.
        settings: hyperparameters, for every loss that has them; they are then not tuned.
        reference_point: what they are told as `kl`.

    Raises:
        HaloTheoryError: no loss, one twice, one that cannot be loaded, a setting that none of them has, or an unknown
            reference point.
    """
    check_reference_point(reference_point)
    wanted = dict(settings or {})
    loaded = [load_loss(each) if isinstance(each, str) else each for each in losses]
    if not loaded:
        raise HaloTheoryError("no loss; name one or more")
    unused = [name for name in wanted if not any(name in loss.hyperparameters for loss in loaded)]
    if unused:
        raise HaloTheoryError(f"--set {unused[0]}: none of these losses has such a hyperparameter")
    found = []
    for loss in loaded:
        own = {name: value for name, value in wanted.items() if name in loss.hyperparameters}
        found.append(
            Contender(
                name=loss.name,
                loss=loss.with_settings(own),
                fixed=frozenset(own),
                reference_point=reference_point,
            )
        )
    distinct(found)
    return found


def distinct(found: Sequence[Contender]) -> None:
    """Raise where two contenders have one name.

    Raises:
        HaloTheoryError: with the name.
    """
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise HaloTheoryError(f"{twice}: named twice; name each loss once")
