"""What a run should know of its loss before it starts, seen by trying it on made-up examples."""

import torch
from torch import Tensor

from halotheory.contract import Loss
from trainer.errors import HaloTheoryError

_EXAMPLES, _TOKENS = 4, 5


def sees_its_batch(loss: Loss) -> bool:
    """Return whether a batch's mean loss differs from the mean of its examples, each alone.

    A loss that cannot be computed of one example counts as one that sees its batch.

    Raises:
        HaloTheoryError: it cannot be computed, or gives whole numbers, which have no gradient, or a sum, whose gradient
            would grow with the microbatch.
    """
    batch = _arguments(loss)
    with torch.no_grad():
        losses = loss(**{name: value.clone() for name, value in batch.items()})
        if not losses.is_floating_point():
            raise loss.error(f"returned {str(losses.dtype).removeprefix('torch.')}; return floating-point losses")
        try:
            each = [loss(**{name: value[at : at + 1] for name, value in batch.items()}) for at in range(_EXAMPLES)]
        except HaloTheoryError:
            return True
        apart = torch.stack([one.mean() for one in each])
        if _alike(losses.mean(), apart.mean()):
            return False
        if not losses.dim() and _alike(losses, apart.sum()):
            raise loss.error("returned the sum of the losses; return one loss per example, or their mean")
        return True


def _alike(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True)  # casts to float32 included


def check_inputs_stay(loss: Loss) -> None:
    """Check that a loss leaves what it is told as it was: the metrics are made of the same tensors.

    Raises:
        HaloTheoryError: it writes into an argument, or cannot be computed.
    """
    told = _arguments(loss)
    before = {name: value.clone() for name, value in told.items()}
    with torch.no_grad():
        loss(**told)
    for name, value in told.items():
        if not torch.equal(value, before[name]):
            raise loss.error(f"writes in place into '{name}'; write it out of place: {name} = {name}.mul(2), not mul_")


def wrong_first_step(loss: Loss) -> str | None:
    """Return what a loss wrongly does where every run starts, at a policy that is the reference, or None.

    A step should raise chosen or desirable completions, at least against rejected or undesirable ones. A sign forgotten
    in a loss file and a negative beta lower them; a beta of 0 moves nothing.

    Raises:
        HaloTheoryError: the losses do not depend on the policy.
    """
    tensors = _arguments(loss)
    policy = {name: value.requires_grad_() for name, value in tensors.items() if name.startswith("policy_")}
    for name, value in policy.items():
        if (reference := name.replace("policy_", "reference_")) in tensors:
            tensors[reference] = value.detach()
    if "kl" in tensors:
        tensors["kl"] = torch.zeros_like(tensors["kl"])
    losses = loss(**tensors)
    if not losses.requires_grad:
        raise loss.error("returned losses that do not depend on the policy's log-probabilities")
    slopes = torch.autograd.grad(losses.sum(), list(policy.values()), allow_unused=True, materialize_grads=True)
    pushes = torch.cat([-(slope * _sign(name, tensors)).flatten() for name, slope in zip(policy, slopes, strict=True)])
    if not pushes.any():
        return "moves nothing"
    if not pushes.sum() < -1e-9 * pushes.abs().sum():  # NaN is told in its step, with the example
        return None
    if loss.kind == "paired":
        return "lowers chosen completions against rejected ones"
    labelled = loss.needs_labels or "advantages" in loss.arguments
    return "lowers desirable completions against undesirable ones" if labelled else "lowers the completions"


def _sign(policy: str, tensors: dict[str, Tensor]) -> Tensor:
    """Return 1 where log-probabilities of the policy should rise, -1 where they should fall."""
    if "desirable" in tensors:
        return 2.0 * tensors["desirable"] - 1
    if "advantages" in tensors:
        return tensors["advantages"].sign()
    return torch.tensor(-1.0 if "rejected" in policy else 1.0)


def _arguments(loss: Loss) -> dict[str, Tensor]:
    """Return made-up examples: unequal log-probabilities below 0, lengths, both labels."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name in loss.arguments:
        shape = (_EXAMPLES, _TOKENS) if loss.kind == "token" else (_EXAMPLES,)
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
        if name == "desirable":
            tensors[name] = torch.arange(_EXAMPLES) % 2 == 0
        elif name == "mask":
            tensors[name] = torch.arange(_TOKENS) <= torch.arange(_EXAMPLES)[:, None]
        elif name.endswith("lengths"):
            tensors[name] = 1 + torch.arange(_EXAMPLES, dtype=torch.float64)
        else:
            tensors[name] = drawn if name == "kl" else 1 - 2 * drawn if name == "advantages" else -1 - 4 * drawn
    return tensors
