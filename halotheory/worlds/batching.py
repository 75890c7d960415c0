"""A loss of the contract, called once for the batches of many worlds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from halotheory.contract import Loss
from halotheory.errors import HaloTheoryError
from halotheory.worlds.world import check_shape

Way = Literal["together", "averaged", "mapped", "one by one"]
"""How the batches of several worlds go through the loss.

together: as one batch, for a loss whose examples do not see each other.
averaged: as one batch in which every mean or sum over the batch is taken within each world, with its weights.
mapped: by `torch.func.vmap`, each batch with examples of equal weight.
one by one: in a loop, alike.
"""

Settings = Mapping[str, Tensor]
"""Hyperparameters, one value for each world, (W,)."""

_CLOSE = 1e-8
_TIMES = (1, 2, 1, 3, 1)  # how often each example of a trial batch occurs
_SCALES = (1.0, 20.0)  # nats
_TRIAL_WORLDS = 3


@dataclass(frozen=True, kw_only=True)
class WorldLoss:
    """A loss with the way that was found to give each world what the loss alone would give it.

    Attributes:
        loss: the loss.
        way: how batches go through it.
        takes_tensors: whether its hyperparameters may be tensors, of a value for each world; otherwise worlds are
            grouped by their values.
    """

    loss: Loss
    way: Way
    takes_tensors: bool

    def __call__(
        self, arguments: Mapping[str, Tensor], weights: Tensor, settings: Settings, *, slopes_of: Sequence[str] = ()
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of each world, (W,), and its derivatives by some arguments, each (W, C).

        Args:
            arguments: the tensors of the contract, (W, C); the loss takes those that it names.
            weights: share of each example, (W, C); equal ones where the way asks for it.
            settings: hyperparameters to change.
            slopes_of: names of arguments.
        """
        named = {name: arguments[name] for name in self.loss.arguments}
        if not settings:
            return self._of(named, weights, self.loss.hyperparameters, slopes_of)
        table = torch.stack([*settings.values()], dim=1)
        if self.takes_tensors and len(table) > 1 and bool((table != table[0]).any()):
            return self._of(named, weights, {**self.loss.hyperparameters, **settings}, slopes_of)
        values, group = torch.unique(table, dim=0, return_inverse=True)
        losses, slopes = weights.new_zeros(len(weights)), {name: torch.zeros_like(named[name]) for name in slopes_of}
        for number, row in enumerate(values):
            at = (group == number).nonzero()[:, 0]
            changed = dict(zip(settings, map(float, row), strict=True))
            some = {name: tensor[at] for name, tensor in named.items()}
            found = self._of(some, weights[at], {**self.loss.hyperparameters, **changed}, slopes_of)
            losses[at] = found[0]
            for name in slopes_of:
                slopes[name][at] = found[1][name]
        return losses, slopes

    def _of(
        self, named: Mapping[str, Tensor], weights: Tensor, settings: Mapping[str, Any], slopes_of: Sequence[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        leaves = {name: named[name].detach().reshape(weights.shape).requires_grad_() for name in slopes_of}
        with torch.enable_grad():
            losses = _WAYS[self.way](self.loss, {**named, **leaves}, weights, settings)
            if not (slopes_of and losses.requires_grad):
                return losses.detach(), {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
            found = torch.autograd.grad(losses.sum(), [*leaves.values()], allow_unused=True)
        slopes: dict[str, Tensor] = {}
        for (name, leaf), slope in zip(leaves.items(), found, strict=True):
            of_averages = self.way != "together"  # an example of no weight has no part in them either
            slope = torch.zeros_like(leaf) if slope is None else slope
            slopes[name] = slope if of_averages else torch.where(weights == 0, 0, slope)
        return losses.detach(), slopes


def population_loss(loss: Loss) -> WorldLoss:
    """Return a loss to be taken over examples with any weights.

    Raises:
        HaloTheoryError: the examples of a batch see each other by something else than their mean or sum.
    """
    found = _first_way(loss, ("together", "averaged"), _TIMES)
    if found is None:
        raise loss.error(
            "mixes the examples of a batch by something else than means and sums, "
            "so that it has no value for a population; train it on minibatches: train_by_sampling()"
        )
    return found


def minibatch_loss(loss: Loss) -> WorldLoss:
    """Return a loss to be taken over minibatches, of which every example counts once.

    Raises:
        HaloTheoryError: the loss raises on a batch of its own kind.
    """
    found = _first_way(loss, ("together", "averaged", "mapped", "one by one"), (1,) * len(_TIMES))
    assert found is not None, "one by one is what the others are compared with"
    return found


def settings_of(loss: Loss, settings: Mapping[str, "Tensor | float"] | None, like: Tensor) -> dict[str, Tensor]:
    """Return hyperparameters as one value for each world.

    Args:
        loss: whose hyperparameters.
        settings: a number, or a value for each world, (W,).
        like: a tensor of the worlds, (W, ...).

    Raises:
        HaloTheoryError: a name that the loss does not have, or a value outside of its domain.
    """
    result: dict[str, Tensor] = {}
    for name, value in (settings or {}).items():
        values = torch.as_tensor(value, dtype=like.dtype, device=like.device)
        if values.dim():
            check_shape(f"settings['{name}']", values, (len(like),))
        loss.with_settings({name: float(values.min())})
        loss.with_settings({name: float(values.max())})
        result[name] = values.expand(len(like))
    return result


# The ways


def _together(loss: Loss, named: Mapping[str, Tensor], weights: Tensor, settings: Mapping[str, Any]) -> Tensor:
    losses = _called(loss, _flat(named), _spread(loss, settings, weights))
    if losses.shape != (weights.numel(),):
        raise loss.error(f"returned shape {tuple(losses.shape)} for a batch of {weights.numel()}")
    return torch.where(weights == 0, 0, losses.view(weights.shape) * weights).sum(1)


def _averaged(loss: Loss, named: Mapping[str, Tensor], weights: Tensor, settings: Mapping[str, Any]) -> Tensor:
    with _MeansOfWorlds(weights):
        losses = _called(loss, _flat(named), _spread(loss, settings, weights))
    return (losses.expand(weights.numel()).view(weights.shape) * weights).sum(1)


def _mapped(loss: Loss, named: Mapping[str, Tensor], weights: Tensor, settings: Mapping[str, Any]) -> Tensor:
    tensors = {name: value for name, value in settings.items() if isinstance(value, Tensor)}
    numbers = {name: value for name, value in settings.items() if name not in tensors}

    def one(batch: dict[str, Tensor], own: dict[str, Tensor]) -> Tensor:
        return _called(loss, _columns(batch), {**numbers, **own}).mean()

    return torch.func.vmap(one)(dict(named), tensors)


def _one_by_one(loss: Loss, named: Mapping[str, Tensor], weights: Tensor, settings: Mapping[str, Any]) -> Tensor:
    def own(value: "Tensor | float", world: int) -> float:
        return float(value[world]) if isinstance(value, Tensor) else value

    return torch.stack(
        [
            _called(
                loss,
                _columns({name: tensor[world] for name, tensor in named.items()}),
                {name: own(value, world) for name, value in settings.items()},
            ).mean()
            for world in range(len(weights))
        ]
    )


_WAYS: dict[Way, Callable[[Loss, Mapping[str, Tensor], Tensor, Mapping[str, Any]], Tensor]] = {
    "together": _together,
    "averaged": _averaged,
    "mapped": _mapped,
    "one by one": _one_by_one,
}


class _MeansOfWorlds(TorchFunctionMode):
    """Inside, a mean over the whole batch is that of each world, repeated for each of its examples.

    A sum is this mean times the number of examples, so that quotients of sums are those of the worlds.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self._weights = weights

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in {"mean", "sum"} and self._is_over_batch(*args, **(kwargs or {})):
            means = self._means(args[0])
            return means if name == "mean" else means * self._weights.numel()
        return func(*args, **(kwargs or {}))

    def _is_over_batch(self, tensor: Tensor, *dims: Any, **options: Any) -> bool:
        if options.keys() - {"dim"} or tensor.numel() != self._weights.numel() or len(tensor) != tensor.numel():
            return False
        given = [*dims, *([options["dim"]] if "dim" in options else [])]
        return not given or (tensor.dim() == 1 and given in ([0], [-1], [(0,)], [(-1,)]))

    def _means(self, tensor: Tensor) -> Tensor:
        means = (tensor.reshape(self._weights.shape) * self._weights).sum(1, keepdim=True)
        return means.expand(self._weights.shape).reshape(-1)


def _called(loss: Loss, named: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Tensor:
    try:
        return loss.function(**named, **settings)
    except Exception as error:
        raise loss.raised(error) from error


def _flat(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return _columns({name: tensor.reshape(-1) for name, tensor in named.items()})


def _columns(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the arguments of batches; an output is one token where the loss wants tokens."""
    by_token = "policy_token_logps" in named
    return {name: tensor[:, None] if by_token else tensor for name, tensor in named.items()}


def _spread(loss: Loss, settings: Mapping[str, Any], weights: Tensor) -> dict[str, Any]:
    """Return hyperparameters, those with a value for each world repeated for each of its examples."""
    shape = (-1, 1) if loss.kind == "token" else (-1,)
    return {
        name: value[:, None].expand(weights.shape).reshape(shape) if isinstance(value, Tensor) else value
        for name, value in settings.items()
    }


# Which way is right


def _first_way(loss: Loss, ways: Sequence[Way], times: Sequence[int]) -> WorldLoss | None:
    for way in ways:
        tried = WorldLoss(loss=loss, way=way, takes_tensors=False)
        if _agrees(tried, times, {}):
            own = {name: value * torch.tensor([1.0, 0.9, 0.8]) for name, value in loss.hyperparameters.items()}
            own = {name: values.double() for name, values in own.items() if _is_permitted(loss, name, values)}
            taking = WorldLoss(loss=loss, way=way, takes_tensors=True)
            return taking if own and _agrees(taking, times, own) else tried
    return None


def _is_permitted(loss: Loss, name: str, values: Tensor) -> bool:
    try:
        for value in values:
            loss.with_settings({name: float(value)})
    except HaloTheoryError:
        return False
    return True


def _agrees(tried: WorldLoss, times: Sequence[int], settings: Settings) -> bool:
    """Whether the loss of trial batches and its slopes are those of each world's batch alone."""
    policy = [name for name in tried.loss.arguments if name.startswith("policy_")]
    for number, scale in enumerate(_SCALES):
        arguments = _trial(number, scale)
        counts = torch.tensor(times, dtype=torch.float64)
        weights = (counts / counts.sum()).expand(_TRIAL_WORLDS, -1)
        wanted = _alone(tried.loss, arguments, times, settings, policy)
        try:
            losses, slopes = tried(arguments, weights, settings, slopes_of=policy)
        except HaloTheoryError:
            return False
        got = [losses, *slopes.values()]
        if not all(
            torch.allclose(a, b, rtol=_CLOSE, atol=_CLOSE, equal_nan=True) for a, b in zip(got, wanted, strict=True)
        ):
            return False
    return True


def _alone(
    loss: Loss, arguments: Mapping[str, Tensor], times: Sequence[int], settings: Settings, policy: Sequence[str]
) -> list[Tensor]:
    """Return the losses of each world's batch, in which example i occurs times[i] times, and their slopes."""
    at = torch.tensor([i for i, count in enumerate(times) for _ in range(count)])
    rows: list[list[Tensor]] = []
    for world in range(_TRIAL_WORLDS):
        own = loss.with_settings({name: float(values[world]) for name, values in settings.items()})
        leaves = {name: tensor[world].clone() for name, tensor in arguments.items() if name in loss.arguments}
        for name in policy:
            leaves[name].requires_grad_()
        losses = own(**_columns({name: leaf[at] for name, leaf in leaves.items()}))
        if losses.dtype != torch.float64:
            raise loss.error(f"returned {losses.dtype} for arguments of torch.float64; keep the arguments' dtype")
        value = losses.mean()
        slopes: Sequence[Tensor | None] = [None] * len(policy)
        if value.requires_grad:
            slopes = torch.autograd.grad(value, [leaves[name] for name in policy], allow_unused=True)
        filled = [torch.zeros_like(leaves[name]) if s is None else s for name, s in zip(policy, slopes, strict=True)]
        rows.append([value.detach(), *filled])
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def _trial(seed: int, scale: float) -> dict[str, Tensor]:
    """Return every argument of the contract for trial worlds, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    shape = (_TRIAL_WORLDS, len(_TIMES))

    def logps() -> Tensor:
        return -scale * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.01

    names = [
        f"{model}_{which}" for model in ("policy", "reference") for which in ("chosen_logps", "rejected_logps", "logps")
    ]
    arguments = {name: logps() for name in [*names, "policy_token_logps", "reference_token_logps"]}
    lengths = {name: 1 + torch.randint(0, 9, shape, generator=generator).double() for name in _LENGTHS}
    label = torch.rand(shape, generator=generator, dtype=torch.float64) < 0.5
    label[:, 0], label[:, 1] = True, False
    advantages = torch.randn(shape, generator=generator, dtype=torch.float64)
    mask = torch.ones(shape, dtype=torch.bool)
    kl = torch.rand(_TRIAL_WORLDS, 1, generator=generator, dtype=torch.float64).expand(shape)
    return {**arguments, **lengths, "desirable": label, "advantages": advantages, "mask": mask, "kl": kl}


_LENGTHS = ("chosen_lengths", "rejected_lengths", "lengths")
