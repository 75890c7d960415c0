"""What annotators have said: exact shares of every answer in the population, finite data sets, and minibatches."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.worlds.cells import Cells
from halotheory.worlds.world import World, check_distribution, check_shape

if TYPE_CHECKING:
    from halotheory.worlds.annotators import Annotators


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The share of each pair (x, y_w, y_l) in the data.

    Attributes:
        weights: (W, X, Y, Y): prompt, chosen output, rejected output; sums to one in each world.
    """

    weights: Tensor

    def __post_init__(self) -> None:
        if self.weights.dim() != 4 or self.weights.shape[-1] != self.weights.shape[-2]:
            raise HaloTheoryError(f"weights has shape {tuple(self.weights.shape)}; give (worlds, prompts, Y, Y)")
        check_distribution("weights", self.weights, dims=3)
        if bool((self.weights.diagonal(dim1=-2, dim2=-1) != 0).any()):
            raise HaloTheoryError("weights: an output is paired with itself; give such pairs no weight")

    def cells(self) -> Cells:
        """Return every pair that occurs in some world, with its weights."""
        flat = self.weights.flatten(1)
        at = flat.ne(0).any(0).nonzero()[:, 0]
        return _pair_cells(at, flat[:, at], self.weights.shape[2])

    def sampled(self, size: int, *, generator: torch.Generator) -> Cells:
        """Return `size` pairs for each world, drawn with replacement, of weight 1 / size."""
        at = _drawn(self.weights.flatten(1), size, generator)
        return _pair_cells(at, _equal_weights(self.weights, at), self.weights.shape[2])

    def data_set(self, size: int, *, generator: torch.Generator) -> "Pairs":
        """Return the shares in a finite data set of `size` pairs, drawn for each world."""
        return replace(self, weights=_counted(self.weights, size, generator))

    def repeated(self, times: int) -> "Pairs":
        """Return `times` copies one after the other, (times * W, ...)."""
        return replace(self, weights=self.weights.repeat(times, 1, 1, 1))

    def chosen(self, indices: "Tensor | slice") -> "Pairs":
        """Return the feedback of some of the worlds."""
        return replace(self, weights=self.weights[indices])


@dataclass(frozen=True, kw_only=True)
class Thumbs:
    """The share of each labelled output (x, y, thumbs down or up) in the data.

    Attributes:
        weights: (W, X, Y, 2): prompt, output, label (0 undesirable, 1 desirable); sums to one in each world.
        advantages: of each output for token-level losses, (W, X, Y); by default +1 for desirable and -1 for others.
    """

    weights: Tensor
    advantages: Tensor | None = None

    def __post_init__(self) -> None:
        if self.weights.dim() != 4 or self.weights.shape[-1] != 2:
            raise HaloTheoryError(f"weights has shape {tuple(self.weights.shape)}; give (worlds, prompts, outputs, 2)")
        check_distribution("weights", self.weights, dims=3)
        if self.advantages is not None:
            check_shape("advantages", self.advantages, tuple(self.weights.shape[:3]))

    def cells(self) -> Cells:
        """Return every labelled output that occurs in some world, with its weights."""
        flat = self.weights.flatten(1)
        at = flat.ne(0).any(0).nonzero()[:, 0]
        return self._cells(at, flat[:, at])

    def sampled(self, size: int, *, generator: torch.Generator) -> Cells:
        """Return `size` labelled outputs for each world, drawn with replacement, of weight 1 / size."""
        at = _drawn(self.weights.flatten(1), size, generator)
        return self._cells(at, _equal_weights(self.weights, at))

    def data_set(self, size: int, *, generator: torch.Generator) -> "Thumbs":
        """Return the shares in a finite data set of `size` labelled outputs, drawn for each world."""
        return replace(self, weights=_counted(self.weights, size, generator))

    def repeated(self, times: int) -> "Thumbs":
        """Return `times` copies one after the other, (times * W, ...)."""
        advantages = None if self.advantages is None else self.advantages.repeat(times, 1, 1)
        return Thumbs(weights=self.weights.repeat(times, 1, 1, 1), advantages=advantages)

    def chosen(self, indices: "Tensor | slice") -> "Thumbs":
        """Return the feedback of some of the worlds."""
        advantages = None if self.advantages is None else self.advantages[indices]
        return Thumbs(weights=self.weights[indices], advantages=advantages)

    @property
    def desirable_fraction(self) -> Tensor:
        """Return the share of thumbs up, (W,)."""
        return self.weights[..., 1].sum((1, 2))

    def _cells(self, at: Tensor, weights: Tensor) -> Cells:
        num_outputs = self.weights.shape[2]
        output, desirable = at // 2, at % 2 == 1
        if self.advantages is None:
            advantages = (2 * desirable - 1).to(weights.dtype)
        else:
            flat = self.advantages.flatten(1)
            advantages = flat[:, output] if output.dim() == 1 else flat.gather(1, output)
        return Cells(
            prompts=output // num_outputs,
            outputs=(output,),
            desirable=desirable,
            advantages=advantages.expand(weights.shape),
            weights=weights,
        )


Feedback = Pairs | Thumbs


def pairs(world: World, annotators: "Annotators", *, behaviour: Tensor | None = None) -> Pairs:
    """Return the shares of pairs: two different outputs are drawn for each prompt, and one person compares them.

    Args:
        world: whose prompts.
        annotators: who compares.
        behaviour: probabilities of the outputs that are shown, (W, X, Y); pi_ref by default. The two are independent
            draws, repeated where they are equal.

    Raises:
        HaloTheoryError: a behaviour that is no distribution, or always gives the same output.
    """
    shown = _behaviour(world, behaviour)
    together = shown[..., :, None] * shown[..., None, :]
    together.diagonal(dim1=-2, dim2=-1).zero_()
    total = together.sum((-2, -1), keepdim=True)
    if bool((total == 0).any()):
        raise HaloTheoryError("behaviour: for some prompt only one output is ever shown; a pair needs two")
    share = 2 * together / total * annotators.preference * world.prompt_probabilities[..., None, None]
    return Pairs(weights=_normalised(share))


def thumbs(world: World, annotators: "Annotators", *, behaviour: Tensor | None = None) -> Thumbs:
    """Return the shares of labelled outputs: one output is drawn for each prompt, and one person judges it.

    Args:
        world: whose prompts.
        annotators: who judges.
        behaviour: probabilities of the outputs that are shown, (W, X, Y); pi_ref by default.

    Raises:
        HaloTheoryError: a behaviour that is no distribution.
    """
    shown = _behaviour(world, behaviour) * world.prompt_probabilities[..., None]
    return Thumbs(
        weights=_normalised(torch.stack([shown * (1 - annotators.thumbs), shown * annotators.thumbs], dim=-1))
    )


def thumbs_of_pairs(data: Pairs) -> Thumbs:
    """Return the labelled outputs that pairs break into: the chosen one desirable, the rejected one undesirable."""
    return Thumbs(weights=torch.stack([data.weights.sum(-2), data.weights.sum(-1)], dim=-1) / 2)


def with_desirable_fraction(data: Thumbs, fraction: "Tensor | float") -> Thumbs:
    """Return the data with outputs of one label left out at random until the other's share is as wanted.

    Args:
        data: of both labels.
        fraction: the share of thumbs up, in [0, 1], a number or one for each world, (W,).

    Raises:
        HaloTheoryError: a fraction outside of [0, 1], or of a label that the data does not have.
    """
    wanted = torch.as_tensor(fraction, dtype=data.weights.dtype, device=data.weights.device)
    if not bool(((wanted >= 0) & (wanted <= 1)).all()):
        raise HaloTheoryError("fraction: give numbers in [0, 1]")
    up = data.desirable_fraction
    if bool((((up == 0) & (wanted > 0)) | ((up == 1) & (wanted < 1))).any()):
        raise HaloTheoryError("fraction: some world has feedback of one label only")
    down_scale = torch.where(up < 1, (1 - wanted) / (1 - up).clamp(min=1e-300), 0.0)
    up_scale = torch.where(up > 0, wanted / up.clamp(min=1e-300), 0.0)
    scale = torch.stack([down_scale, up_scale], dim=-1).to(data.weights.dtype)
    return replace(data, weights=_normalised(data.weights * scale[:, None, None, :]))


def one_output_per_prompt(data: Thumbs, *, generator: torch.Generator) -> Thumbs:
    """Return the data where each prompt keeps one of its outputs, drawn by the shares, with both labels' odds kept."""
    shares = data.weights.sum(-1)
    of_prompt = shares.sum(-1)
    rows = shares.flatten(0, 1) + (of_prompt.flatten() == 0)[:, None]  # a prompt that is never asked keeps no weight
    kept = torch.multinomial(rows.to(generator.device), 1, generator=generator).to(rows.device).view(of_prompt.shape)
    mask = torch.nn.functional.one_hot(kept, shares.shape[-1]).to(shares.dtype)
    odds = data.weights / shares.clamp(min=1e-300)[..., None]
    return replace(data, weights=_normalised(odds * (mask * of_prompt[..., None])[..., None]))


def _behaviour(world: World, behaviour: Tensor | None) -> Tensor:
    if behaviour is None:
        return world.reference
    check_shape("behaviour", behaviour, tuple(world.reference_logits.shape))
    check_distribution("behaviour", behaviour)
    return behaviour


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.flatten(1).sum(1).reshape(-1, *[1] * (weights.dim() - 1))


def _drawn(flat: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return indices of the columns, drawn in proportion to each row, (W, size)."""
    if size < 1:
        raise HaloTheoryError(f"size={size}; draw at least one example")
    cumulative = flat.cumsum(1)
    uniform = torch.rand(len(flat), size, generator=generator, dtype=flat.dtype, device=generator.device)
    at = torch.searchsorted(cumulative, uniform.to(flat.device) * cumulative[:, -1:], right=True)
    last = flat.shape[1] - 1 - flat.ne(0).flip(1).int().argmax(1, keepdim=True)
    return torch.minimum(at, last)  # rounding may reach past the last column that has weight


def _counted(weights: Tensor, size: int, generator: torch.Generator) -> Tensor:
    at = _drawn(weights.flatten(1), size, generator)
    counts = torch.zeros_like(weights.flatten(1)).scatter_add_(1, at, torch.ones_like(at, dtype=weights.dtype))
    return (counts / size).view(weights.shape)


def _equal_weights(weights: Tensor, at: Tensor) -> Tensor:
    return weights.new_full((), 1 / at.shape[1]).expand(at.shape)


def _pair_cells(at: Tensor, weights: Tensor, num_outputs: int) -> Cells:
    prompts, pair = at // num_outputs**2, at % num_outputs**2
    outputs = tuple(prompts * num_outputs + each for each in (pair // num_outputs, pair % num_outputs))
    return Cells(prompts=prompts, outputs=outputs, desirable=None, advantages=None, weights=weights)
