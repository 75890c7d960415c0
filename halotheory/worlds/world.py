"""Tabular worlds: prompts, the outputs that answer them, and how good people find each."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from halotheory.errors import HaloTheoryError

_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class World:
    """Many worlds of one size, W of them, side by side.

    Every world has X prompts and Y outputs for each prompt; its people come in G groups that want different things.

    Attributes:
        prompt_probabilities: how often each prompt is asked, (W, X).
        reference_logits: log pi_ref(y|x) up to a constant for each x, nats, (W, X, Y), finite: pi_ref has full support.
        rewards: how good group g finds output y, reward units, (W, G, X, Y); (W, X, Y) is read as one group.
        group_weights: share of each group among the people, (W, G); equal shares by default.
        lengths: tokens of each output, >= 1, (W, X, Y); 1 by default.
    """

    prompt_probabilities: Tensor
    reference_logits: Tensor
    rewards: Tensor
    group_weights: Tensor = field(default_factory=lambda: torch.empty(0))
    lengths: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        if self.reference_logits.dim() != 3:
            raise HaloTheoryError(
                f"reference_logits has shape {tuple(self.reference_logits.shape)}; give (worlds, prompts, outputs)"
            )
        shape = self.reference_logits.shape
        if self.rewards.shape == shape:
            object.__setattr__(self, "rewards", self.rewards[:, None])
        like = self.reference_logits
        if self.group_weights.numel() == 0:
            groups = self.rewards.shape[1] if self.rewards.dim() == 4 else 1
            object.__setattr__(self, "group_weights", like.new_full((shape[0], groups), 1 / groups))
        if self.lengths.numel() == 0:
            object.__setattr__(self, "lengths", torch.ones_like(like))
        self._check()

    def _check(self) -> None:
        num_worlds, num_prompts, num_outputs = self.reference_logits.shape
        if 0 in (num_worlds, num_prompts) or num_outputs < 2:
            raise HaloTheoryError(
                f"{num_worlds} worlds of {num_prompts} prompts and {num_outputs} outputs; "
                "give at least one world, one prompt and two outputs"
            )
        groups = self.group_weights.shape[-1]
        expected = {
            "prompt_probabilities": (num_worlds, num_prompts),
            "rewards": (num_worlds, groups, num_prompts, num_outputs),
            "group_weights": (num_worlds, groups),
            "lengths": (num_worlds, num_prompts, num_outputs),
        }
        for name, shape in expected.items():
            check_shape(name, getattr(self, name), shape)
        for each in fields(self):
            tensor = getattr(self, each.name)
            if tensor.dtype != self.dtype or tensor.device != self.device:
                raise HaloTheoryError(
                    f"{each.name} is {tensor.dtype} on {tensor.device}, "
                    f"reference_logits {self.dtype} on {self.device}; give all of them alike"
                )
            if not bool(torch.isfinite(tensor).all()):
                raise HaloTheoryError(f"{each.name} has a value that is not finite; pi_ref needs full support")
        check_distribution("prompt_probabilities", self.prompt_probabilities)
        check_distribution("group_weights", self.group_weights)
        if bool((self.lengths < 1).any()):
            raise HaloTheoryError(f"lengths has {self.lengths.min():g}; an output has at least one token")

    @property
    def num_worlds(self) -> int:
        """W."""
        return self.reference_logits.shape[0]

    @property
    def num_prompts(self) -> int:
        """X."""
        return self.reference_logits.shape[1]

    @property
    def num_outputs(self) -> int:
        """Y."""
        return self.reference_logits.shape[2]

    @property
    def num_groups(self) -> int:
        """G."""
        return self.group_weights.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of every tensor."""
        return self.reference_logits.dtype

    @property
    def device(self) -> torch.device:
        """Where every tensor is."""
        return self.reference_logits.device

    @cached_property
    def reference_logps(self) -> Tensor:
        """Return log pi_ref(y|x), nats, (W, X, Y)."""
        return torch.log_softmax(self.reference_logits, dim=-1)

    @property
    def reference(self) -> Tensor:
        """Return pi_ref(y|x), (W, X, Y)."""
        return torch.softmax(self.reference_logits, dim=-1)

    @cached_property
    def mean_rewards(self) -> Tensor:
        """Return the mean of the groups' rewards, weighted by their shares, (W, X, Y)."""
        return torch.einsum("wg,wgxy->wxy", self.group_weights, self.rewards)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "World":
        """Return the same worlds on another device or in another floating-point type."""
        return self._mapped(lambda tensor: tensor.to(device=device or tensor.device, dtype=dtype or tensor.dtype))

    def repeated(self, times: int) -> "World":
        """Return `times` copies one after the other, (times * W, ...), for other seeds or hyperparameters."""
        return self._mapped(lambda tensor: tensor.repeat(times, *[1] * (tensor.dim() - 1)))

    def chosen(self, indices: "Tensor | slice") -> "World":
        """Return some of the worlds."""
        return self._mapped(lambda tensor: tensor[indices])

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> "World":
        return replace(self, **{each.name: change(getattr(self, each.name)) for each in fields(self)})


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raise where a tensor does not have the shape that it should.

    Raises:
        HaloTheoryError: with both shapes.
    """
    if tuple(tensor.shape) != shape:
        raise HaloTheoryError(f"{name} has shape {tuple(tensor.shape)}; give {shape}")


def check_distribution(name: str, tensor: Tensor, *, dims: int = 1) -> None:
    """Raise where the last `dims` dimensions are not probabilities that sum to one.

    Raises:
        HaloTheoryError: with the value that is wrong.
    """
    if not bool((tensor >= 0).all()):
        raise HaloTheoryError(f"{name} has {tensor.min():g}; a probability is >= 0")
    sums = tensor.flatten(-dims).sum(-1)
    worst = sums.flatten()[(sums.flatten() - 1).abs().argmax()]
    if not bool((worst - 1).abs() <= _SUM_TOLERANCE):
        raise HaloTheoryError(f"{name} sums to {worst:g}; give probabilities that sum to one")


def random_worlds(
    num_worlds: int,
    *,
    num_prompts: int = 8,
    num_outputs: int = 8,
    num_groups: int = 1,
    reward_scale: float = 1.0,
    reference_scale: float = 1.0,
    longest: int = 1,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> World:
    """Return worlds drawn at random.

    Prompts are asked with probabilities uniform on the simplex, logits of pi_ref and rewards are normal.

    Args:
        num_worlds: W, >= 1.
        num_prompts: X, >= 1.
        num_outputs: Y, >= 2.
        num_groups: G, >= 1; of random shares, uniform on the simplex.
        reward_scale: standard deviation of the rewards, reward units.
        reference_scale: standard deviation of the reference logits, nats; 0 for a uniform pi_ref.
        longest: tokens of the longest output; lengths are uniform on 1..longest.
        seed: of the generator.
        dtype: float64 or float32.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def simplex(*shape: int) -> Tensor:
        drawn = -torch.log1p(-torch.rand(*shape, generator=generator, dtype=torch.float64))
        return drawn / drawn.sum(-1, keepdim=True)

    shape = (num_worlds, num_prompts, num_outputs)
    return World(
        prompt_probabilities=simplex(num_worlds, num_prompts),
        reference_logits=reference_scale * normal(*shape),
        rewards=reward_scale * normal(num_worlds, num_groups, num_prompts, num_outputs),
        group_weights=simplex(num_worlds, num_groups),
        lengths=torch.randint(1, longest + 1, shape, generator=generator).double(),
    ).to(dtype=dtype)


def two_output_worlds(reference_probability: Tensor) -> World:
    """Return Theorem 4's worlds: one prompt, the majority's output first, the minority's second.

    Args:
        reference_probability: pi_ref of the majority's output, in (0, 1), (W,).

    Returns:
        rewards are 1 and 0.

    Raises:
        HaloTheoryError: a probability outside of (0, 1).
    """
    q = torch.as_tensor(reference_probability)
    if q.dim() != 1 or not bool(((q > 0) & (q < 1)).all()):
        raise HaloTheoryError("reference_probability: give one number in (0, 1) for each world, (W,)")
    logits = torch.stack([q.log(), torch.log1p(-q)], dim=-1)[:, None]
    rewards = torch.zeros_like(logits)
    rewards[..., 0] = 1
    return World(prompt_probabilities=torch.ones_like(q)[:, None], reference_logits=logits, rewards=rewards)
