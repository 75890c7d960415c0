"""How fast accelerators multiply at best, and how a model's parts are spread over several."""

from collections.abc import Mapping
from types import MappingProxyType

from trainer.planning.simulation import Simulated, Sizes

PEAKS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "a10": {"float32": 31.2, "bfloat16": 125},
        "a100": {"float32": 19.5, "bfloat16": 312},
        "h100": {"float32": 67, "bfloat16": 989},
        "h200": {"float32": 67, "bfloat16": 989},
        "l40s": {"float32": 91.6, "bfloat16": 362},
        "mi300x": {"float32": 163.4, "bfloat16": 1307},
        "rtx4090": {"float32": 82.6, "bfloat16": 165.2},
    }
)
"""TFLOP/s of dense products by the makers' data sheets (H100: SXM), float32 without TF32; float16 as bfloat16."""

WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""


def spread(simulated: Simulated, sharding: str, gpus: int, dtype: str) -> dict[str, int]:
    """Return the bytes of one GPU by part.

    Args:
        simulated: one process that holds everything.
        sharding: none, ddp or fsdp (FSDP2, layers and the rest apart, in the dtype of the forward pass).
        gpus: that share it.
        dtype: of the forward pass. FSDP2 casts what it gathers, and autocast finds nothing left to cast.
    """
    moments = [_on_one(moment, sharding, gpus) for moment in simulated.moments]
    parts = max(moments, key=lambda parts: sum(parts.values()))
    if sharding == "fsdp":
        parts["gathered"] = _gathered(simulated.sizes, WIDTHS[dtype])
    return parts


def _on_one(moment: Mapping[str, int], sharding: str, gpus: int) -> dict[str, int]:
    """Return the bytes of a moment that are one GPU's, without what FSDP2 gathers."""
    if sharding != "fsdp":
        return dict(moment)
    shares = {"weights": gpus, "gradients": gpus, "optimizer": gpus}
    return {part: -(-size // shares.get(part, 1)) for part, size in moment.items() if part != "casts"}


def _gathered(sizes: Sizes, width: int) -> int:
    """Return the bytes of what FSDP2 holds whole at a time.

    What is in no layer stays gathered from the forward to the backward pass; of the layers one is in use and the next
    is on its way. One of them has its gradient whole, in the dtype of the pass and in float32 to be summed.
    """
    weights = width * (sizes.outside + 2 * sizes.layer)
    return weights + (width + 4) * max(sizes.outside, sizes.layer)
