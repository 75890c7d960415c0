"""Tuning that is fair: every contender's learning rate and beta, on worlds set apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.experiments.budget import Budget
from halotheory.experiments.contenders import Contender
from halotheory.experiments.data import Data, joined_feedback, joined_worlds
from halotheory.experiments.measures import Measure
from halotheory.experiments.result import Choice
from halotheory.experiments.training import by_replication, trained
from halotheory.worlds import World

FIRST_STEPS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Learning rates that are tried, as the largest change of a logit in the first step, nats."""
BETAS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Values of beta that are tried with each of them."""
_FIRST_LOOK = 32  # worlds on which all are tried
_KEPT = 3  # the best of these are tried on all worlds for tuning
_FLAT = 0.01  # of what is maximised: a choice at an end that is no better than this counts as one inside
_FLOATS_AT_ONCE = 2**24  # of weights, or of minibatches, while all are tried
_NUDGE = 1e-12  # relative change of a learning rate
_SETTLED = 1e-2  # the most by which this may change what is maximised, on average over worlds


def tuned(
    contender: Contender,
    budget: Budget,
    conditions: Sequence[str],
    tuning: Sequence[Data],
    *,
    aim: Measure,
    first_steps: Sequence[float] = FIRST_STEPS,
) -> list[list[Choice]]:
    """Return the best learning rate, and beta where it is free, for each condition and replication.

    All are tried on some of the worlds for tuning. Among the best of them each replication chooses by its own worlds.
    Steps may be so large that descent is chaotic and rounding decides where it ends; such choices are taken only where
    there are no others.

    Args:
        contender: whose.
        budget: what one training may spend.
        conditions: their names.
        tuning: the data of each condition, of worlds set apart.
        aim: what the best is the highest of.
        first_steps: learning rates to try, as the largest change of a logit in the first step, nats.

    Raises:
        HaloTheoryError: it has no finite policy at any learning rate.
    """
    some = [each.first(_FIRST_LOOK) for each in tuning]
    slopes = first_slopes(contender, some, budget, betas_of(contender))
    choices = [
        Choice(
            condition="",
            contender=contender.name,
            replication=0,
            learning_rate=size / slope,
            first_step=size,
            beta=beta,
            settled=True,
            at_edge=_is_end(size, first_steps) or _is_end(beta, list(slopes)),
        )
        for beta, slope in slopes.items()
        for size in first_steps
    ]
    looks = first_look(contender, some, budget, choices, aim=aim)
    return [
        _best(contender, budget, data, look.among(choices, name), aim)
        for name, data, look in zip(conditions, tuning, looks, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What every choice reaches in one condition.

    Attributes:
        scores: means over the worlds, (choices,); minus infinity where one is not finite.
        settled: whether a minute change of the learning rate changes little, bool, (choices,).
    """

    scores: NDArray[np.float64]
    settled: NDArray[np.bool_]

    def among(self, choices: Sequence[Choice], condition: str) -> list[Choice]:
        """Return the best choices, best first: the settled ones, or all of them where none is settled.

        One at an end of what was tried counts as one inside where it is hardly better than those.
        """
        finite = np.isfinite(self.scores)
        eligible = np.flatnonzero(finite & self.settled) if (finite & self.settled).any() else np.flatnonzero(finite)
        order = eligible[np.argsort(-self.scores[eligible], kind="stable")]
        inside = max((self.scores[i] for i in order if not choices[i].at_edge), default=-np.inf)
        return [
            replace(
                choices[i],
                condition=condition,
                settled=bool(self.settled[i]),
                at_edge=choices[i].at_edge and bool(self.scores[i] > inside + _FLAT),
            )
            for i in order[:_KEPT]
        ]


def first_slopes(
    contender: Contender, some: Sequence[Data], budget: Budget, betas: Sequence[float | None]
) -> dict[float | None, float]:
    """Return the mean over worlds of the largest |d loss / d logit| at the start, for each beta.

    Raises:
        HaloTheoryError: there is none: the loss does not move at pi_ref, or has no finite value there.
    """
    world = joined_worlds([each.world for each in some])
    feedback = joined_feedback([contender.feedback(each) for each in some])
    slopes: dict[float | None, float] = {}
    for beta in betas:
        run = trained(contender, world, feedback, budget, 1.0, beta=beta, steps=0)
        if not bool(torch.isfinite(run.losses).all()):
            raise contender.loss.error("has a value that is not finite where the policy is the reference")
        slopes[beta] = float(run.largest_slopes.mean())
        if not (np.isfinite(slopes[beta]) and slopes[beta] > 0):
            raise contender.loss.error(
                f"has the gradient {slopes[beta]:g} where the policy is the reference; it cannot begin"
            )
    return slopes


def first_look(
    contender: Contender, some: Sequence[Data], budget: Budget, choices: Sequence[Choice], *, aim: Measure
) -> list[Look]:
    """Return what every choice reaches in each condition, and whether a minute change of it changes that."""
    nudged = [replace(each, learning_rate=each.learning_rate * (1 + _NUDGE)) for each in choices]
    found, others = (_tried(contender, some, budget, each, aim=aim) for each in (choices, nudged))
    looks: list[Look] = []
    for scores, alike in zip(found, others, strict=True):
        finite = np.isfinite(scores) & np.isfinite(alike)
        change = np.abs(np.where(finite, scores, 0) - np.where(finite, alike, 0)).mean(1)
        looks.append(Look(scores=scores.mean(1), settled=finite.all(1) & (change <= _SETTLED)))
    return looks


def _tried(
    contender: Contender, some: Sequence[Data], budget: Budget, choices: Sequence[Choice], *, aim: Measure
) -> list[NDArray[np.float64]]:
    """Return what every choice reaches in every world, (choices, worlds) for each condition.

    Copies of the worlds stand side by side, one for each choice, as many as memory should hold.
    """
    world = joined_worlds([each.world for each in some])
    feedback = joined_feedback([contender.feedback(each) for each in some])
    at_once = max(1, _FLOATS_AT_ONCE // max(feedback.weights.numel(), world.num_worlds * budget.batch_size))
    scores: list[list[NDArray[np.float64]]] = [[] for _ in some]
    for begin in range(0, len(choices), at_once):
        tried = choices[begin : begin + at_once]
        rates = _of_copies([each.learning_rate for each in tried], world)
        betas = [each.beta for each in tried if each.beta is not None]
        beta = _of_copies(betas, world) if betas else None
        copies = world.repeated(len(tried)), feedback.repeated(len(tried))
        run = trained(contender, *copies, budget, rates, beta=beta, allow_failure=True)
        for logits in run.final.split(world.num_worlds):
            parts = logits.split([each.world.num_worlds for each in some])
            for found, data, own in zip(scores, some, parts, strict=True):
                found.append(_scores(aim, data, own))
    return [np.stack(rows) for rows in scores]


def _of_copies(values: Sequence[float], world: World) -> Tensor:
    """Return one value for each copy of the worlds as one for each world, (copies * W,)."""
    return torch.tensor(values, dtype=world.dtype, device=world.device).repeat_interleave(world.num_worlds)


def _is_end(value: float | None, tried: Sequence[float | None]) -> bool:
    return len(tried) > 1 and value in {tried[0], tried[-1]}


def _best(contender: Contender, budget: Budget, tuning: Data, kept: Sequence[Choice], aim: Measure) -> list[Choice]:
    """Return which of the best choices of a first look is the best on each replication's worlds for tuning.

    Raises:
        HaloTheoryError: there is none.
    """
    if not kept:
        raise contender.loss.error("gave no finite policy at any learning rate that was tried")
    feedback = contender.feedback(tuning)
    found: list[NDArray[np.float64]] = []
    for each in kept:
        run = trained(contender, tuning.world, feedback, budget, each.learning_rate, beta=each.beta, allow_failure=True)
        found.append(by_replication(_scores(aim, tuning, run.final), budget))
    best = np.argmax(found, axis=0)
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
