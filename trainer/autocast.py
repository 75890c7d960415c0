"""What autocast makes of a tensor."""

import torch
from torch import Tensor


def dtype_of(tensor: Tensor) -> torch.dtype:
    """Return the dtype in which a product with a tensor is computed: autocast's, or the tensor's own."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
