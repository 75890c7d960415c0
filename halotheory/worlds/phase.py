"""Theorem 4's phase diagram: which of two outputs a loss ends with, where a share of the people prefers the first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halotheory.contract import Loss, load_loss
from halotheory.worlds.annotators import contradicting
from halotheory.worlds.batching import population_loss, settings_of
from halotheory.worlds.cells import Cells
from halotheory.worlds.feedback import pairs, thumbs_of_pairs
from halotheory.worlds.objective import Objective, check_fit, one_thread
from halotheory.worlds.reference_point import ReferencePoint
from halotheory.worlds.world import two_output_worlds

_FAR = 40.0  # nats: log-odds at which a probability is 1 in float64
_SHORTEST, _STRIDES = 0.01, 80  # nats, and how many strides reach from there to the ends, each 11 % of the way gone
_GRID = 161  # log-odds from end to end, for the least loss: half a nat apart
_HALVINGS = 45
_CELLS_AT_ONCE = 4096
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, kw_only=True)
class PhaseDiagram:
    """Where a loss ends, over three axes.

    Attributes:
        loss: its name.
        shares: p, of the people who prefer the first output, (P,).
        betas: (B,).
        reference_probabilities: q, pi_ref of the first output, (Q,).
        probabilities: of the first output, (P, B, Q); 0 and 1 where the policy ends at a vertex of the simplex.
    """

    loss: str
    shares: Tensor
    betas: Tensor
    reference_probabilities: Tensor
    probabilities: Tensor

    @property
    def majority_wins(self) -> Tensor:
        """Return whether the output that most people prefer is the likelier one: bool, (P, B, Q)."""
        first = self.shares[:, None, None] > 0.5
        return torch.where(first, self.probabilities > 0.5, self.probabilities < 0.5)


def phase_of_dynamics(
    loss: "Loss | str",
    *,
    shares: Sequence[float] | Tensor,
    betas: Sequence[float] | Tensor,
    reference_probabilities: Sequence[float] | Tensor,
    reference_point: ReferencePoint = "kl",
    settings: Mapping[str, float] | None = None,
) -> PhaseDiagram:
    """Return where the gradient flow that starts at pi_ref comes to rest.

    A policy over two outputs has one parameter, its log-odds. So every descent by small enough steps, whatever its
    learning rate, goes down the loss to the same place: the first log-odds at which the slope has no longer the sign
    that it had at the start. The slope is looked at after 0.01 nats, then each 11 % further, up to 40 nats; its
    change of sign is halved to 1e-12 nats. Two changes of sign within one stride are not seen.

    Args:
        loss: of the contract, with a hyperparameter `beta`; a name or a file as `load_loss` reads it.
        shares: p, in [0, 1].
        betas: > 0.
        reference_probabilities: q, in (0, 1).
        reference_point: what the loss is told as `kl`: 0.0 for a constant; "kl" for KL(pi || pi_ref) held fixed within
            a step, as trained; "moving_kl" for KL as part of the objective.
        settings: other hyperparameters.

    Raises:
        HaloTheoryError: a loss without `beta`, or a value outside of its range.
    """
    axes = _axes(shares, betas, reference_probabilities)
    return _diagram(loss, axes, reference_point, settings, _end_of_flow)


def phase_of_minimum(
    loss: "Loss | str",
    *,
    shares: Sequence[float] | Tensor,
    betas: Sequence[float] | Tensor,
    reference_probabilities: Sequence[float] | Tensor,
    reference_point: ReferencePoint = "kl",
    settings: Mapping[str, float] | None = None,
) -> PhaseDiagram:
    """Return where the loss has its least value, with z0 as it is there.

    The least of 161 log-odds between -40 and 40 nats, then golden sections between its neighbours; 0 or 1 where an end
    is the least. Of equal values the one nearest to 0.

    Args:
        loss: of the contract, with a hyperparameter `beta`; a name or a file as `load_loss` reads it.
        shares: p, in [0, 1].
        betas: > 0.
        reference_probabilities: q, in (0, 1).
        reference_point: what the loss is told as `kl`; "kl" and "moving_kl" are the same here.
        settings: other hyperparameters.

    Raises:
        HaloTheoryError: a loss without `beta`, or a value outside of its range.
    """
    axes = _axes(shares, betas, reference_probabilities)
    return _diagram(loss, axes, reference_point, settings, _place_of_minimum)


Axes = tuple[Tensor, Tensor, Tensor]


def _axes(*given: Sequence[float] | Tensor) -> Axes:
    shares, betas, references = (torch.as_tensor(each, dtype=torch.float64) for each in given)
    return shares, betas, references


@dataclass(frozen=True, kw_only=True)
class _Worlds:
    """Some cells of the diagram: one world each, the feedback of its people, and the log-odds of pi_ref."""

    objective: Objective
    cells: Cells
    begin: Tensor


def _end_of_flow(worlds: _Worlds) -> Tensor:
    """Return the probability at which the gradient flow from pi_ref rests, (W,)."""

    def sign(odds: Tensor) -> Tensor:
        return _slope(worlds.objective, worlds.cells, odds).sign()

    at_start = sign(worlds.begin)
    near, far, is_inside = _first_change(sign, worlds.begin, at_start)
    if bool(is_inside.any()):
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            same = sign(middle) == at_start
            near, far = torch.where(same, middle, near), torch.where(same, far, middle)
    rest = torch.sigmoid(torch.where(is_inside, far, -torch.inf * at_start))
    return torch.where(at_start == 0, torch.sigmoid(worlds.begin), rest)


def _place_of_minimum(worlds: _Worlds) -> Tensor:
    """Return the probability at which the loss is least, (W,)."""

    def value(odds: Tensor) -> Tensor:
        return worlds.objective.value(_logits(odds), worlds.cells)

    grid = torch.linspace(-_FAR, _FAR, _GRID, dtype=worlds.begin.dtype)
    at, least = torch.zeros_like(worlds.begin), value(torch.zeros_like(worlds.begin))
    for point in grid[grid.abs().argsort(stable=True)][1:]:
        found = value(point.expand_as(at))
        at, least = torch.where(found < least, point, at), torch.minimum(found, least)
    stride = 2 * _FAR / (_GRID - 1)
    low, high = at - stride, at + stride
    for _ in range(_HALVINGS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        is_left = value(left) < value(right)
        low, high = torch.where(is_left, low, left), torch.where(is_left, right, high)
    inside = torch.sigmoid((low + high) / 2)
    return torch.where(at.abs() < _FAR, inside, (at > 0).to(at.dtype))


def _diagram(
    loss: "Loss | str",
    axes: Axes,
    reference_point: ReferencePoint,
    settings: Mapping[str, float] | None,
    probability: Callable[[_Worlds], Tensor],
) -> PhaseDiagram:
    """Return the diagram of a probability, computed for as many cells at a time as a core's cache holds."""
    loss = load_loss(loss) if isinstance(loss, str) else loss
    check_fit(loss, loss.kind == "paired", reference_point)
    of_worlds = population_loss(loss)
    found: list[Tensor] = []
    parts = (each.flatten().split(_CELLS_AT_ONCE) for each in torch.meshgrid(*axes, indexing="ij"))
    for shares, betas, references in zip(*parts, strict=True):
        world = two_output_worlds(references)
        data = pairs(world, contradicting(world, shares))
        values = settings_of(loss, {**(settings or {}), "beta": betas}, world.reference_logits)
        objective = Objective(world=world, loss=of_worlds, settings=values, reference_point=reference_point)
        cells = (data if loss.kind == "paired" else thumbs_of_pairs(data)).cells()
        with one_thread():
            found.append(probability(_Worlds(objective=objective, cells=cells, begin=torch.logit(references))))
    shape = [len(each) for each in axes]
    return PhaseDiagram(
        loss=loss.name,
        shares=axes[0],
        betas=axes[1],
        reference_probabilities=axes[2],
        probabilities=torch.cat(found).view(shape),
    )


def _slope(objective: Objective, cells: Cells, odds: Tensor) -> Tensor:
    """Return the derivative of the loss by the log-odds, (W,), its sign right where one probability is nearly 1."""
    logps = torch.log_softmax(_logits(odds), dim=-1)
    _, by_logps, by_kl = objective.value_and_slopes(logps, cells)
    first, second = logps[:, 0].exp().unbind(-1)
    slope = second * by_logps[:, 0, 0] - first * by_logps[:, 0, 1]
    if by_kl is not None:
        log_ratios = (logps - objective.world.reference_logps)[:, 0]
        slope = slope + by_kl[:, 0] * first * second * (log_ratios[:, 0] - log_ratios[:, 1])
    return slope


def _first_change(sign: Callable[[Tensor], Tensor], begin: Tensor, at_start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-odds where the slope still has its first sign, the next ones, and whether it has changed there."""
    way = _FAR + begin.abs()
    near, far, searching = begin, begin, at_start != 0
    for stride in range(1, _STRIDES + 1):
        distance = _SHORTEST * (way / _SHORTEST) ** (stride / _STRIDES)
        following = (begin - at_start * distance).clamp(-_FAR, _FAR)
        near, far = torch.where(searching, far, near), torch.where(searching, following, far)
        searching = searching & (sign(far) == at_start)
        if not bool(searching.any()):
            break
    return near, far, (at_start != 0) & ~searching


def _logits(odds: Tensor) -> Tensor:
    return torch.stack([odds, torch.zeros_like(odds)], dim=-1)[:, None]
