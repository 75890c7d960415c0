"""One training of a contender, and what is read off it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender
from halotheory.worlds import Feedback, GradientDescent, Run, World, train, train_by_sampling
from halotheory.worlds.batching import population_loss


def trained(
    contender: Contender,
    world: World,
    feedback: Feedback,
    budget: Budget,
    learning_rate: "Tensor | float",
    *,
    beta: "Tensor | float | None",
    steps: int | None = None,
    record: Sequence[int] = (),
    allow_failure: bool = False,
) -> Run:
    """Return trained policies; learning rate and beta are numbers, or one for each world, (W,).

    Raises:
        HaloTheoryError: the policies are not finite, unless that is allowed.
    """
    settings: dict[str, Tensor | float] = {**contender.adapted(feedback), **({} if beta is None else {"beta": beta})}
    optimizer = GradientDescent(learning_rate=learning_rate)
    count = budget.steps if steps is None else steps
    if budget.batch_size:
        run = train_by_sampling(
            world,
            contender.loss,
            feedback,
            steps=count,
            optimizer=optimizer,
            batch_size=budget.batch_size,
            seed=budget.seed,
            settings=settings,
            reference_point=contender.reference_point,
            record=record,
        )
    else:
        _check_population(contender.loss)
        run = train(
            world,
            contender.loss,
            feedback,
            steps=count,
            optimizer=optimizer,
            settings=settings,
            reference_point=contender.reference_point,
            record=record,
        )
    if not (allow_failure or bool(torch.isfinite(run.final).all())):
        raise contender.loss.error(
            f"gave policies that are not finite at learning rate {learning_rate:g}; tune it on more --tuning-seeds"
        )
    return run


def _check_population(loss: Loss) -> None:
    """Raise where a loss has no value for a whole data set of weighted examples.

    Raises:
        HaloTheoryError: it mixes the examples of a batch by something else than means and sums.
    """
    try:
        population_loss(loss)
    except HaloTheoryError as error:
        if "train_by_sampling" not in str(error):
            raise
        text = "mixes the examples of a batch by something else than means and sums; use --batch-size"
        raise loss.error(text) from error


def numbers(contender: Contender, values: Tensor) -> NDArray[np.float64]:
    """Return a measure as an array.

    Raises:
        HaloTheoryError: a value that is not finite.
    """
    if not bool(torch.isfinite(values).all()):
        raise contender.loss.error("gave policies of which a measure is not finite")
    return values.detach().cpu().numpy().astype(np.float64)


def by_replication(values: NDArray[np.float64], budget: Budget) -> NDArray[np.float64]:
    """Return the means of values, one for each world, over the worlds of each replication."""
    return np.array([part.mean() for part in np.array_split(values, budget.replications)])
