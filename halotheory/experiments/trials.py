"""Training contenders fairly: each one's learning rate and beta are tuned for each condition, on worlds set apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import Data, joined_feedback, joined_worlds
from halotheory.experiments.measures import Measure
from halotheory.experiments.result import Choice, Key
from halotheory.worlds import Feedback, GradientDescent, Run, World, train, train_by_sampling
from halotheory.worlds.batching import population_loss

FIRST_STEPS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Learning rates that are tried, as the largest change of a logit in the first step, nats."""
BETAS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Values of beta that are tried with each of them."""
_FIRST_LOOK = 16  # worlds on which all are tried
_KEPT = 3  # the best of these are tried on all worlds for tuning

Started = Callable[[str], None]
"""Is told what comes next."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One of the conditions of an experiment.

    Attributes:
        name: in tables.
        data: from whether it is for tuning to worlds and data.
    """

    name: str
    data: Callable[[bool], Data]


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What came of all contenders in all conditions.

    Attributes:
        values: of each measure, one for each replication.
        choices: tuned hyperparameters.
    """

    values: Mapping[Key, NDArray[np.float64]]
    choices: Sequence[Choice]


def trials(
    budget: Budget,
    conditions: Sequence[Condition],
    entered: Sequence[Contender],
    measures: Sequence[Measure],
    *,
    aim: Measure,
    started: Started,
    first_steps: Sequence[float] = FIRST_STEPS,
) -> Trials:
    """Return every contender's measures in every condition.

    Args:
        budget: what each may spend.
        conditions: worlds and data.
        entered: the contenders.
        measures: of the trained policies.
        aim: what tuning maximises.
        started: is told what comes next, once for each contender and twice for each condition of it.
        first_steps: learning rates to try, as the largest change of a logit in the first step, nats.

    Raises:
        HaloTheoryError: a contender that cannot be trained.
    """
    values: dict[Key, NDArray[np.float64]] = {}
    choices: list[Choice] = []
    tuning = [condition.data(True) for condition in conditions]
    data = [condition.data(False) for condition in conditions]
    for contender in entered:
        started(f"{contender.name}: tuning")
        chosen = tuned(contender, budget, conditions, tuning, aim=aim, first_steps=first_steps)
        for condition, own, found in zip(conditions, data, chosen, strict=True):
            started(f"{contender.name}: {condition.name}")
            logits = replicated(contender, own, budget, found)[-1]
            for measure in measures:
                key = Key(condition=condition.name, contender=contender.name, measure=measure.name)
                values[key] = by_replication(numbers(contender, measure.of(own, logits)), budget)
            choices += found
    return Trials(values=values, choices=choices)


def replicated(
    contender: Contender, data: Data, budget: Budget, choices: Sequence[Choice], *, record: Sequence[int] = ()
) -> Tensor:
    """Return the logits over training, (R, W, X, Y), each replication trained with its own choice.

    Args:
        contender: whose.
        data: the worlds, of which each replication has a share.
        budget: for one training.
        choices: one for each replication.
        record: after how many steps to record, beside start and end.
    """
    groups = torch.arange(data.world.num_worlds).tensor_split(len(choices))
    feedback = contender.feedback(data)
    found: list[tuple[Tensor, Tensor]] = []
    for rate, beta in dict.fromkeys((each.learning_rate, each.beta) for each in choices):
        alike = [g for g, each in zip(groups, choices, strict=True) if (each.learning_rate, each.beta) == (rate, beta)]
        at = torch.cat(alike).to(data.world.device)
        world, part = data.world.chosen(at), feedback.chosen(at)
        found.append((at, trained(contender, world, part, budget, rate, beta=beta, record=record).logits))
    order = torch.cat([at for at, _ in found]).argsort()
    return torch.cat([logits for _, logits in found], dim=1)[:, order]


def by_replication(values: NDArray[np.float64], budget: Budget) -> NDArray[np.float64]:
    """Return the means of values, one for each world, over the worlds of each replication."""
    return np.array([part.mean() for part in np.array_split(values, budget.replications)])


def tuned(
    contender: Contender,
    budget: Budget,
    conditions: Sequence[Condition],
    tuning: Sequence[Data],
    *,
    aim: Measure,
    first_steps: Sequence[float] = FIRST_STEPS,
) -> list[list[Choice]]:
    """Return the best learning rate, and beta where it is free, for each condition and replication.

    All are tried on some of the worlds for tuning. Among the best of them each replication chooses by its own worlds.

    Args:
        contender: whose.
        budget: what one training may spend.
        conditions: for their names.
        tuning: the data of each condition, of worlds set apart.
        aim: what the best is the highest of.
        first_steps: see `trials`.

    Raises:
        HaloTheoryError: it has no finite policy at any learning rate.
    """
    some = [each.first(_FIRST_LOOK) for each in tuning]
    worlds = joined_worlds([each.world for each in some])
    feedback = joined_feedback([contender.feedback(each) for each in some])
    scored: list[list[tuple[float, Choice]]] = [[] for _ in tuning]
    for beta in betas_of(contender):
        slope = first_slope(contender, worlds, feedback, budget, beta)
        for size in first_steps:
            run = trained(contender, worlds, feedback, budget, size / slope, beta=beta, allow_failure=True)
            parts = run.final.split([each.world.num_worlds for each in some])
            for found, condition, each, logits in zip(scored, conditions, some, parts, strict=True):
                choice = Choice(
                    condition=condition.name,
                    contender=contender.name,
                    replication=0,
                    learning_rate=size / slope,
                    first_step=size,
                    beta=beta,
                    at_edge=len(first_steps) > 1 and size in {first_steps[0], first_steps[-1]},
                )
                found.append((float(_scores(aim, each, logits).mean()), choice))
    return [_best(contender, budget, each, found, aim) for each, found in zip(tuning, scored, strict=True)]


def _best(
    contender: Contender, budget: Budget, tuning: Data, scored: Sequence[tuple[float, Choice]], aim: Measure
) -> list[Choice]:
    """Return which of the best choices of a first look is the best on each replication's worlds for tuning."""
    finite = sorted((each for each in scored if each[0] > -np.inf), key=lambda each: -each[0])
    if not finite:
        raise contender.loss.error("gave no finite policy at any learning rate that was tried")
    kept = [choice for _, choice in finite[:_KEPT]]
    feedback = contender.feedback(tuning)
    scores: list[NDArray[np.float64]] = []
    for each in kept:
        run = trained(contender, tuning.world, feedback, budget, each.learning_rate, beta=each.beta, allow_failure=True)
        scores.append(by_replication(_scores(aim, tuning, run.final), budget))
    best = np.argmax(scores, axis=0)
    return [replace(kept[chosen], replication=number) for number, chosen in enumerate(best.tolist())]


def _scores(aim: Measure, data: Data, logits: Tensor) -> NDArray[np.float64]:
    """Return what is to be maximised, one value for each world; minus infinity where it is not finite."""
    scores = aim.of(data, logits).detach().cpu().numpy().astype(np.float64)
    return np.where(np.isfinite(scores), scores, -np.inf)


def betas_of(contender: Contender) -> Sequence[float | None]:
    """Return the values of beta to try: None alone where the loss has none, or it was set by hand."""
    if "beta" not in contender.loss.hyperparameters or "beta" in contender.fixed:
        return (None,)
    permitted = []
    for beta in BETAS:
        try:
            contender.loss.with_settings({"beta": beta})
        except HaloTheoryError:
            continue
        permitted.append(beta)
    return permitted or (None,)


def first_slope(contender: Contender, world: World, feedback: Feedback, budget: Budget, beta: float | None) -> float:
    """Return the mean over worlds of the largest |d loss / d logit| at the start.

    Raises:
        HaloTheoryError: there is none: the loss does not move at pi_ref.
    """
    run = trained(contender, world, feedback, budget, 1.0, beta=beta, steps=0)
    slope = float(run.largest_slopes.mean())
    if not (np.isfinite(slope) and slope > 0):
        raise contender.loss.error(f"has the gradient {slope:g} where the policy is the reference; it cannot begin")
    return slope


def trained(
    contender: Contender,
    world: World,
    feedback: Feedback,
    budget: Budget,
    learning_rate: float,
    *,
    beta: float | None,
    steps: int | None = None,
    record: Sequence[int] = (),
    allow_failure: bool = False,
) -> Run:
    """Return policies trained with one learning rate.

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
            engine="eager",
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
