"""Training tabular softmax policies, by the exact gradient of a population or by minibatches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from halotheory.contract import Loss, load_loss
from halotheory.errors import HaloTheoryError
from halotheory.worlds.batching import Settings, minibatch_loss, population_loss, settings_of
from halotheory.worlds.feedback import Feedback, Pairs
from halotheory.worlds.measures import best_probability, expected_reward, kl_from_reference
from halotheory.worlds.objective import Objective, Population, check_fit, one_thread
from halotheory.worlds.optimizers import GradientDescent, Optimizer
from halotheory.worlds.reference_point import ReferencePoint
from halotheory.worlds.world import World, check_shape

Engine = Literal["auto", "eager", "native"]

_CHECK_EVERY = 20  # steps between looks at the gradient's size
_NATIVE_STEPS = 200  # alike, for native code
_LONG = 5.0  # seconds of eager training that are worth the compiler's one or two
_SECONDS_PER_PART, _SECONDS_PER_CELL = 5e-4, 2e-8  # of an eager step, roughly


@dataclass(frozen=True, kw_only=True)
class Run:
    """The course of W policies.

    Attributes:
        steps: after how many steps each row was recorded, (R,).
        logits: of the policies, nats, (R, W, X, Y).
        losses: (R, W): of the population; when sampling, of the minibatch that the next step would take.
        expected_rewards: of the mean rewards, reward units, (R, W).
        kls: E_x[KL(pi || pi_ref)], nats, (R, W).
        best_probabilities: of the outputs of the highest mean reward, (R, W).
        largest_slopes: the largest |d loss / d logit| at the end, (W,); at rest it is 0.
        engine: "eager" or "native": what took the steps.
    """

    steps: Tensor
    logits: Tensor
    losses: Tensor
    expected_rewards: Tensor
    kls: Tensor
    best_probabilities: Tensor
    largest_slopes: Tensor
    engine: str

    @property
    def final(self) -> Tensor:
        """The logits of the trained policies, nats, (W, X, Y)."""
        return self.logits[-1]

    @property
    def policies(self) -> Tensor:
        """Return pi(y|x) of the trained policies, (W, X, Y)."""
        return torch.softmax(self.final, dim=-1)


def train(
    world: World,
    loss: "Loss | str",
    feedback: Feedback,
    *,
    steps: int,
    optimizer: Optimizer,
    settings: Mapping[str, "Tensor | float"] | None = None,
    reference_point: ReferencePoint = "kl",
    start: Tensor | None = None,
    record: Sequence[int] = (),
    tolerance: float = 0.0,
    engine: Engine = "auto",
) -> Run:
    """Return policies trained by the exact gradient of the loss over all the feedback, each world by itself.

    Args:
        world: the worlds.
        loss: of the contract; a name or a file as `load_loss` reads it.
        feedback: `Pairs` for a paired loss, `Thumbs` for the others.
        steps: of the optimiser.
        optimizer: `GradientDescent(learning_rate=1.0)`, `Adam(...)`, `RMSprop(...)`.
        settings: hyperparameters: a number, or one for each world, (W,).
        reference_point: what the loss is told as `kl`.
        start: logits to begin from, nats, (W, X, Y); those of pi_ref by default.
        record: after how many steps to record; the start and the end always are.
        tolerance: worlds rest, and training may end early, where no |d loss / d logit| exceeds this.
        engine: "eager" calls the loss in each step; "native" compiles its derivative once, for gradient descent with
            a loss whose examples do not see each other, on a CPU in float64; "auto" takes the native one where it can
            and the training is long. The two differ by rounding only.

    Raises:
        HaloTheoryError: feedback of another kind, a bad setting, or a loss that has no value for a population; with
            "native", what native code cannot do.
    """
    loss = load_loss(loss) if isinstance(loss, str) else loss
    begin, marks, values = _checked(world, loss, feedback, steps, settings, reference_point, start, record)
    objective = Objective(world=world, loss=population_loss(loss), settings=values, reference_point=reference_point)
    population = Population.of(objective, feedback)
    descent = _native(population, optimizer, begin, marks[-1], engine)
    if descent is not None:
        return _recorded(world, marks, *_descended(population, descent, begin, marks, tolerance), "native")

    pieces: list[tuple[Tensor, Tensor, Tensor]] = []
    with one_thread():
        for part in population.parts:
            own = optimizer.chosen(part.worlds)
            pieces.append(_run(begin[part.worlds], own, marks, part.value_and_gradient, tolerance))
    rows, losses, slopes = zip(*pieces, strict=True)
    return _recorded(world, marks, torch.cat(rows, dim=1), torch.cat(losses, dim=1), torch.cat(slopes), "eager")


def train_by_sampling(
    world: World,
    loss: "Loss | str",
    feedback: Feedback,
    *,
    steps: int,
    optimizer: Optimizer,
    batch_size: int,
    seed: int = 0,
    settings: Mapping[str, "Tensor | float"] | None = None,
    reference_point: ReferencePoint = "mismatched",
    start: Tensor | None = None,
    record: Sequence[int] = (),
) -> Run:
    """Return policies trained on minibatches, drawn anew for each world and step, as a trainer would.

    Args:
        world: the worlds; copies of one world (`world.repeated(seeds)`) see different minibatches.
        loss: of the contract; a name or a file as `load_loss` reads it.
        feedback: `Pairs` for a paired loss, `Thumbs` for the others; a finite data set is `feedback.data_set(...)`.
        steps: of the optimiser.
        optimizer: `GradientDescent(learning_rate=1.0)`, `Adam(...)`, `RMSprop(...)`.
        batch_size: examples per step.
        seed: of the minibatches.
        settings: hyperparameters: a number, or one for each world, (W,).
        reference_point: what the loss is told as `kl`; by default the trainer's estimate from the minibatch.
        start: logits to begin from, nats, (W, X, Y); those of pi_ref by default.
        record: after how many steps to record; the start and the end always are.

    Raises:
        HaloTheoryError: feedback of another kind, or a bad setting.
    """
    loss = load_loss(loss) if isinstance(loss, str) else loss
    begin, marks, values = _checked(world, loss, feedback, steps, settings, reference_point, start, record)
    objective = Objective(world=world, loss=minibatch_loss(loss), settings=values, reference_point=reference_point)
    generator = torch.Generator(world.device).manual_seed(seed)

    def step(logits: Tensor) -> tuple[Tensor, Tensor]:
        return objective.value_and_gradient(logits, feedback.sampled(batch_size, generator=generator))

    return _recorded(world, marks, *_run(begin, optimizer, marks, step, 0.0), "eager")


def _run(
    logits: Tensor,
    optimizer: Optimizer,
    marks: Sequence[int],
    slope: Callable[[Tensor], tuple[Tensor, Tensor]],
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits and losses at the marks, and the last gradient's size."""
    state = optimizer.start(logits)
    value, gradient = slope(logits)
    rows, values = [logits], [value]
    for number in range(1, marks[-1] + 1):
        if tolerance and number % _CHECK_EVERY == 0 and bool((gradient.abs() <= tolerance).all()):
            break
        logits, state = optimizer.step(logits, gradient, state)
        value, gradient = slope(logits)
        if number == marks[len(rows)]:
            rows.append(logits)
            values.append(value)
    at_rest = len(marks) - len(rows)
    rows, values = rows + [logits] * at_rest, values + [value] * at_rest
    return torch.stack(rows), torch.stack(values), gradient.abs().flatten(1).amax(1)


def _native(
    population: Population, optimizer: Optimizer, begin: Tensor, steps: int, engine: Engine
) -> Callable[[Tensor, int], Tensor] | None:
    """Return native gradient descent where it is wanted and possible: (logits, steps) -> logits.

    Its first step is held to the eager one.
    """
    cells = population.feedback.weights.numel()
    seconds = steps * (_SECONDS_PER_PART * len(population.parts) + _SECONDS_PER_CELL * cells)
    if engine == "eager" or (engine == "auto" and seconds < _LONG):
        return None
    try:
        if not isinstance(optimizer, GradientDescent):
            raise HaloTheoryError("native code knows gradient descent and no other optimiser; use engine='eager'")
        rate = torch.as_tensor(optimizer.learning_rate, dtype=begin.dtype).expand(len(begin))
        from halotheory.worlds.native import native_descent  # its imports take a second

        native = native_descent(population.objective, population.feedback)
        some = population.parts[0]
        wanted, _ = optimizer.chosen(some.worlds).step(
            begin[some.worlds], some.value_and_gradient(begin[some.worlds])[1], {}
        )
        if not torch.allclose(native.run(begin, rate, 1)[some.worlds], wanted, rtol=1e-9, atol=1e-9):
            raise population.objective.loss.loss.error("steps otherwise in native code; use engine='eager'")
    except HaloTheoryError:
        if engine == "native":
            raise
        return None
    return lambda logits, count: native.run(logits, rate, count)


def _descended(
    population: Population,
    descent: Callable[[Tensor, int], Tensor],
    logits: Tensor,
    marks: Sequence[int],
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits and losses at the marks, and the last gradient's size."""
    losses, slopes = population.losses_and_slopes(logits)
    rows, values = [logits], [losses]
    for mark, following in pairwise(marks):
        for begin in range(mark, following, _NATIVE_STEPS if tolerance else following - mark):
            if tolerance and bool((population.losses_and_slopes(logits)[1] <= tolerance).all()):
                break
            logits = descent(logits, min(_NATIVE_STEPS if tolerance else following - mark, following - begin))
        losses, slopes = population.losses_and_slopes(logits)
        rows.append(logits)
        values.append(losses)
    return torch.stack(rows), torch.stack(values), slopes


def _recorded(world: World, marks: Sequence[int], logits: Tensor, losses: Tensor, slopes: Tensor, engine: str) -> Run:
    measured = [
        torch.stack([measure(world, each) for each in logits])
        for measure in (expected_reward, kl_from_reference, best_probability)
    ]
    return Run(
        steps=torch.tensor(marks),
        logits=logits,
        losses=losses,
        expected_rewards=measured[0],
        kls=measured[1],
        best_probabilities=measured[2],
        largest_slopes=slopes,
        engine=engine,
    )


def _checked(
    world: World,
    loss: Loss,
    feedback: Feedback,
    steps: int,
    settings: Mapping[str, "Tensor | float"] | None,
    reference_point: ReferencePoint,
    start: Tensor | None,
    record: Sequence[int],
) -> tuple[Tensor, list[int], Settings]:
    """Return the logits to begin from, the steps to record at, and the hyperparameters of each world."""
    check_fit(loss, isinstance(feedback, Pairs), reference_point)
    if steps < 0 or any(not 0 <= mark <= steps for mark in record):
        raise HaloTheoryError(f"steps={steps}, record={list(record)}; give numbers of steps from 0 to steps")
    shape = tuple(world.reference_logits.shape)
    last = 2 if not isinstance(feedback, Pairs) else shape[2]
    check_shape("feedback.weights", feedback.weights, (*shape, last))
    if feedback.weights.dtype != world.dtype or feedback.weights.device != world.device:
        raise HaloTheoryError(f"feedback is {feedback.weights.dtype} on {feedback.weights.device}; the world is not")
    begin = world.reference_logits if start is None else start
    check_shape("start", begin, shape)
    return begin, sorted({0, *record, steps}), settings_of(loss, settings, begin)
