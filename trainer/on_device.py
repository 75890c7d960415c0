"""Values of the CPU's memory on a device."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def on_device(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Return values as a tensor on a device; a copy to a GPU does not wait for the work that the GPU has left to do."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
