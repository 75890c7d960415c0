"""Whether a loss's value for an example depends on which others stand beside it, seen by trying."""

import torch
from torch import Tensor

from halotheory.contract import Loss
from trainer.errors import HaloTheoryError

_EXAMPLES, _TOKENS = 4, 5


def sees_its_batch(loss: Loss) -> bool:
    """Return whether a batch's mean loss differs from the mean of its examples, each alone.

    A loss that cannot be computed of one example counts as one that sees its batch.

    Raises:
        HaloTheoryError: it cannot be computed, or gives whole numbers, which have no gradient.
    """
    batch = _arguments(loss)
    with torch.no_grad():
        losses = loss(**batch)
        if not losses.is_floating_point():
            raise loss.error(f"returned {str(losses.dtype).removeprefix('torch.')}; return floating-point losses")
        together = losses.mean()
        try:
            alone = [loss(**{name: value[at : at + 1] for name, value in batch.items()}) for at in range(_EXAMPLES)]
        except HaloTheoryError:
            return True
        apart = torch.stack([one.mean() for one in alone]).mean()
        return not torch.allclose(together, apart, rtol=1e-5, atol=1e-6, equal_nan=True)  # casts to float32 included


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
