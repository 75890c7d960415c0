"""A loss file with a misspelt argument."""

from torch import Tensor


def loss(
    policy_logp: Tensor,
    reference_logps: Tensor,
) -> Tensor:
    """Return minus the log-ratio."""
    return reference_logps - policy_logp
