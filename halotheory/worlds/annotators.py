"""The people who give feedback: which of two outputs they prefer, and which outputs they give a thumbs up."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError
from halotheory.worlds.world import World, check_distribution, check_shape

_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Annotators:
    """Exact probabilities of every answer that the people of W worlds may give.

    Attributes:
        preference: P(y is preferred to y'|x), (W, X, Y, Y); with its transpose it sums to one.
        thumbs: P(y is called desirable|x), (W, X, Y).
    """

    preference: Tensor
    thumbs: Tensor

    def __post_init__(self) -> None:
        shape = self.thumbs.shape
        if self.thumbs.dim() != 3:
            raise HaloTheoryError(f"thumbs has shape {tuple(shape)}; give (worlds, prompts, outputs)")
        check_shape("preference", self.preference, (*shape, shape[-1]))
        for name, tensor in (("preference", self.preference), ("thumbs", self.thumbs)):
            if not bool(((tensor >= 0) & (tensor <= 1)).all()):
                raise HaloTheoryError(f"{name} has a value outside of [0, 1]; give probabilities")
        if bool(((self.preference + self.preference.mT - 1).abs() > _TOLERANCE).any()):
            raise HaloTheoryError("preference: P(y over y') and P(y' over y) must sum to one")

    def preferred(self, prompts: Tensor, first: Tensor, second: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return whether a person, asked at random, prefers the first output: bool, the shape of `first`.

        Args:
            prompts: (W, n), as the two outputs.
            first: index of an output, (W, n).
            second: index of another, (W, n).
            generator: the source of randomness.
        """
        worlds = torch.arange(len(self.thumbs), device=self.thumbs.device)[:, None]
        return _drawn(self.preference[worlds, prompts, first, second], generator)

    def desirable(self, prompts: Tensor, outputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return whether a person, asked at random, gives a thumbs up: bool, (W, n)."""
        worlds = torch.arange(len(self.thumbs), device=self.thumbs.device)[:, None]
        return _drawn(self.thumbs[worlds, prompts, outputs], generator)

    def repeated(self, times: int) -> "Annotators":
        """Return `times` copies one after the other, (times * W, ...)."""
        return Annotators(
            preference=self.preference.repeat(times, 1, 1, 1),
            thumbs=self.thumbs.repeat(times, 1, 1),
        )


def bradley_terry(world: World, *, temperature: float = 1.0) -> Annotators:
    """Return people of whom each follows P(y over y') = sigmoid((r(y) - r(y')) / temperature), r of the own group.

    A thumbs up has probability sigmoid((r(y) - E_{pi_ref}[r]) / temperature). Where there are several groups, the
    person asked is of each with the group's share: the mixture of Bradley-Terry models is in general none itself.

    Args:
        world: whose rewards.
        temperature: reward units, > 0.

    Raises:
        HaloTheoryError: temperature <= 0.
    """
    _check_positive("temperature", temperature)
    z = world.rewards - _reference_mean(world)
    return _of_values(world, z / temperature)


def kahneman_tversky(
    world: World, *, alpha: float = 0.88, loss_aversion: float = 2.25, temperature: float = 1.0
) -> Annotators:
    """Return people who judge by the value v(z), z = r(y) - E_{pi_ref}[r] of the own group.

    v(z) = z^alpha for gains, -loss_aversion * (-z)^alpha for losses. P(y over y') = sigmoid((v(z) - v(z')) /
    temperature), P(thumbs up) = sigmoid(v(z) / temperature).

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, eq. 4 with its median parameters.

    Args:
        world: whose rewards.
        alpha: curvature, in (0, 1].
        loss_aversion: lambda, > 0.
        temperature: of the noise, value units, > 0.

    Raises:
        HaloTheoryError: a parameter outside of its range.
    """
    _check_positive("temperature", temperature)
    z = world.rewards - _reference_mean(world)
    return _of_values(world, kahneman_tversky_value(z, alpha=alpha, loss_aversion=loss_aversion) / temperature)


def kahneman_tversky_value(z: Tensor, *, alpha: float = 0.88, loss_aversion: float = 2.25) -> Tensor:
    """Return v(z) = z^alpha for z >= 0, -loss_aversion * (-z)^alpha otherwise.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, eq. 4.

    Raises:
        HaloTheoryError: alpha outside of (0, 1], loss_aversion <= 0.
    """
    _check_positive("loss_aversion", loss_aversion)
    if not 0 < alpha <= 1:
        raise HaloTheoryError(f"alpha={alpha:g}; give a number in (0, 1]")
    size = z.abs() ** alpha
    return torch.where(z >= 0, size, -loss_aversion * size)


def contradicting(world: World, share: "Tensor | float") -> Annotators:
    """Return people who contradict each other: a share prefers the output of the higher mean reward, the others do not.

    P(y over y') = share where r(y) > r(y'), 1 - share where r(y) < r(y'), 1/2 for equal rewards. A thumbs up is the
    mean of these over the other outputs, uniformly. With two outputs and share > 1/2 this is Theorem 4's population.

    Args:
        world: whose mean rewards.
        share: p, in [0, 1], a number or one for each world, (W,).

    Raises:
        HaloTheoryError: a share outside of [0, 1].
    """
    p = torch.as_tensor(share, dtype=world.dtype, device=world.device)
    if p.dim() == 1:
        check_shape("share", p, (world.num_worlds,))
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise HaloTheoryError("share: give numbers in [0, 1]")
    rewards = world.mean_rewards
    order = torch.sign(rewards[..., :, None] - rewards[..., None, :])
    return _of_preference(0.5 + order * (p.reshape(-1, 1, 1, 1) - 0.5))


def intransitive(world: World, *, strength: float = 0.8) -> Annotators:
    """Return people whose preferences go round: each output is preferred to those of the next half of the circle.

    P(y over y') = strength where y' follows y by less than half of the circle, 1 - strength where it precedes it, 1/2
    for opposite ones: no reward explains them. A thumbs up is the mean over the other outputs: always 1/2.

    Args:
        world: whose sizes.
        strength: in [0, 1].

    Raises:
        HaloTheoryError: strength outside of [0, 1].
    """
    _check_probability("strength", strength)
    number = torch.arange(world.num_outputs, device=world.device)
    ahead = (number[None, :] - number[:, None]) % world.num_outputs
    order = torch.where(ahead == 0, 0, torch.sign(world.num_outputs - 2 * ahead))
    table = 0.5 + order.to(world.dtype) * (strength - 0.5)
    return _of_preference(table.expand(world.num_worlds, world.num_prompts, -1, -1).clone())


def mixed(groups: list[Annotators], weights: Tensor) -> Annotators:
    """Return the people of several groups, asked in proportion to the groups' weights.

    Args:
        groups: G kinds of annotators of the same worlds.
        weights: shares that sum to one, (G,), or for each world, (W, G).

    Raises:
        HaloTheoryError: shares that do not sum to one, or not one for each group.
    """
    check_distribution("weights", weights)
    if weights.shape[-1] != len(groups):
        raise HaloTheoryError(f"{weights.shape[-1]} weights for {len(groups)} groups; give one for each")
    shares = weights.expand(len(groups[0].thumbs), -1)
    return Annotators(
        preference=torch.einsum("wg,gwxyz->wxyz", shares, torch.stack([each.preference for each in groups])),
        thumbs=torch.einsum("wg,gwxy->wxy", shares, torch.stack([each.thumbs for each in groups])),
    )


def with_thumbs_of_comparisons(annotators: Annotators, opponents: Tensor) -> Annotators:
    """Return the same people, whose thumbs say whether an output beats another one, drawn from `opponents`.

    Args:
        annotators: the people.
        opponents: probabilities of the other output, (W, X, Y), pi_ref say; the output itself counts as a tie.
    """
    thumbs = torch.einsum("wxyz,wxz->wxy", annotators.preference, opponents)
    return replace(annotators, thumbs=thumbs.clamp(0, 1))


def _reference_mean(world: World) -> Tensor:
    """Return E_{pi_ref}[r] of each group and prompt, (W, G, X, 1)."""
    return (world.reference[:, None] * world.rewards).sum(-1, keepdim=True)


def _of_values(world: World, values: Tensor) -> Annotators:
    """Return people with logistic noise around their group's values, (W, G, X, Y)."""
    gap = values[..., :, None] - values[..., None, :]
    preference = torch.einsum("wg,wgxyz->wxyz", world.group_weights, torch.sigmoid(gap))
    thumbs = torch.einsum("wg,wgxy->wxy", world.group_weights, torch.sigmoid(values))
    return Annotators(preference=preference.clamp(0, 1), thumbs=thumbs.clamp(0, 1))


def _of_preference(preference: Tensor) -> Annotators:
    num_outputs = preference.shape[-1]
    others = preference.sum(-1) - preference.diagonal(dim1=-2, dim2=-1)
    return Annotators(preference=preference, thumbs=(others / (num_outputs - 1)).clamp(0, 1))


def _drawn(probability: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(probability.shape, generator=generator, dtype=probability.dtype, device=generator.device)
    return uniform.to(probability.device) < probability


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise HaloTheoryError(f"{name}={value:g}; give a number > 0")


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise HaloTheoryError(f"{name}={value:g}; give a number in [0, 1]")
