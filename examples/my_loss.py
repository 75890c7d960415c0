"""A loss of one's own: thumbs up and down, valued as prospect theory has it, with tails that fade slowly.

halotheory check examples/my_loss.py
trainer align --loss examples/my_loss.py --model MODEL --data thumbs.jsonl --output runs/mine
"""

import torch
from torch import Tensor


def loss(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    kl: Tensor,
    *,
    beta: float = 0.1,
    loss_aversion: float = 1.5,
) -> Tensor:
    """Return 1 - v(z) for desirable and loss_aversion + v(z) for undesirable completions.

    z = log-ratio - kl, u = beta * z; v = u / (1 + |u|) for gains and loss_aversion times that for losses.
    """
    u = beta * (policy_logps - reference_logps - kl)
    value = u / (1 + u.abs())  # diminishing sensitivity, but slower to saturate than KTO's sigmoid
    value = torch.where(u < 0, loss_aversion * value, value)  # losses loom larger than gains
    return torch.where(desirable, 1 - value, loss_aversion + value)
