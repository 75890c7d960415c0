"""Training tabular softmax policies, by the exact gradient of a population or by minibatches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halotheory.contract import Loss, load_loss
from halotheory.errors import HaloTheoryError
from halotheory.worlds.batching import Settings, minibatch_loss, population_loss, settings_of
from halotheory.worlds.feedback import Feedback, Pairs
from halotheory.worlds.measures import best_probability, expected_reward, kl_from_reference
from halotheory.worlds.objective import Objective, check_fit
from halotheory.worlds.optimizers import Optimizer
from halotheory.worlds.reference_point import ReferencePoint
from halotheory.worlds.world import World, check_shape

_CELLS_AT_ONCE = 2**16  # examples of the worlds that are trained together: half a megabyte, which a core's cache holds
_CHECK_EVERY = 20  # steps between looks at the gradient's size


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
        largest_slopes: the largest |d loss / d logit| of the last step, (W,); of rest it is 0.
    """

    steps: Tensor
    logits: Tensor
    losses: Tensor
    expected_rewards: Tensor
    kls: Tensor
    best_probabilities: Tensor
    largest_slopes: Tensor

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
        tolerance: worlds rest, and training ends early, where no |d loss / d logit| exceeds this.

    Raises:
        HaloTheoryError: feedback of another kind, a bad setting, or a loss that has no value for a population.
    """
    loss = load_loss(loss) if isinstance(loss, str) else loss
    begin, marks, values = _checked(world, loss, feedback, steps, settings, reference_point, start, record)
    of_worlds = population_loss(loss)
    pieces = []
    for part in _parts(world, feedback):
        cells = feedback.chosen(part).cells()
        objective = Objective(
            world=world.chosen(part),
            loss=of_worlds,
            settings={name: tensor[part] for name, tensor in values.items()},
            reference_point=reference_point,
        )
        pieces.append(
            _run(
                begin[part],
                optimizer,
                marks,
                lambda logits, objective=objective, cells=cells: objective.value_and_gradient(logits, cells),
                tolerance,
            )
        )
    logits, losses, slopes = (
        torch.cat(each, dim=dim) for each, dim in zip(zip(*pieces, strict=True), (1, 1, 0), strict=True)
    )
    return _recorded(world, marks, logits, losses, slopes)


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

    return _recorded(world, marks, *_run(begin, optimizer, marks, step, 0.0))


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


def _recorded(world: World, marks: Sequence[int], logits: Tensor, losses: Tensor, slopes: Tensor) -> Run:
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


def _parts(world: World, feedback: Feedback) -> list[slice]:
    """Return slices of worlds; on a CPU as many at a time as its cache holds, for a world needs no other."""
    per_world = feedback.weights[0].numel()
    size = world.num_worlds if world.device.type != "cpu" else max(1, _CELLS_AT_ONCE // per_world)
    return [slice(begin, begin + size) for begin in range(0, world.num_worlds, size)]
